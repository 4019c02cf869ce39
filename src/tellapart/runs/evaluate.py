"""Evaluates a saved classifier on labelled rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tellapart.data.examples import TextSplit
from tellapart.data.label_spelling import known_labels
from tellapart.data.out_of_scope import check_found, without_label
from tellapart.data.reading.columns import ColumnNames, find_model_columns
from tellapart.data.reading.label_lists import named_lists, one_label_column
from tellapart.data.reading.out_of_scope import read_out_of_scope
from tellapart.data.reading.rows import read_splits
from tellapart.data.reading.values import read_examples
from tellapart.encoders.precision import Precision
from tellapart.errors import DataError
from tellapart.evaluation.ranking import WithoutPositive
from tellapart.evaluation.task import task_metrics
from tellapart.fitting.abstaining import abstention_report
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.learned_rows import learned_rows_note
from tellapart.fitting.loading import load_fitted
from tellapart.fitting.rows import out_of_scope_label


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
    out_of_scope: str | None = None,
    precision: Precision = "fp32",
    quiet: bool = False,
    announce: Callable[[Sequence[str]], None] | None = None,
) -> dict[str, Any]:
    """Evaluates a saved classifier with its thresholds and temperature, and its abstention if it abstains.

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
        out_of_scope: The label of rows of no class, by default that of the training; or a file of such texts.
        precision: As for `tellapart.runs.predict.predict`; by default `fp32`, as for a run's own metrics.
        quiet: Whether to show no progress.
        announce: Called with notes on the columns that are read, and on rows that the run was trained on.

    Returns:
        Every metric of the task by name, and `rows`. If the model abstains, or with out-of-scope rows, also the
        metrics of `tellapart.fitting.abstaining.AbstentionReport`, and its curve as `risk_coverage`.

    Raises:
        DataError: The rows cannot be read, a label is unknown to the model, or the order does not name each class
            once.
        ModelError: The folder holds no classifier.
    """
    fitted = load_fitted(model).in_precision(precision)
    labels = fitted.labels if order is None else fitted.labels.in_order(order)
    given = None if label_names is None else tuple(label_names)
    marked = out_of_scope_label(out_of_scope)
    names = ColumnNames(text, text_pair, label, question_id, label_delimiter, given, marked)
    split, outside = _labelled_and_outside(source, fitted, names, announce)
    if out_of_scope is not None and marked is None:
        outside, notes = read_out_of_scope(out_of_scope, names, split, labels, fitted.columns, outside)
        if announce is not None:
            announce(notes)
    if announce is not None:
        announce(learned_rows_note(model, split))
    logits = fitted.scores(split, quiet=quiet)
    metrics: dict[str, Any] = {
        "rows": len(split),
        **task_metrics(
            labels, split, logits, fitted.decision.applied_thresholds, without_positive=without_positive
        ),
    }
    report = abstention_report(fitted, split, logits, fitted.outside_scores(outside, "test"))
    return metrics if report is None else metrics | report.metrics | {"risk_coverage": report.curve}


def read_labelled(
    source: Any,
    fitted: Fitted,
    names: ColumnNames,
    announce: Callable[[Sequence[str]], None] | None = None,
) -> TextSplit:
    """Reads labelled rows for a saved classifier, without those out of scope; the arguments are as for `evaluate`.

    Raises:
        DataError: The rows cannot be read, lack a column that the model was trained on, or have a label that is
            unknown to the classifier; the message names the first row.
    """
    return _labelled_and_outside(source, fitted, names, announce)[0]


def _labelled_and_outside(
    source: Any, fitted: Fitted, names: ColumnNames, announce: Callable[[Sequence[str]], None] | None
) -> tuple[TextSplit, TextSplit | None]:
    """Reads labelled rows, and those with the label of out-of-scope rows; None without any."""
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
    outside: dict[str, TextSplit] = {}
    marked = names.out_of_scope or trained.out_of_scope
    if marked is not None:
        kept, outside = without_label({name: split}, marked)
        if names.out_of_scope is not None:
            check_found(outside, kept, marked)
        if not kept:
            raise DataError(f"all rows of {where} are out of scope", "add rows of classes")
        split = kept[name]
    return known_labels(split, labels, where, "the model's classes"), outside.get(name)
