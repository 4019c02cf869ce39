"""Predictions for the test rows of GLUE, whose labels its server keeps, as the files that the server scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from tellapart.data.benchmarks.registry import local_folder, registered
from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.data.reading.columns import Columns
from tellapart.data.reading.formats import LineFile
from tellapart.data.reading.hub import HubSource, hub_tables
from tellapart.data.reading.values import read_examples
from tellapart.errors import DataError
from tellapart.evaluation.metrics import predicted_ids
from tellapart.files import write_text
from tellapart.fitting.fitted import Fitted

_MATCHED = {"MNLI-m": "test_matched", "MNLI-mm": "test_mismatched"}

FILES: dict[str, dict[str, str]] = {
    "cola": {"CoLA": "test"},
    "sst2": {"SST-2": "test"},
    "mrpc": {"MRPC": "test"},
    "stsb": {"STS-B": "test"},
    "qqp": {"QQP": "test"},
    "mnli": _MATCHED,
    "qnli": {"QNLI": "test"},
    "rte": {"RTE": "test"},
}
"""Name of a registered set to the names of the server's files, each with the split that it is about."""

_HIGHEST_SIMILARITY = 5.0  # of STS-B, whose targets are 0 to 5


def write_submission(task: str, fitted: Fitted, folder: Path) -> None:
    """Predicts the test rows of a GLUE task and writes the server's files.

    Each is tab-separated with the columns `index`, the number of the row from 0, and `prediction`: 0 or 1 (CoLA,
    SST-2, MRPC, QQP), the name of the class (MNLI, QNLI, RTE), or a number from 0 to 5 (STS-B).

    Args:
        task: A key of `FILES`.
        fitted: A classifier trained on that task.
        folder: The folder to write to.

    Raises:
        DataError: The test rows cannot be read.
        OutputError: A file cannot be written.
    """
    for name, rows in submission_rows(task).items():
        predictions = _predictions(task, fitted, rows)
        lines = [f"{index}\t{prediction}" for index, prediction in enumerate(predictions)]
        write_text(folder / f"{name}.tsv", "\n".join(["index\tprediction", *lines]) + "\n")


def is_submitted(task: str, folder: Path) -> bool:
    """Whether the server's files of a task are in a folder."""
    return all((folder / f"{name}.tsv").is_file() for name in FILES[task])


def submission_rows(task: str) -> dict[str, TextSplit]:
    """Reads the test rows of a GLUE task, from the user's files in `TELLAPART_DATA` or from the Hub.

    Args:
        task: A key of `FILES`.

    Returns:
        Name of the server's file to the rows that it is about, in their order, without labels.

    Raises:
        DataError: The rows cannot be read.
    """
    return {name: _rows(task, split) for name, split in FILES[task].items()}


def _rows(task: str, split: str) -> TextSplit:
    known, folder = registered()[task], local_folder(task)
    reader, source = known.originals[0].reader, known.source
    assert isinstance(reader, LineFile)
    assert isinstance(source, HubSource)
    if folder is None:
        table = hub_tables(source.name, source.config, {"test": split})["test"]
        return _texts(table, source.columns, f"{source.name} ({split})")
    files = sorted(folder.glob(f"**/{split}.tsv"))
    if not files:
        raise DataError(
            f"{folder} has no {split}.tsv, whose rows GLUE's server asks for", "put GLUE's file there"
        )
    # A skipped line would move all predictions after it.
    table = replace(reader, skip_short=False).read(files[0])
    pair = "text_pair" if "text_pair" in table.column_names else None
    return _texts(table, Columns("text", pair), str(files[0]))


def _texts(table: pa.Table, columns: Columns, where: str) -> TextSplit:
    return read_examples(table, replace(columns, label=None), where=where)


def _predictions(task: str, fitted: Fitted, rows: TextSplit) -> list[str]:
    labels, values = fitted.labels, fitted.scores(rows)
    if labels.regression:
        return [f"{value:.3f}" for value in values[:, 0].clip(0.0, _HIGHEST_SIMILARITY)]
    written = _written(task, labels)
    return [written[index] for index in predicted_ids(labels, values)]


def _written(task: str, labels: LabelSpace) -> list[str]:
    """Returns the server's word for each class."""
    reader = registered()[task].originals[0].reader
    assert isinstance(reader, LineFile)
    words = {name: word for word, name in (reader.labels or {}).items()}
    missing = [name for name in labels.names if name not in words]
    if missing:
        raise DataError(
            f'GLUE\'s server has no class "{missing[0]}" of {task}', f"train on the set {task} itself"
        )
    return [words[name] for name in labels.names]
