"""Eight of the nine tasks of GLUE (Wang et al. 2019, arXiv:1804.07461)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tellapart.data.benchmarks.base import BenchmarkSet, OriginalFiles
from tellapart.data.reading.columns import Columns
from tellapart.data.reading.formats import LineFile
from tellapart.data.reading.hub import HubSource

_NO_TEST_LABELS = "GLUE keeps the labels of its test rows to itself"
_SENTENCES = ("sentence1", "sentence2")

# the names that the Hub's copy has
_MRPC = {"0": "not_equivalent", "1": "equivalent"}
_ENTAILMENT = {name: name for name in ("entailment", "not_entailment")}
_MNLI = {name: name for name in ("entailment", "neutral", "contradiction")}


def _lines(labels: Mapping[str, str] | None, label: str, *texts: str, **options: Any) -> LineFile:
    """Returns the reader of a file whose first line names the columns of the texts and of the labels."""
    roles = dict(zip(("text", "text_pair"), texts, strict=False)) | {"label": label}
    return LineFile({role: (name,) for role, name in roles.items()}, labels=labels, **options)


def _glue(
    name: str,
    texts: tuple[str, ...],
    reader: LineFile,
    *,
    dev: str = "dev.tsv",
    hub_splits: Mapping[str, str] | None = None,
    **described: Any,
) -> BenchmarkSet:
    """Returns a task of GLUE.

    Args:
        name: Its name, and that of its configuration on the Hub.
        texts: The columns of the texts on the Hub.
        reader: Reads its files.
        dev: The file of the validation rows.
        hub_splits: The Hub's name of each split, where not all of them are read, or names differ.
        described: Other fields of `BenchmarkSet`; the task is `pair` unless given.
    """
    text, text_pair = (*texts, None)[:2]
    return BenchmarkSet(
        name=name,
        classes=len(reader.labels or ()),
        source=HubSource(
            "nyu-mll/glue",
            Columns(str(text), text_pair, "label"),
            name,
            splits=hub_splits or {},
            regression=reader.labels is None,
        ),
        **{
            "task": "pair",
            "citation": "Wang et al. 2019, GLUE, arXiv:1804.07461",
            "note": _NO_TEST_LABELS,
            "originals": (OriginalFiles.named(reader, train="train.tsv", validation=dev),),
            **described,
        },
    )


_MRPC_LINES = _lines(_MRPC, "quality", "#1 string", "#2 string")

GLUE = (
    _glue(
        "sst2",
        ("sentence",),
        _lines({"0": "negative", "1": "positive"}, "label", "sentence"),
        task="single label",
        description="phrases of film reviews, negative or positive",
        sizes={"train": 67_349, "validation": 872},
        citation="Socher et al. 2013, Recursive Deep Models for Semantic Compositionality",
        note=f"{_NO_TEST_LABELS}; train holds phrases, validation whole sentences",
    ),
    _glue(
        "cola",
        ("sentence",),
        _lines(
            {"0": "unacceptable", "1": "acceptable"},
            "label",
            "sentence",
            orders=(("", "label", "", "text"),),
        ),
        task="single label",
        description="English sentences, acceptable or not",
        sizes={"train": 8_551, "validation": 1_043},
        citation="Warstadt et al. 2018, arXiv:1805.12471",
        note=f"{_NO_TEST_LABELS}; 16 validation texts are also in train",
        overlap=16,
        metric="matthews_correlation",
    ),
    _glue(
        "mrpc",
        _SENTENCES,
        _MRPC_LINES,
        description="pairs of news sentences, paraphrases or not",
        sizes={"train": 3_668, "validation": 408, "test": 1_725},
        citation="Dolan and Brockett 2005, Automatically Constructing a Corpus of Sentential Paraphrases",
        note="",
        originals=(
            OriginalFiles.named(_MRPC_LINES, train="train.tsv", validation="dev.tsv", test="test.tsv"),
            OriginalFiles.named(
                _MRPC_LINES, train="msr_paraphrase_train.txt", test="msr_paraphrase_test.txt"
            ),
        ),
        positive="equivalent",
    ),
    _glue(
        "stsb",
        _SENTENCES,
        _lines(None, "score", *_SENTENCES),
        hub_splits={"train": "train", "validation": "validation"},  # its test rows have the target -1
        task="regression",
        description="pairs of sentences, of one meaning from 0 (not at all) to 5 (entirely)",
        sizes={"train": 5_749, "validation": 1_500},
        license="differs by source",
        citation="Cer et al. 2017, SemEval-2017 Task 1, arXiv:1708.00055",
        note=f"{_NO_TEST_LABELS}; 6 validation pairs are also in train",
        overlap=6,
    ),
    _glue(
        "rte",
        _SENTENCES,
        _lines(_ENTAILMENT, "label", *_SENTENCES),
        description="does the second text follow from the first",
        sizes={"train": 2_490, "validation": 277},
    ),
    _glue(
        "qqp",
        ("question1", "question2"),
        _lines(
            {"0": "not_duplicate", "1": "duplicate"},
            "is_duplicate",
            "question1",
            "question2",
            skip_short=True,  # as GLUE does
        ),
        description="pairs of Quora questions, duplicates or not",
        sizes={"train": 363_846, "validation": 40_430},
        positive="duplicate",
    ),
    _glue(
        "qnli",
        ("question", "sentence"),
        _lines(_ENTAILMENT, "label", "question", "sentence"),
        description="does the sentence answer the question",
        sizes={"train": 104_743, "validation": 5_463},
    ),
    _glue(
        "mnli",
        ("premise", "hypothesis"),
        _lines(_MNLI, "gold_label", *_SENTENCES),
        dev="dev_matched.tsv",
        hub_splits={"train": "train", "validation": "validation_matched"},
        description="entailment, neutral or contradiction, ten genres",
        sizes={"train": 392_702, "validation": 9_815},
        license="see the publication: it differs by genre",
        citation="Williams et al. 2018, arXiv:1704.05426",
        note=f"{_NO_TEST_LABELS}; validation is the matched part",
    ),
)
