"""Converts table columns to texts, labels, targets and question ids, and refuses invalid values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from tellapart.data.examples import LARGEST_TARGET, TextSplit, too_large_target
from tellapart.data.reading.columns import Columns, written_columns, written_name
from tellapart.data.reading.fasttext import has_one_label
from tellapart.data.reading.features import class_names
from tellapart.data.reading.jsontext import parse_json
from tellapart.data.reading.textfiles import kind_of
from tellapart.data.reading.types import is_list, is_string, plain_column
from tellapart.errors import DataError

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


def read_examples(
    table: pa.Table,
    columns: Columns,
    *,
    label_delimiter: str | None = None,
    multi_label: bool | None = None,
    regression: bool = False,
    where: str = "the data",
) -> TextSplit:
    """Reads the rows of one split from a table.

    Texts are kept unchanged; they may be empty. Labels become names without surrounding spaces: the names of a
    `datasets.ClassLabel` feature; `true` and `false`; numbers as written, but without the fraction if all numbers
    of the column are whole (`3.0` becomes `3`, since missing values turn integers into floats).

    Args:
        table: The rows. Their order is kept, so that columns can be appended to the table.
        columns: The columns to read. Without `columns.label` the result has no labels.
        label_delimiter: Separates the labels in a cell of text; makes the task multi-label.
        multi_label: Whether each row has a list of labels; None to infer it from the delimiter and the column's
            type. Cells of text must hold JSON lists, unless a delimiter is given. Lists may be empty.
        regression: Whether the labels are numeric targets; they may be written as texts.
        where: Name of the data in messages.

    Raises:
        DataError: Texts, labels or ids are missing or of the wrong type. The message gives their number and the
            first row, counted from 1.
    """
    labels: list[str] | list[list[str]] | list[float] | None = None
    if columns.label is not None:
        if regression:
            labels = _scores(table, columns.label, where)
        elif has_label_lists(table, columns.label, label_delimiter=label_delimiter, multi_label=multi_label):
            labels = _label_lists(table, columns.label, label_delimiter, where)
        else:
            labels = _labels(table, columns.label, where)
    return TextSplit(
        texts=_texts(table, columns.text, where),
        text_pairs=_texts(table, columns.text_pair, where) if columns.text_pair else None,
        labels=labels,
        question_ids=_ids(table, columns.question_id, where) if columns.question_id else None,
    )


def has_label_lists(
    table: pa.Table, label: str, *, label_delimiter: str | None = None, multi_label: bool | None = None
) -> bool:
    """Whether each row of a table has a list of labels; arguments as for `read_examples`."""
    inferred = label_delimiter is not None or is_list(table.schema.field(label).type)
    return inferred if multi_label is None else multi_label


def is_unlabelled(table: pa.Table, label: str) -> bool:
    """Whether a table has no label at all: the column is absent or empty (-1 in a ClassLabel feature)."""
    name = written_name(table.schema, label)
    if name is None:
        return True
    return not is_list(table[name].type) and _strings(table, name, "the data").null_count == len(table)


def label_is(table: pa.Table, label: str, name: str, where: str = "the data") -> pa.ChunkedArray:
    """Returns whether each row has a label, bool (N,); False for rows without one, and in columns of lists."""
    if is_list(table[label].type):
        return pa.chunked_array([pa.repeat(False, len(table))])
    return pc.fill_null(pc.equal(_strings(table, label, where), name), False)


def has_labels(table: pa.Table, label: str, where: str = "the data") -> pa.ChunkedArray:
    """Returns whether each row has a label, bool (N,); an empty list of labels is one."""
    values = plain_column(table, label, where)
    if not is_list(values.type) and not pa.types.is_decimal(values.type):
        values = _strings(table, label, where)
    return pc.is_valid(values)


def examples_table(split: TextSplit) -> pa.Table:
    """Returns a split as a table with columns `text`, `text_pair`, `label` or `labels`, and `question_id`."""
    lists = any(isinstance(label, list) for label in split.labels or [])
    columns = {
        "text": split.texts,
        "text_pair": split.text_pairs,
        "labels" if lists else "label": split.labels,
        "question_id": split.question_ids,
    }
    return pa.table({name: values for name, values in columns.items() if values is not None})


def fractional_numbers(table: pa.Table, label: str, where: str) -> int:
    """Returns the number of distinct numbers in a label column; 0 if any label is no number, or all are whole.

    Texts may have a comma in place of the point, as spreadsheets of many languages write it.
    """
    values = plain_column(table, label, where)
    if not is_string(values.type) and not pa.types.is_floating(values.type):
        return 0
    different = [value for value in pc.unique(values).to_pylist() if value is not None]
    numbers = [_number(_with_point(value)) for value in different]
    if any(number is None for number in numbers) or all(
        float(number or 0).is_integer() for number in numbers
    ):
        return 0
    return len(set(numbers))


def standard_table(
    table: pa.Table,
    columns: Columns,
    label_names: Mapping[str, str],
    *,
    regression: bool = False,
    where: str = "the data",
) -> pa.Table:
    """Returns the rows of a task under the column names of `examples_table`, with renamed labels.

    Args:
        table: The rows.
        columns: The columns to read.
        label_names: The new name of each label; other labels are refused. Empty to keep all labels.
        regression: Whether the labels are numeric targets.
        where: Name of the data in messages.

    Raises:
        DataError: As in `read_examples`; or a column is missing, or a label has no name.
    """
    examples = read_examples(
        table, written_columns(columns, table.schema, where), regression=regression, where=where
    )
    if not label_names:
        return examples_table(examples)
    labels = [str(label) for label in examples.labels or []]
    for row, label in enumerate(labels, start=1):
        if label not in label_names:
            raise DataError(
                f'{where} has the label "{label}" in row {row}', f"use one of {', '.join(label_names)}"
            )
    return examples_table(replace(examples, labels=[label_names[label] for label in labels]))


def _texts(table: pa.Table, name: str, where: str) -> list[str]:
    column = plain_column(table, name, where)
    if not is_string(column.type) and column.null_count < len(column):
        row = pc.index(column.is_valid(), True).as_py()
        raise DataError(
            f'row {row + 1} of column "{name}" in {where} is {kind_of(column[row].as_py())}, not a text',
            "name the text column with --text, or write its values as texts",
        )
    return _complete(column, "text", name, where)


def _ids(table: pa.Table, name: str, where: str) -> list[str]:
    return _complete(_strings(table, name, where), "question id", name, where)


def _labels(table: pa.Table, name: str, where: str) -> list[str]:
    if is_list(table[name].type):
        raise DataError(
            f'the column "{name}" of {where} holds lists of labels, but one label per row is required',
            "leave out multi_label=False or name another column with --label",
        )
    return _complete(_strings(table, name, where), "label", name, where)


def _scores(table: pa.Table, name: str, where: str) -> list[float]:
    if is_list(table[name].type):
        raise DataError(
            f'the column "{name}" of {where} holds lists, but one target per row is required',
            "name another column with --label",
        )
    written = _complete(_strings(table, name, where), "target", name, where)
    scores = [_number(text) for text in written]
    for row, score in enumerate(scores, start=1):
        if score is None:
            has_comma = _with_point(written[row - 1]) != written[row - 1]
            raise DataError(
                f'row {row} of {where} has "{written[row - 1]}" in column "{name}", which is not a number',
                "write numbers with a decimal point"
                if has_comma
                else "correct it, name another column with --label, or leave out --regression to predict classes",
            )
        if abs(score) > LARGEST_TARGET:
            raise too_large_target(written[row - 1], f"row {row} of {where}")
    return [score for score in scores if score is not None]


def _number(value: object) -> float | None:
    """Converts a finite number or its text to float; returns None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _with_point(value: object) -> object:
    """Replaces the comma of a written decimal number by a point; returns anything else as it is."""
    return (
        value.replace(",", ".")
        if isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value.strip())
        else value
    )


