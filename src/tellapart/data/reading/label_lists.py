"""Converts several label columns, vectors of 0 and 1, and lists written as texts to one column of label lists."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tellapart.data.reading.columns import ColumnNames, match_column, written_name
from tellapart.data.reading.features import class_names
from tellapart.data.reading.types import is_list, is_string, plain_column
from tellapart.data.reading.values import refuse_non_labels
from tellapart.errors import DataError

_LONGEST_CELL = 10_000  # characters of a written list: beyond, parsing it may take the memory of the process
_BITS = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}


def one_label_column(table: pa.Table, names: ColumnNames, where: str) -> tuple[pa.Table, ColumnNames]:
    """Joins label columns of 0 and 1, named with commas between them, to one column of label lists.

    Args:
        table: The rows.
        names: The columns that the user named. `label` names several, such as `toxic,obscene,insult`, if no column
            has that name itself. The labels are the names of the columns, or `label_names`.
        where: Name of the data in messages.

    Returns:
        The table with a list column in place of them, and its name as `label`. Both are unchanged if the label is one
        column, or if the table has none of several.

    Raises:
        DataError: Some of the columns are missing, or a value is neither 0 nor 1.
    """
    parts = [part.strip() for part in (names.label or "").split(",") if part.strip()]
    single = len(parts) < 2 or written_name(table.schema, str(names.label)) is not None
    if single or all(written_name(table.schema, part) is None for part in parts):
        return table, names
    columns = [match_column(table.schema, part, where) for part in parts]
    labels = _checked_names(
        names.label_names or parts, len(columns), f"the {len(columns)} label columns of {where}"
    )
    vectors = np.column_stack([_bits(table, column, where) for column in columns])
    joined = ",".join(parts)
    table = table.drop_columns(columns).append_column(joined, _named(vectors, labels, None))
    return table, replace(names, label=joined, label_names=labels)


def named_lists(
    table: pa.Table,
    label: str,
    names: ColumnNames,
    *,
    multi_label: bool | None = None,
    known: Sequence[str] | None = None,
    positions: Sequence[str] | None = None,
    where: str = "the data",
) -> tuple[pa.Table, ColumnNames, tuple[str, ...]]:
    """Converts vectors of 0 and 1, and lists written as texts, to lists of label names.

    Lists of equal length of at least 2 that hold only 0 and 1 are vectors: as lists of class numbers they would give
    every row the same labels. Texts are lists if all are JSON or Python lists, such as `['a', 'b']`.

    Args:
        table: The rows.
        label: The label column.
        names: The columns that the user named; `label_names` names the positions of vectors.
        multi_label: Whether each row has several labels; None to infer it. With False nothing is converted.
        known: The labels of a saved model; None in training, where unnamed positions are numbered from 0.
        positions: The labels of the positions in the training of that model, if it had vectors.
        where: Name of the data in messages.

    Returns:
        The table, the names with the label of each position as `label_names`, and notes for the run's log.

    Raises:
        DataError: The positions of vectors are not named and cannot be numbered, or there are more or fewer names
            than positions, or names but no vectors.
    """
    if multi_label is not False and names.label_delimiter is None and not _is_named(table, label, where):
        lists = _lists(table, label, where)
        if lists is not None:
            return _converted(table, label, lists, names, known, positions, where)
    if names.label_names is not None and "," not in label:
        raise DataError(
            f'label names are given, but the column "{label}" of {where} holds no vectors of 0 and 1',
            "leave out --label-names (data.label_names), or name the column of the vectors with --label",
        )
    return table, names, ()


def _is_named(table: pa.Table, label: str, where: str) -> bool:
    """Whether a list column holds names, as texts or as ids with class names."""
    kind = table.schema.field(label).type
    if not is_list(kind):
        return False
    return is_string(kind.value_type) or class_names(table.schema, label, where) is not None


def _lists(table: pa.Table, label: str, where: str) -> list[list[Any] | None] | None:
    """Returns the lists of a column of numbers or of written lists; None for other columns.

    Raises:
        DataError: All texts are lists, and one holds something that is no label.
    """
    column = plain_column(table, label, where)
    if is_list(column.type):
        kind = column.type.value_type
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        return column.to_pylist() if is_number else None
    if not is_string(column.type):
        return None
    cells = [None if cell is None else cell.strip() for cell in column.to_pylist()]
    if not any(cells) or any(cell and (cell[0], cell[-1]) != ("[", "]") for cell in cells):
        return None
    lists = [_parsed(cell) if cell else [] for cell in cells]
    if any(items is None for items in lists):
        return None
    for row, items in enumerate(lists, start=1):
        refuse_non_labels(
            items or [],
            row,
            f'the column "{label}" of {where}',
            ", or set data.multi_label=false for one class",
        )
    return lists


def _parsed(cell: str) -> list[Any] | None:
    """Parses a JSON or Python list; None if it is none."""
    if len(cell) > _LONGEST_CELL or re.search(r"""['"]\s+['"]""", cell):  # as NumPy prints them: 'a' 'b'
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            items = parse(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return items
    return None


def _converted(
    table: pa.Table,
    label: str,
    lists: list[list[Any] | None],
    names: ColumnNames,
    known: Sequence[str] | None,
    positions: Sequence[str] | None,
    where: str,
) -> tuple[pa.Table, ColumnNames, tuple[str, ...]]:
    vectors = _vectors(lists, f'column "{label}" of {where}')
    written = is_string(plain_column(table, label, where).type)
    if vectors is None and (names.label_names is not None or not written):
        if names.label_names is None:
            return table, names, ()  # lists of class numbers
        raise DataError(
            f'the labels are positions of vectors of 0 and 1, but the lists in column "{label}" of {where} are no '
            "such vectors of one length",
            "write vectors there, or leave out --label-names (data.label_names) if it is given",
        )
    if vectors is None:
        content = pa.array([None if row is None else [_name(item) for item in row] for row in lists])
        notes = (
            f'The texts in "{label}" are lists, so a row has several labels; data.multi_label=false takes each text '
            "as one class.",
        )
        return _replaced(table, label, content), names, notes
    size = vectors.shape[1]
    what = f'the vectors of 0 and 1 in column "{label}" of {where}, of length {size},'
    labels = names.label_names or positions or _numbered(vectors, known, what)
    labels = _checked_names(labels, size, what)
    missing = np.array([not row for row in lists])
    ending = "" if names.label_names else "; name them with --label-names (data.label_names)"
    notes = (f'The lists in "{label}" are vectors of 0 and 1 of the labels {_listed(labels)}{ending}.',)
    return (
        _replaced(table, label, _named(vectors, labels, missing)),
        replace(names, label_names=labels),
        notes,
    )


def _vectors(lists: list[list[Any] | None], what: str) -> np.ndarray | None:
    """Returns the lists as a matrix (N, K) if all have the same K >= 2 values of 0 and 1; missing rows are 0.

    An empty list among them is a missing row: as no labels it would turn all vectors into lists of class numbers.

    Raises:
        DataError: A list repeats a 0 or 1, as no list of class numbers does, and another has a different length.
    """
    filled = [row for row in lists if row]
    if not all(isinstance(value, int | float) and value in (0, 1) for row in filled for value in row):
        return None
    lengths = Counter(map(len, filled))
    if len(lengths) > 1 and any(len(set(row)) < len(row) for row in filled):
        size = lengths.most_common(1)[0][0]
        row = next(row for row, items in enumerate(lists, start=1) if items and len(items) != size)
        raise DataError(
            f"row {row} of {what} has {len(lists[row - 1] or [])} value(s) of 0 and 1, but most rows have {size}",
            "write a vector of the same length in every row",
        )
    size = next(iter(lengths), 0)
    if len(lengths) != 1 or size < 2:
        return None
    return np.array([row or [0] * size for row in lists]).astype(np.int8)


def _numbered(vectors: np.ndarray, known: Sequence[str] | None, what: str) -> tuple[str, ...]:
    """Returns the positions as labels, where that is what a user means."""
    positions = tuple(map(str, range(vectors.shape[1])))
    one_of_two = vectors.shape[1] == 2 and bool((vectors.sum(1) == 1).all())  # or the class numbers 0 and 1
    if set(known or ()) == set(positions) or (known is None and not one_of_two):
        return positions
    raise DataError(
        f"{what} do not name their labels", "name them in order: --label-names a,b (data.label_names: [a, b])"
    )


def _checked_names(labels: Sequence[str], size: int, what: str) -> tuple[str, ...]:
    if len(labels) != size or len(set(labels)) < size:
        fault = "repeat one another" if len(labels) == size else f"are {len(labels)}"
        raise DataError(
            f"{what} need {size} names, but the names {fault}",
            f"give {size} different names with --label-names (data.label_names)",
        )
    return tuple(labels)


def _bits(table: pa.Table, name: str, where: str) -> np.ndarray:
    """Returns a column of 0 and 1, of false and true, or of their texts as int8 (N,)."""
    bits = []
    for row, value in enumerate(plain_column(table, name, where).to_pylist(), start=1):
        bit = _BITS.get(str(value).strip().lower())
        if bit is None:
            raise DataError(
                f'row {row} of label column "{name}" in {where} is '
                f"{'missing' if value is None else repr(str(value)[:50])}, not 0 or 1",
                "correct it, or name one column of labels with --label",
            )
        bits.append(bit)
    return np.array(bits, dtype=np.int8)


def _named(vectors: np.ndarray, labels: Sequence[str], missing: np.ndarray | None) -> pa.Array:
    """Returns the names at the positions of ones, one list per row, null for missing rows."""
    ends = np.concatenate([[0], np.cumsum(vectors.sum(1, dtype=np.int64))])
    flat = pc.take(pa.array(labels, pa.string()), pa.array(np.nonzero(vectors)[1]))
    mask = None if missing is None or not missing.any() else pa.array(missing)
    return pa.LargeListArray.from_arrays(pa.array(ends), flat, mask=mask)


def _replaced(table: pa.Table, label: str, content: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(label), label, content)


def _name(item: Any) -> str:
    name = item.strip() if isinstance(item, str) else json.dumps(item)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"the label {name!a} has half of a surrogate pair, which is no character",
            "write both halves, or remove it",
        ) from None
    return name


def _listed(labels: Sequence[str], most: int = 8) -> str:
    return ", ".join(labels[:most]) + (f" and {len(labels) - most} more" if len(labels) > most else "")
