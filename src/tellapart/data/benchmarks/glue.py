"""Eight of the nine tasks of GLUE (Wang et al. 2019, arXiv:1804.07461)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tellapart.data.benchmarks.base import BenchmarkSet, OriginalFiles, described_set
from tellapart.data.reading.columns import Columns
from tellapart.data.reading.formats import LineFile
from tellapart.data.reading.hub import HubSource

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
    originals: tuple[OriginalFiles, ...] | None = None,
) -> BenchmarkSet:
    """Returns a task of GLUE.

    Args:
        name: Its name, and that of its configuration on the Hub.
        texts: The columns of the texts on the Hub.
        reader: Reads its files.
        dev: The file of the validation rows.
        hub_splits: The Hub's name of each split, where not all of them are read, or names differ.
        originals: The published files; by default `train.tsv` and `dev`.
    """
    text, text_pair = (*texts, None)[:2]
    columns = Columns(str(text), text_pair, "label")
    regression = reader.labels is None
    return described_set(
        name,
        source=HubSource("nyu-mll/glue", columns, name, splits=hub_splits or {}, regression=regression),
        originals=originals or (OriginalFiles.named(reader, train="train.tsv", validation=dev),),
    )


_MRPC_LINES = _lines(_MRPC, "quality", "#1 string", "#2 string")

GLUE = (
    _glue(
        "sst2",
        ("sentence",),
        _lines({"0": "negative", "1": "positive"}, "label", "sentence"),
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
    ),
    _glue(
        "mrpc",
        _SENTENCES,
        _MRPC_LINES,
        originals=(
            OriginalFiles.named(_MRPC_LINES, train="train.tsv", validation="dev.tsv", test="test.tsv"),
            OriginalFiles.named(
                _MRPC_LINES, train="msr_paraphrase_train.txt", test="msr_paraphrase_test.txt"
            ),
        ),
    ),
    _glue(
        "stsb",
        _SENTENCES,
        _lines(None, "score", *_SENTENCES),
        hub_splits={"train": "train", "validation": "validation"},  # its test rows have the target -1
    ),
    _glue(
        "rte",
        _SENTENCES,
        _lines(_ENTAILMENT, "label", *_SENTENCES),
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
    ),
    _glue(
        "qnli",
        ("question", "sentence"),
        _lines(_ENTAILMENT, "label", "question", "sentence"),
    ),
    _glue(
        "mnli",
        ("premise", "hypothesis"),
        _lines(_MNLI, "gold_label", *_SENTENCES),
        dev="dev_matched.tsv",
        hub_splits={"train": "train", "validation": "validation_matched"},
    ),
)
