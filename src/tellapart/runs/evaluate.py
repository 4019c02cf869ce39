"""Evaluates a saved classifier on labelled rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tellapart.data.examples import TextSplit
from tellapart.data.reading.columns import ColumnNames, find_model_columns
from tellapart.data.reading.rows import read_splits
from tellapart.data.reading.values import read_examples
from tellapart.encoders.precision import Precision
from tellapart.evaluation.ranking import WithoutPositive
from tellapart.evaluation.task import task_metrics
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.loading import load_fitted


def evaluate(
    model: str | Path,
    source: Any,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    question_id: str | None = None,
    without_positive: WithoutPositive = "skip",
    label_delimiter: str | None = None,
    order: Sequence[str] | None = None,
    precision: Precision = "fp32",
    quiet: bool = False,
    announce: Callable[[Sequence[str]], None] | None = None,
) -> dict[str, float]:
    """Evaluates a saved classifier with its thresholds and temperature.

    Args:
        model: A run folder, a plain checkpoint, or an export.
        source: Labelled rows, as `tellapart.data.reading.rows.read_splits` reads them; the test split, else the
            validation split, else the training split.
        text: The text column; by default that of the model's training, or found by its name if that is unknown.
        text_pair: The second text's column, likewise.
        label: The label column, likewise.
        question_id: The column that groups the answers of a ranking task, likewise.
        without_positive: How questions without a relevant answer are counted: `skip`, `zero` or `error`.
        label_delimiter: Separates the labels in a multi-label cell.
        order: All classes from first to last, for the metrics of ordered ones; by default the order that the model
            was trained with, if any.
        precision: As for `tellapart.runs.predict.predict`; by default `fp32`, as for a run's own metrics.
        quiet: Whether to show no progress.
        announce: Called with a note on the columns that are read.

    Returns:
        Every metric of the task by name, and `rows`.

    Raises:
        DataError: The rows cannot be read, a label is unknown to the model, or the order does not name each class
            once.
        ModelError: The folder holds no classifier.
    """
    fitted = load_fitted(model).in_precision(precision)
    labels = fitted.labels if order is None else fitted.labels.in_order(order)
    names = ColumnNames(text, text_pair, label, question_id, label_delimiter)
    split = read_labelled(source, fitted, names, announce)
    logits = fitted.scores(split, quiet=quiet)
    return {
        "rows": len(split),
        **task_metrics(
            labels, split, logits, fitted.decision.applied_thresholds, without_positive=without_positive
        ),
    }


def read_labelled(
    source: Any,
    fitted: Fitted,
    names: ColumnNames,
    announce: Callable[[Sequence[str]], None] | None = None,
) -> TextSplit:
    """Reads labelled rows for a saved classifier; `source` and `announce` as for `evaluate`.

    Raises:
        DataError: The rows cannot be read, or lack a column that the model was trained on.
    """
    found = read_splits(source)
    name = next(name for name in ("test", "validation", "train") if name in found.tables)
    table = found.tables[name]
    where = found.name if len(found.tables) == 1 else f"the {name} split of {found.name}"
    columns = find_model_columns(table.schema, names, fitted.columns, where=where)
    if announce is not None:
        announce([f"Columns: {columns}."])
    delimiter = names.label_delimiter
    if names.label is None and fitted.columns is not None:
        delimiter = delimiter or fitted.columns.label_delimiter
    return read_examples(
        table,
        columns,
        label_delimiter=delimiter,
        multi_label=fitted.labels.multi_label,
        regression=fitted.labels.regression,
        where=where,
    )
