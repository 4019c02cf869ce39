"""Adds predicted labels and probabilities to the rows of a file, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.data.examples import TextSplit
from tellapart.data.reading.columns import ColumnNames, Columns, find_model_columns
from tellapart.data.reading.streams import RowStream, one_ahead, open_rows
from tellapart.data.reading.tables import writing_table
from tellapart.data.reading.values import read_examples
from tellapart.encoders.precision import Precision
from tellapart.errors import DataError
from tellapart.evaluation.predictions import added_columns
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.loading import load_fitted, trained_columns
from tellapart.training.progress import rows_bar


def predict(
    model: str | Path,
    file: str | Path,
    output: str | Path,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    prefix: str = "",
    margin: bool = False,
    top_k: int = 0,
    precision: Precision = "auto",
    quiet: bool = False,
    announce: Callable[[Sequence[str]], None] | None = None,
) -> int:
    """Predicts labels for the rows of a file with the model's thresholds and temperature.

    The whole file is checked before the model is loaded. Large files are then read again, scored and written in
    parts, in constant memory; the output appears when it is complete.

    Args:
        model: A run folder, a plain checkpoint, or an export.
        file: CSV, TSV, JSONL, JSON or Parquet.
        output: The file to write; its suffix determines the format. All columns of `file` are kept, and
            `predicted_label` and `probability` are added (lists for multi-label models); `predicted_score` for
            regression models; `decision` (accepted or abstained) and `prediction_set` if the model has them.
        text: The text column; by default that of the model's training, or found by its name if that is unknown.
        text_pair: The second text's column, likewise.
        prefix: Put before the names of the added columns.
        margin: Whether to add `second_label` and `margin`, the difference of the two highest probabilities.
        top_k: Number of most probable labels to add, with their probabilities.
        precision: `fp32`; `bf16` for weights cast once; `auto` for bf16 where the device is faster with it.
        quiet: Whether to show no progress.
        announce: Called with a note on the columns that are read.

    Returns:
        The number of rows.

    Raises:
        DataError: The file cannot be read, lacks the column that the model was trained on, or has a column of the
            name of an added one.
        ModelError: The folder holds no classifier.
        OutputError: The output cannot be written.
        UserError: The task has no second class, or no `top_k` classes.
    """
    rows = open_rows(file)
    given = ColumnNames(text, text_pair)
    columns = find_model_columns(rows.schema, given, trained_columns(model), labelled=False, where=str(file))
    rows.check_texts(columns)
    if announce is not None:
        announce([f"Columns: {columns}."])
    fitted = load_fitted(model).in_precision(precision)
    add = partial(added_columns, fitted.labels, decision=fitted.decision, margin=margin, top_k=top_k)
    added = add(np.empty((0, len(fitted.labels)), dtype=np.float32))
    fields = [pa.field(prefix + name, column.type) for name, column in added.items()]
    for field in fields:
        if field.name in rows.schema.names:
            raise DataError(
                f'{file} has a column "{field.name}", which the prediction would replace',
                f"name the added columns otherwise, such as --prefix model_{prefix} (in Python prefix=...)",
            )
    schema = pa.schema([*rows.schema, *fields], rows.schema.metadata)
    with writing_table(output, schema) as write, rows_bar(rows.rows, quiet=quiet) as progress:
        for table, split, tokenised in one_ahead(_tokenised_parts(rows, columns, fitted)):
            logits = fitted.scores(split, rows=tokenised, progress=progress)
            write(pa.Table.from_arrays([*table.columns, *add(logits).values()], schema=schema))
    return rows.rows


def _tokenised_parts(
    rows: RowStream, columns: Columns, fitted: Fitted
) -> Iterator[tuple[pa.Table, TextSplit, TokenisedDataset | None]]:
    for table in rows.parts():
        split = read_examples(table, columns, where=str(rows.path))
        yield table, split, fitted.tokenised(split)
