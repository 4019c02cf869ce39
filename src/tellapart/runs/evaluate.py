"""Evaluates a saved classifier on labelled rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tellapart.data.examples import TextSplit
from tellapart.data.label_spelling import known_labels
from tellapart.data.reading.columns import ColumnNames, find_model_columns
from tellapart.data.reading.label_lists import named_lists, one_label_column
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
    label_names: Sequence[str] | None = None,
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
        label_names: The labels of the positions of vectors of 0 and 1, in order.
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
    given = None if label_names is None else tuple(label_names)
    names = ColumnNames(text, text_pair, label, question_id, label_delimiter, given)
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
        DataError: The rows cannot be read, lack a column that the model was trained on, or have a label that is
            unknown to the classifier; the message names the first row.
    """
    found = read_splits(source)
    name = next(name for name in ("test", "validation", "train") if name in found.tables)
    table = found.tables[name]
    where = found.name if len(found.tables) == 1 else f"the {name} split of {found.name}"
    labels, trained = fitted.labels, fitted.columns or ColumnNames()
    if labels.multi_label:
        joined = (
            names if names.label else replace(names, label=trained.label, label_names=trained.label_names)
        )
        table, _ = one_label_column(table, joined, where)
    columns = find_model_columns(table.schema, names, fitted.columns, where=where)
    if announce is not None:
        announce([f"Columns: {columns}."])
    if labels.multi_label:
        table, _, _ = named_lists(
            table,
            str(columns.label),
            names,
            multi_label=True,
            known=labels.names,
            positions=trained.label_names,
            where=where,
        )
    delimiter = names.label_delimiter
    if names.label is None:
        delimiter = delimiter or trained.label_delimiter
    split = read_examples(
        table,
        columns,
        label_delimiter=delimiter,
        multi_label=labels.multi_label,
        regression=labels.regression,
        where=where,
    )
    return known_labels(split, labels, where, "the model's classes")
