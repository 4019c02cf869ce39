"""Applies corrected labels of an edited table of suspects to the rows that they were made for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa

from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.data.reading.types import is_list, is_string
from tellapart.errors import DataError, did_you_mean

SPLIT, ROW, TEXT, TEXT_PAIR, LABEL, SUGGESTED = (
    "split",
    "row",
    "text",
    "text_pair",
    "label",
    "suggested_label",
)
"""Columns of a table of suspects."""

Label = str | list[str]


class Change(NamedTuple):
    """A changed label.

    Args:
        split: Split of the row.
        row: Its number in the split, from 1.
        text: Its text.
        label: The label before.
        new_label: The label after.
    """

    split: str
    row: int
    text: str
    label: Label
    new_label: Label


@dataclass(frozen=True)
class _Suspects:
    """The cells of an edited table of suspects, all as text."""

    rows: list[dict[str, str]]
    where: str

    def wrong(self, number: int, problem: str, remedy: str) -> DataError:
        """Returns the error for a row, counted from 1."""
        return DataError(f"row {number} of {self.where} {problem}", remedy)


def label_changes(data: TextData, suspects: pa.Table, *, where: str) -> list[Change]:
    """Reads an edited table of suspects: the new label of each row that changes.

    A row changes if `suggested_label` is neither empty nor its label. Several labels per text are JSON lists.

    Args:
        data: The rows that the table was made for.
        suspects: The table, with the columns of `suspects.csv`.
        where: Its name in messages.

    Raises:
        DataError: A column is missing, a row does not exist, has another text or label in the data or appears twice,
            or a new label is no class; the message gives the first such row.
    """
    needed = [SPLIT, ROW, TEXT, LABEL, SUGGESTED] + [TEXT_PAIR] * (data.train.text_pairs is not None)
    missing = [name for name in needed if name not in suspects.column_names]
    if missing:
        raise DataError(
            f'{where} has no column "{missing[0]}"', f"keep the columns of suspects.csv: {', '.join(needed)}"
        )
    cells = [{name: _text(row[name]) for name in needed} for row in suspects.select(needed).to_pylist()]
    table = _Suspects(cells, where)
    keys = {name: split.keys() for name, split in data.splits.items()}
    seen: dict[tuple[str, int], int] = {}
    changes = []
    for number, given in enumerate(table.rows, start=1):
        row = _row(table, number, data)
        place = given[SPLIT], row
        if place in seen:
            raise table.wrong(
                number, f"is the same row of the data as row {seen[place]}", "remove one of them"
            )
        seen[place] = number
        _check_same(table, number, data, keys[given[SPLIT]][row - 1])
        label = _label_of(data.splits[given[SPLIT]], row)
        new = _new_label(table, number, data.labels)
        if new is not None and _as_set(new) != _as_set(label):
            changes.append(Change(given[SPLIT], row, given[TEXT], label, new))
    return changes


def _row(table: _Suspects, number: int, data: TextData) -> int:
    """Returns the number of the row that a suspect names, from 1."""
    given = table.rows[number - 1]
    split = data.splits.get(given[SPLIT])
    if split is None:
        known = ", ".join(data.splits)
        raise table.wrong(
            number, f'names the split "{given[SPLIT]}", and the data have {known}', "correct it"
        )
    if not given[ROW].isdecimal() or not 1 <= int(given[ROW]) <= len(split):
        raise table.wrong(
            number,
            f'names the row "{given[ROW]}" of {given[SPLIT]}, which has the rows 1 to {len(split)}',
            "give the data that the file was made for, and leave its column row as it is",
        )
    return int(given[ROW])


def _check_same(table: _Suspects, number: int, data: TextData, key: str) -> None:
    """Checks that text and label of a suspect are those of its row; case and white space of the text may differ."""
    given = table.rows[number - 1]
    pairs = [given[TEXT_PAIR]] if TEXT_PAIR in given else None
    row = f"{given[SPLIT]} row {given[ROW]}"
    if TextSplit([given[TEXT]], pairs).keys() != [key]:
        raise table.wrong(
            number,
            f"has another text than {row} of the data",
            "give the data that the file was made for, and leave its columns split, row and text as they are",
        )
    label = _label_of(data.splits[given[SPLIT]], int(given[ROW]))
    if _parsed(table, number, LABEL, data.labels) != _as_set(label):
        raise table.wrong(
            number,
            f"has another label than {row} of the data, {_shown(label)}",
            f"leave the column label as it is, edit only {SUGGESTED}, and give the data that the file was made for",
        )


def _new_label(table: _Suspects, number: int, labels: LabelSpace) -> Label | None:
    """Returns the label that a suspect gets; None to keep its own."""
    cell = table.rows[number - 1][SUGGESTED].strip()
    if not cell:
        return None
    names = _parsed(table, number, SUGGESTED, labels)
    unknown = sorted(names - set(labels.names))
    if unknown:
        raise table.wrong(
            number,
            f'suggests the label "{unknown[0]}", which is no class of the data'
            + did_you_mean(unknown[0], labels.names),
            f"use a class of the data, or leave {SUGGESTED} empty to keep the label",
        )
    return [name for name in labels.names if name in names] if labels.multi_label else cell


def _parsed(table: _Suspects, number: int, column: str, labels: LabelSpace) -> frozenset[str]:
    cell = table.rows[number - 1][column].strip()
    if not labels.multi_label:
        return frozenset([cell])
    try:
        names = json.loads(cell or "[]")
    except json.JSONDecodeError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise table.wrong(number, f"has no JSON list in {column}", 'write lists such as ["a", "b"]')
    return frozenset(names)


def with_changes(
    tables: Mapping[str, pa.Table],
    columns: Mapping[str, str],
    data: TextData,
    changes: list[Change],
    label_delimiter: str | None = None,
) -> dict[str, pa.Table]:
    """Returns the tables of all splits with the new labels; other cells, and their types, stay as they are.

    A column of class ids (`datasets.ClassLabel`) becomes one of class names, which every format can hold.

    Args:
        tables: Split name to table.
        columns: Split name to its label column, for the splits that have labels.
        data: The same rows.
        changes: The changes.
        label_delimiter: Separates the labels in a cell of text; without it they are written as JSON lists.
    """
    result = dict(tables)
    for name, split in data.splits.items():
        own = {change.row - 1: change.new_label for change in changes if change.split == name}
        index = tables[name].column_names.index(columns[name])
        column = tables[name].column(index)
        if own:
            result[name] = tables[name].set_column(
                index, columns[name], _with_labels(column, split, own, label_delimiter)
            )
    return result


def _with_labels(
    column: pa.ChunkedArray, split: TextSplit, new: Mapping[int, Label], delimiter: str | None
) -> pa.Array:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    item = kind.value_type if is_list(kind) else kind
    assert split.labels is not None
    names: list[Any] = list(split.labels)
    cells = column.to_pylist()
    if not _holds_names(cells, names, delimiter):  # ids of classes, vectors of 0 and 1, written lists
        cells, item = names, item if is_string(item) else pa.string()
        if isinstance(names[0], list) and not is_list(kind):
            cells = [json.dumps(label, ensure_ascii=False) for label in names]
        kind = pa.list_(item) if is_list(kind) else item
    for row, label in new.items():
        if isinstance(label, list) and not is_list(kind):
            cells[row] = json.dumps(label, ensure_ascii=False) if delimiter is None else delimiter.join(label)
        elif isinstance(label, list):
            cells[row] = [_cell(name, item) for name in label]
        else:
            cells[row] = _cell(label, item)
    return pa.array(cells, type=kind)


def _holds_names(cells: Sequence[Any], labels: Sequence[Any], delimiter: str | None) -> bool:
    """Whether the cells are the labels as they were read, so that single cells can be replaced."""
    if isinstance(labels[0], list) and not isinstance(cells[0], list):
        return delimiter is not None
    pairs = zip(cells, labels, strict=True)
    return all(_as_set(_plain(cell)) == _as_set(label) for cell, label in pairs)


def _cell(name: str, kind: pa.DataType) -> Any:
    """Returns a class name as a value of a type."""
    if is_string(kind):
        return name
    if pa.types.is_boolean(kind):
        return name == "true"
    if pa.types.is_decimal(kind):
        return Decimal(name)
    return float(name) if pa.types.is_floating(kind) else int(name)


def _plain(cell: Any) -> Label:
    """Returns a cell as the reader of labels takes it."""
    if isinstance(cell, list):
        return [str(one).strip() for one in cell]
    if isinstance(cell, bool):
        return str(cell).lower()
    return f"{cell:g}" if isinstance(cell, float) and cell.is_integer() else str(cell).strip()


def _label_of(split: TextSplit, row: int) -> Label:
    assert split.labels is not None
    label: Any = split.labels[row - 1]
    return label


def _as_set(label: Label) -> frozenset[str]:
    return frozenset([label] if isinstance(label, str) else label)


def _text(cell: Any) -> str:
    if isinstance(cell, list):
        return json.dumps(cell, ensure_ascii=False)
    return "" if cell is None else str(cell)


def _shown(label: Label) -> str:
    return f'"{label}"' if isinstance(label, str) else json.dumps(label, ensure_ascii=False)
