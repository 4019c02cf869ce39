"""Audits the labels of data, and writes the result as a page, JSON and a table of suspects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from tellapart.data.reading.columns import ColumnNames
from tellapart.data.reading.rows import read_task
from tellapart.data.reading.tables import write_table
from tellapart.data.relabelling import LABEL, ROW, SPLIT, SUGGESTED, TEXT, TEXT_PAIR
from tellapart.evaluation.audit import Audit
from tellapart.files import write_json
from tellapart.fitting.audit import audit_data
from tellapart.fitting.folder import claim_folder
from tellapart.inspection.audit_page import write_audit_page


def audit(
    source: Any,
    output: str | Path,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    label_delimiter: str | None = None,
    regression: bool | None = None,
    encoder: str = "minilm",
    max_length: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    quiet: bool = False,
) -> Audit:
    """Finds suspect labels, near-duplicates and overlapping classes with the vectors of a frozen encoder.

    Writes `audit.html`, `audit.json` and `suspects.csv`, which `tellapart.relabel` takes after it was edited.

    Args:
        source: What `tellapart.data.reading.rows.read_task` reads.
        output: The folder to write.
        text: The text column; found by its name when not given.
        text_pair: The second text's column.
        label: The label column.
        label_delimiter: Separates the labels in a multi-label cell.
        regression: Whether the labels are numeric targets, which cannot be audited.
        encoder: A pre-trained encoder.
        max_length: Longest input in tokens; by default that of training.
        seed: Of the folds.
        overwrite: Whether to replace the contents of the folder.
        quiet: Whether to show no progress.

    Raises:
        MissingDependencyError: cleanlab is not installed.
        DataError: The data cannot be read or audited.
        UserError: The encoder has no pre-trained vectors, or the folder holds other files.
        OutputError: A file cannot be written.
    """
    names = ColumnNames(text, text_pair, label, label_delimiter=label_delimiter)
    data = read_task(source, names, regression=regression)
    folder = claim_folder(output, resume=False, overwrite=overwrite)
    result = audit_data(data, encoder=encoder, max_length=max_length, seed=seed, quiet=quiet)
    write_table(suspects_table(result), folder / "suspects.csv")
    write_audit_page(folder / "audit.html", result)
    write_json(folder / "audit.json", result.to_dict())
    return result


def suspects_table(result: Audit) -> pa.Table:
    """Returns the suspects as a table, worst first: where they are, text, label, suggested label and score."""
    at = [one.at for one in result.suspects]
    columns: dict[str, list[Any]] = {
        SPLIT: [row.split for row in at],
        ROW: [row.row for row in at],
        TEXT: [row.text for row in at],
        TEXT_PAIR: [row.text_pair for row in at],
        LABEL: [row.label for row in at],
        SUGGESTED: [one.suggested_label for one in result.suspects],
        "score": [one.score for one in result.suspects],
    }
    if all(row.text_pair is None for row in at):
        del columns[TEXT_PAIR]
    kinds = {ROW: pa.int64(), "score": pa.float64()}
    listed = pa.list_(pa.string()) if any(isinstance(row.label, list) for row in at) else pa.string()
    kinds |= {LABEL: listed, SUGGESTED: listed}
    return pa.table({name: pa.array(cells, kinds.get(name, pa.string())) for name, cells in columns.items()})