def _complete(values: pa.ChunkedArray, what: str, name: str, where: str) -> list[str]:
    _refuse_missing(values, what, name, where)
    return values.to_pylist()


def _refuse_missing(values: pa.ChunkedArray, what: str, name: str, where: str) -> None:
    if values.null_count:
        first = pc.index(values.is_null(), True).as_py() + 1
        raise missing_values(values.null_count, first, what, name, where)


def missing_values(count: int, first: int, what: str, name: str, where: str) -> DataError:
    """Returns the error for rows without a value; `first` counts rows from 1."""
    return DataError(
        f'{count} row(s) of {where} have no {what} in column "{name}", the first is row {first}',
        "fill them in or remove those rows",
    )


def _strings(table: pa.Table, name: str, where: str) -> pa.ChunkedArray:
    """Returns labels or ids as strings, null if missing."""
    return _as_strings(plain_column(table, name, where), table.schema, name, where)


def _as_strings(values: pa.ChunkedArray, schema: pa.Schema, name: str, where: str) -> pa.ChunkedArray:
    kind = values.type
    if pa.types.is_integer(kind) and (names := class_names(schema, name, where)) is not None:
        return _named(values, names, name, where)
    if pa.types.is_floating(kind):
        values = pc.if_else(pc.is_finite(values), values, None)
        whole = pc.all(pc.equal(values, pc.floor(values))).as_py()
        fits = pc.all(pc.less(pc.abs(values), 2.0**63)).as_py()  # else no int64 holds them
        return (values.cast(pa.int64()) if whole and fits else values).cast(pa.string())
    if is_string(kind):
        trimmed = pc.utf8_trim_whitespace(values)
        return pc.if_else(pc.equal(trimmed, ""), None, trimmed)
    if not (pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
        raise DataError(
            f'the column "{name}" of {where} holds {kind} values',
            "write labels and ids as texts, numbers, true or false",
        )
    return values.cast(pa.string())


def _named(ids: pa.ChunkedArray, names: list[str], column: str, where: str) -> pa.ChunkedArray:
    """Returns the class name of each id; null for negative ids, which `datasets` writes for no label."""
    beyond = pc.index(pc.fill_null(pc.greater_equal(ids, len(names)), False), True).as_py()
    if beyond >= 0:
        raise DataError(
            f'the column "{column}" of {where} holds the class id {ids[beyond]}, but its metadata name '
            f"{len(names)} class(es)",
            "correct the ids, or save the data again with all class names",
        )
    return pc.take(pa.array(names, pa.string()), pc.if_else(pc.greater_equal(ids, 0), ids, None))


def _label_lists(table: pa.Table, name: str, delimiter: str | None, where: str) -> list[list[str]]:
    if delimiter == "":
        raise DataError(
            "the separator of several labels is empty", "give the character between them, such as ','"
        )
    column, what = plain_column(table, name, where), f'the column "{name}" of {where}'
    if is_list(column.type):
        _refuse_missing(column, "list of labels", name, where)
        flat = iter(_as_strings(pc.list_flatten(column), table.schema, name, where).to_pylist())
        return [_distinct(islice(flat, length)) for length in pc.list_value_length(column).to_pylist()]
    if not is_string(column.type):
        raise DataError(
            f"{what} holds {column.type} values, not lists of labels", "write lists, or give a delimiter"
        )
    cells = column.fill_null("").to_pylist()
    if delimiter is None and has_one_label(table.schema.field(name)):
        return [[label] for label in cells]
    if delimiter is None:
        return [_from_json(cell, row, what) for row, cell in enumerate(cells, start=1)]
    return [_distinct(part.strip() for part in cell.split(delimiter)) for cell in cells]


def _from_json(cell: str, row: int, what: str) -> list[str]:
    try:
        items = parse_json(cell or "[]", f"row {row} of {what}")
    except json.JSONDecodeError:
        items = None
    if not isinstance(items, list):
        raise DataError(
            f"{what} holds no JSON list in row {row}",
            'write lists such as ["a", "b"], or give the separator of the labels with --label-delimiter',
        )
    refuse_non_labels(items, row, what)
    return _distinct(item.strip() if isinstance(item, str) else json.dumps(item) for item in items)


def refuse_non_labels(items: Iterable[object], row: int, what: str, remedy: str = "") -> None:
    """Refuses a list of labels with an item that is missing, a list or an object.

    Args:
        items: The list.
        row: Its row, from 1.
        what: The column in messages.
        remedy: Ends the remedy.

    Raises:
        DataError: It has such an item.
    """
    for item in items:
        missing = item is None or item != item
        if missing or not isinstance(item, str | int | float):
            raise DataError(
                f"the list in row {row} of {what} has {'a missing label' if missing else kind_of(item)}",
                f"write labels as texts or numbers{remedy}",
            )


def _distinct(names: Iterable[str | None]) -> list[str]:
    return list(dict.fromkeys(name for name in names if name))
