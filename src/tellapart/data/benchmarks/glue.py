"""The tasks of GLUE, eight of nine: Wang et al. 2019, arXiv:1804.07461."""

from __future__ import annotations

from dataclasses import replace

from tellapart.data.benchmarks.base import BenchmarkSet, OriginalFiles
from tellapart.data.reading.columns import Columns
from tellapart.data.reading.formats import LineFile
from tellapart.data.reading.hub import HubSource

_NO_TEST_LABELS = "GLUE keeps the labels of its test rows to itself"

# the names that the Hub's copy has
_COLA = {"0": "unacceptable", "1": "acceptable"}
_SST2 = {"0": "negative", "1": "positive"}
_MRPC = {"0": "not_equivalent", "1": "equivalent"}
_QQP = {"0": "not_duplicate", "1": "duplicate"}
_ENTAILMENT = {name: name for name in ("entailment", "not_entailment")}
_MNLI = {name: name for name in ("entailment", "neutral", "contradiction")}


def _glue(
    config: str, text: str, text_pair: str | None = None, *, regression: bool = False, **splits: str
) -> HubSource:
    columns = Columns(text, text_pair, "label")
    return HubSource("nyu-mll/glue", columns, config, splits=splits, regression=regression)


def _files(reader: LineFile, **files: str) -> tuple[OriginalFiles, ...]:
    return (OriginalFiles({split: (f"**/{file}",) for split, file in files.items()}, reader),)


def _named(labels: dict[str, str] | None, label: str, text: str, text_pair: str | None = None) -> LineFile:
    names = {"text": (text,), "label": (label,)} | ({"text_pair": (text_pair,)} if text_pair else {})
    return LineFile(names, (), labels)


_MRPC_FILE = _named(_MRPC, "quality", "#1 string", "#2 string")

GLUE = (
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
        originals=_files(_named(_SST2, "label", "sentence"), train="train.tsv", validation="dev.tsv"),
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
        overlap=16,
        originals=_files(
            replace(_named(_COLA, "label", "sentence"), orders=(("", "label", "", "text"),)),
            train="train.tsv",
            validation="dev.tsv",
        ),
        metric="matthews_correlation",
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
        originals=(
            *_files(_MRPC_FILE, train="train.tsv", validation="dev.tsv", test="test.tsv"),
            *_files(_MRPC_FILE, train="msr_paraphrase_train.txt", test="msr_paraphrase_test.txt"),
        ),
        positive="equivalent",
    ),
    BenchmarkSet(
        name="stsb",
        task="regression",
        description="pairs of sentences, of one meaning from 0 (not at all) to 5 (entirely)",
        classes=0,
        sizes={"train": 5_749, "validation": 1_500},
        # its test rows have -1 for a score
        source=_glue(
            "stsb", "sentence1", "sentence2", regression=True, train="train", validation="validation"
        ),
        license="differs by source",
        citation="Cer et al. 2017, SemEval-2017 Task 1, arXiv:1708.00055",
        note=f"{_NO_TEST_LABELS}; 6 validation pairs are also in train",
        overlap=6,
        originals=_files(
            _named(None, "score", "sentence1", "sentence2"), train="train.tsv", validation="dev.tsv"
        ),
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
        originals=_files(
            _named(_ENTAILMENT, "label", "sentence1", "sentence2"), train="train.tsv", validation="dev.tsv"
        ),
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
        originals=_files(
            replace(_named(_QQP, "is_duplicate", "question1", "question2"), skip_short=True),  # as GLUE does
            train="train.tsv",
            validation="dev.tsv",
        ),
        positive="duplicate",
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
        originals=_files(
            _named(_ENTAILMENT, "label", "question", "sentence"), train="train.tsv", validation="dev.tsv"
        ),
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
        originals=_files(
            _named(_MNLI, "gold_label", "sentence1", "sentence2"),
            train="train.tsv",
            validation="dev_matched.tsv",
        ),
    ),
)
