"""Audits the labels of data, and writes the result as a page, JSON and a table of suspects."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tellapart.data.examples import TextData
from tellapart.data.reading.tables import write_table
from tellapart.evaluation.audit import Audit, suspects_table
from tellapart.files import write_json
from tellapart.fitting.audit import audit_data
from tellapart.fitting.folder import claim_folder, claimed
from tellapart.inspection.audit_page import write_audit_page
from tellapart.recipes import Recipe
from tellapart.runs.check import read_checked


def audit(
    source: Any,
    output: str | Path,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    label_delimiter: str | None = None,
    label_names: Sequence[str] | None = None,
    regression: bool | None = None,
    encoder: str | None = None,
    max_length: int | None = None,
    seed: int = 0,
    settings: Sequence[str] = (),
    overwrite: bool = False,
    quiet: bool = False,
    read: tuple[TextData, Recipe] | None = None,
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
        label_names: The labels of the positions of vectors of 0 and 1, in order.
        regression: Whether the labels are numeric targets, which cannot be audited.
        encoder: A pre-trained encoder; by default that of a recipe.
        max_length: Longest input in tokens; by default that of training.
        seed: Of the folds.
        settings: Keys of a recipe as for `--set`; they override the other arguments.
        overwrite: Whether to replace the contents of the folder.
        quiet: Whether to show no progress.
        read: From `read_checked` with these arguments, if the rows are read already.

    Raises:
        MissingDependencyError: cleanlab is not installed.
        DataError: The data cannot be read or audited.
        UserError: The encoder has no pre-trained vectors, or the folder holds other files.
        OutputError: A file cannot be written.
    """
    data, recipe = read or read_checked(
        source,
        settings,
        text=text,
        text_pair=text_pair,
        label=label,
        label_delimiter=label_delimiter,
        label_names=label_names,
        regression=regression,
        encoder=encoder,
        max_length=max_length,
        seed=seed,
    )
    with claimed(output, overwrite=overwrite, inputs=(source, recipe.encoder.name), emptied=False) as folder:
        vectors = folder / "vectors"
        shutil.rmtree(vectors, ignore_errors=True)  # of a process that was killed
        try:
            result = audit_data(
                data,
                vectors,
                encoder=recipe.encoder.name,
                max_length=recipe.encoder.max_length,
                seed=recipe.seed,
                quiet=quiet,
            )
        finally:
            shutil.rmtree(vectors, ignore_errors=True)
        claim_folder(folder, resume=None, overwrite=overwrite)
        write_table(suspects_table(result), folder / "suspects.csv")
        write_audit_page(folder / "audit.html", result)
        write_json(folder / "audit.json", result.to_dict())
        return result
