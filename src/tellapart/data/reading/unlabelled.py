"""Reads unlabelled texts: a table of any source, or a text file with one text per line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tellapart.data.examples import TextSplit
from tellapart.data.reading.columns import (
    LABELS,
    SECOND_TEXTS,
    ColumnNames,
    find_columns,
    written_name,
)
from tellapart.data.reading.fasttext import is_fasttext
from tellapart.data.reading.formats import read_lines
from tellapart.data.reading.label_lists import named_lists
from tellapart.data.reading.rows import read_splits
from tellapart.data.reading.types import is_string
from tellapart.data.reading.values import label_is, read_examples
from tellapart.errors import DataError
from tellapart.files import user_path

TEXT_SUFFIXES = (".txt", ".text")


def read_unlabelled(
    source: str, names: ColumnNames, *, multi_label: bool = False
) -> tuple[TextSplit, tuple[str, ...]]:
    """Reads texts without regard to labels.

    A source with several splits is read for its training rows. If it has a column of labels, they are kept for
    measuring pseudo-labels; labels that cannot be read are dropped.

    Args:
        source: A text file with one text per line, or anything that `read_splits` takes.
        names: The columns that the user named; those of labels and question ids need not exist. Rows with the label
            `out_of_scope` are left out.
        multi_label: Whether a row has several labels.

    Returns:
        The texts, and notes for the run's log.

    Raises:
        DataError: The source does not exist or cannot be read, or the text column is missing or ambiguous.
    """
    path = user_path(source)
    if _is_text_file(path):
        return _read_lines(path), ()
    where, table, notes = _table_of(source)
    wanted, more = _wanted(table, names, where)
    notes += more
    columns = find_columns(table.schema, wanted, labelled=False, where=where)
    label = wanted.label or next((name for usual in LABELS if (name := _present(table, usual))), None)
    if label in (columns.text, columns.text_pair):
        label = None
    if label is not None and names.out_of_scope is not None:
        marked = label_is(table, label, names.out_of_scope, where)
        table = table.filter(pc.invert(marked))
        count = pc.sum(marked).as_py()
        if count:
            notes.append(
                f'{count} text(s) of {where} are labelled "{names.out_of_scope}", out of scope, and left out.'
            )
    texts = read_examples(table, columns, where=where)
    if label is None:
        return texts, tuple(notes)
    notes.append(
        f'The labels of {where} (column "{label}") are not used for training, only to measure pseudo-labels.'
    )
    try:
        lists, _, _ = named_lists(table, label, names, multi_label=multi_label, where=where)
        labelled = read_examples(
            lists,
            replace(columns, label=label),
            label_delimiter=names.label_delimiter,
            multi_label=multi_label,
            where=where,
        )
    except DataError:  # such as missing labels: they are for information alone
        return texts, tuple(notes)
    return labelled, tuple(notes)


def read_texts(
    source: str, names: ColumnNames, trained: ColumnNames | None
) -> tuple[TextSplit, tuple[str, ...]]:
    """Reads texts alone, from the columns of the training where the user names no others.

    Args:
        source: As for `read_unlabelled`.
        names: The columns that the user named; those of labels and question ids need not exist.
        trained: The columns of the training rows; they need not exist. None if unknown.

    Returns:
        The texts, and notes on what was read.

    Raises:
        DataError: As for `read_unlabelled`.
    """
    path = user_path(source)
    if _is_text_file(path):
        return _read_lines(path), ()
    where, table, notes = _table_of(source)
    known = trained or ColumnNames()
    names = replace(
        names,
        text=names.text or _present(table, known.text),
        text_pair=names.text_pair or _present(table, known.text_pair),
        label=names.label or known.label,
    )
    wanted, more = _wanted(table, names, where)
    columns = find_columns(table.schema, wanted, labelled=False, where=where)
    read = replace(columns, question_id=None)
    return read_examples(table, read, where=where), (*notes, *more, f"Columns of {where}: {read}.")


def _is_text_file(path: Path) -> bool:
    return path.suffix.lower() in TEXT_SUFFIXES and not is_fasttext(path)


def _table_of(source: str) -> tuple[str, pa.Table, list[str]]:
    """Returns the name of a source, its training rows, else those of its first split, and notes."""
    found = read_splits(source)
    split = "train" if "train" in found.tables else next(iter(found.tables))
    others = [name for name in found.tables if name != split]
    notes = [f"Of {found.name} only the {split} rows are read, not {' and '.join(others)}."] if others else []
    return found.name, found.tables[split], notes


def _wanted(table: pa.Table, names: ColumnNames, where: str) -> tuple[ColumnNames, list[str]]:
    """Returns the columns to look for in a table that need not have labels, and notes."""
    notes, only = [], _only_text(table)
    if names.text is None and only is not None and only.strip().lower() not in SECOND_TEXTS:
        notes.append(
            f'The first line of {where}, "{only}", is read as the name of its column, not as a text.'
        )
    wanted = replace(
        names,
        text=names.text or only,
        label=_present(table, names.label),
        question_id=_present(table, names.question_id),
    )
    return wanted, notes


def _read_lines(path: Path) -> TextSplit:
    if not path.is_file():
        raise DataError(f"there is no file {path}", "check the path")
    lines = [line.strip() for _, line in read_lines(path)]
    if not lines:
        raise DataError(f"{path} is empty", "give a file with one text per line")
    return TextSplit(lines)


def _present(table: pa.Table, name: str | None) -> str | None:
    return None if name is None else written_name(table.schema, name)


def _only_text(table: pa.Table) -> str | None:
    """The single column of strings, if there is no other."""
    strings = [field.name for field in table.schema if is_string(field.type)]
    return strings[0] if len(strings) == 1 else None
