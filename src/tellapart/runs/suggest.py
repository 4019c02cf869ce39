"""Chooses the texts of a pool to label next and writes them as a table or as tasks for Label Studio."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from tellapart.data.label_studio import write_label_studio
from tellapart.data.reading.columns import ColumnNames, find_model_columns, label_column_to_fill
from tellapart.data.reading.streams import open_rows
from tellapart.data.reading.tables import FORMATS, file_format, write_table
from tellapart.errors import UserError
from tellapart.evaluation.active_learning import PROBABILITY, SUGGESTED
from tellapart.fitting.loading import load_fitted, trained_columns
from tellapart.fitting.pool import Suggestions, check_suggests, read_run_rows, suggest_rows
from tellapart.training.progress import rows_bar

Format = Literal["table", "label-studio"]


def suggest(
    model: str | Path,
    pool: str | Path,
    output: str | Path,
    *,
    number: int = 50,
    format: Format = "table",
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    quiet: bool = True,
    announce: Callable[[Sequence[str]], None] | None = None,
) -> Suggestions:
    """Chooses the texts whose labels are expected to help most, see `tellapart.fitting.pool.suggest_rows`.

    Texts of the run's training, validation and test data, rows that have a label, empty texts and duplicates are left
    out. Large pools are read, scored and forgotten in parts.

    Args:
        model: A run folder, whose data and confusions are used too; a plain checkpoint; or an export.
        pool: The texts: CSV, TSV, JSONL, JSON or Parquet.
        output: The file to write, which must not exist. A table has all columns of the pool, an empty label column,
            and `suggested_label`, `second_label`, `probability`, `second_probability`, `margin` and `pair`.
        number: Texts to choose; with fewer new texts all are written.
        format: `table` in the format of the suffix of `output`; `label-studio` for JSON tasks with predictions, and
            beside them the labelling configuration with the suffix `.xml`.
        text: The text column; by default that of the model's training, or found by its name if that is unknown.
        text_pair: The second text's column, likewise.
        label: The label column, likewise; it need not exist.
        quiet: Whether to show no progress.
        announce: Called with a note on the columns that are read.

    Returns:
        The rows that were written.

    Raises:
        UserError: The output exists or has a wrong suffix, or `number` is below 1.
        DataError: The pool cannot be read, has no new text, or has a column of the name of an added one.
        ModelError: The folder holds no classifier, or one of numbers or of several labels per text.
        OutputError: The output cannot be written.
    """
    _check_output(Path(output), format, number)
    stream = open_rows(pool)
    trained = trained_columns(model) or ColumnNames()
    given = ColumnNames(text, text_pair)
    columns = find_model_columns(stream.schema, given, trained, labelled=False, where=str(pool))
    label = label_column_to_fill(stream.schema, label or trained.label, columns)
    stream.check_texts(columns)
    if announce is not None:
        announce([f'Columns: {columns}; labels are left to be filled into "{label}".'])
    fitted = load_fitted(model).in_precision("auto")
    check_suggests(fitted.labels)
    run = read_run_rows(model, fitted.labels)
    with rows_bar(stream.rows, quiet=quiet) as progress:
        found = suggest_rows(fitted, stream, columns, number, run, label=label, progress=progress)
    if format == "label-studio":
        texts = [name for name in (columns.text, columns.text_pair) if name is not None]
        write_label_studio(
            output,
            found.split,
            found.table.drop_columns([label, *texts]).to_pylist(),
            label=SUGGESTED,
            score=PROBABILITY,
            classes=fitted.labels.names,
            model=str(model),
        )
    else:
        write_table(found.table, output)
    return found


def _check_output(path: Path, format: Format, number: int) -> None:
    if number < 1:
        raise UserError(f"{number} texts cannot be suggested", "give a number from 1")
    if format == "label-studio" and path.suffix.lower() != ".json":
        raise UserError(
            f"Label Studio imports JSON, and {path.name} is none", "give a file such as batch.json"
        )
    if file_format(path) is None:
        raise UserError(
            f"the format of {path.name} is unknown", f"use one of the suffixes {', '.join(FORMATS)}"
        )
    for file in (path, path.with_suffix(".xml"))[: 2 if format == "label-studio" else 1]:
        if os.path.lexists(file):
            raise UserError(f"the output {file} exists", "choose another --output: nothing is overwritten")
