"""A file in, the same file with labels and probabilities out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tellapart.data.columns import find_columns
from tellapart.data.tables import read_table, write_table
from tellapart.data.values import read_examples
from tellapart.runs.fitting import load_fitted
from tellapart.runs.predictions import added_columns


def predict(
    model: str | Path,
    file: str | Path,
    output: str | Path,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    quiet: bool = False,
) -> int:
    """Labels the rows of a file, with the thresholds and the temperature that stand beside the model.

    Args:
        model: A run folder or a plain checkpoint.
        file: CSV, TSV, JSONL, JSON or Parquet.
        output: Where to write; its suffix says the format. All columns of `file` are kept, and
            `predicted_label` and `probability` are added (lists for multi-label models); `predicted_score` for
            models that predict numbers.
        text: The text column; found by its name when not given.
        text_pair: The second text's column.
        quiet: Whether to show no progress.

    Returns:
        The number of rows.

    Raises:
        DataError: The file cannot be read.
        ModelError: There is no classifier.
        OutputError: The output cannot be written.
    """
    table = read_table(file)
    columns = find_columns(table.schema, text=text, text_pair=text_pair, labelled=False, where=str(file))
    split = read_examples(table, dataclasses.replace(columns, label=None), where=str(file))
    fitted = load_fitted(model)
    logits = fitted.scores(split, quiet=quiet)
    added = added_columns(fitted.labels, logits, fitted.decision.cuts)
    kept = table.select([name for name in table.column_names if name not in added])
    for name, column in added.items():
        kept = kept.append_column(name, column)
    write_table(kept, output)
    return len(split)
