"""Audits the labels of data, and writes the result as a page, JSON and a table of suspects."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tellapart.data.reading.columns import ColumnNames
from tellapart.data.reading.rows import read_task
from tellapart.data.reading.tables import write_table
from tellapart.evaluation.audit import Audit, suspects_table
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
    folder = claim_folder(output, resume=False, overwrite=overwrite, resumable=False)
    vectors = folder / "vectors"
    try:
        result = audit_data(data, vectors, encoder=encoder, max_length=max_length, seed=seed, quiet=quiet)
    finally:
        shutil.rmtree(vectors, ignore_errors=True)
    write_table(suspects_table(result), folder / "suspects.csv")
    write_audit_page(folder / "audit.html", result)
    write_json(folder / "audit.json", result.to_dict())
    return result
