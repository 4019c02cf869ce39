"""Readers of the file formats in which benchmark sets are published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

import pyarrow as pa

from tellapart.data.examples import TextSplit
from tellapart.data.reading.columns import Columns, match_column
from tellapart.data.reading.tables import read_table
from tellapart.data.reading.textfiles import explain
from tellapart.data.reading.values import examples_table, standard_table
from tellapart.errors import DataError, MissingDependencyError, did_you_mean


@dataclass(frozen=True)
class TableFile:
    """A CSV or JSON Lines file with column names.

    Args:
        columns: The columns to read.
        kind: The file's format, a value of `tellapart.data.reading.tables.FORMATS`, whatever its suffix.
        labels: The name of each label; other labels are refused.
    """

    columns: Columns
    kind: str
    labels: Mapping[str, str]

    def read(self, path: Path) -> pa.Table:
        """Reads a file.

        Raises:
            DataError: A column is missing, a label is unknown, or the file is broken.
        """
        return standard_table(read_table(path, self.kind), self.columns, self.labels, where=str(path))


@dataclass(frozen=True)
class LineFile:
    """Lines of unquoted, delimited fields, with or without a header.

    If the last fields are not read, lines may have additional ones.

    Args:
        names: Possible header names of each role, `text`, `text_pair` and `label`, in any case. The first line is a
            header if it contains one of them.
        orders: For files without a header, the role of each field, "" for fields that are not read; at most one
            order per number of fields.
        labels: The name of each label; other labels are refused. None for numeric targets.
        delimiter: Separates the fields.
        group_questions: Whether the task is ranking: consecutive rows with the same text form a question.
        skip_short: Whether lines with too few fields are skipped instead of refused.
    """

    names: Mapping[str, tuple[str, ...]]
    orders: tuple[tuple[str, ...], ...] = ()
    labels: Mapping[str, str] | None = None
    delimiter: str = "\t"
    group_questions: bool = False
    skip_short: bool = False

    def read(self, path: Path) -> pa.Table:
        """Reads a file; the table has no labels if the file has none.

        Raises:
            DataError: The file is empty or not UTF-8, a column is missing, or a line has too few or too many
                fields or an unknown label; the message names the line.
        """
        lines = [(number, line.split(self.delimiter)) for number, line in read_lines(path) if line.strip()]
        if not lines:
            raise DataError(f"{path} is empty", "give a file with rows")
        first = lines[0][1]
        written = [name.strip().lower() for name in first]
        if any(name in written for names in self.names.values() for name in names):
            places, lines = self._named_places(path, written), lines[1:]
        else:
            places = self._ordered_places(path, len(first))
        rows: dict[str, list[str]] = {role: [] for role in places}
        for number, fields in lines:
            if len(fields) < len(first) and self.skip_short:
                continue
            if not _fits(len(fields), len(first), max(places.values())):
                raise DataError(
                    f"{path} has {len(fields)} field(s) in line {number} instead of {len(first)}",
                    "correct the line, or download the file again",
                )
            for role, place in places.items():
                rows[role].append(
                    self._label(path, number, fields[place]) if role == "label" else fields[place]
                )
        if not rows["text"]:
            raise DataError(f"{path} has no rows", "give a file with rows")
        questions = _questions(rows["text"]) if self.group_questions else None
        return examples_table(TextSplit(rows["text"], rows.get("text_pair"), rows.get("label"), questions))

    def _named_places(self, path: Path, written: list[str]) -> dict[str, int]:
        """Returns the index of each role's field in the header; labels may be missing."""
        places = {}
        for role, names in self.names.items():
            name = next((name for name in names if name in written), None)
            if name is not None:
                places[role] = written.index(name)
            elif role != "label":
                raise DataError(
                    f'{path} has no column "{names[0]}", only {", ".join(written)}',
                    "give the file as published",
                )
        return places

    def _ordered_places(self, path: Path, fields: int) -> dict[str, int]:
        """Returns the index of each role's field by the number of fields."""
        for order in self.orders:
            if len(order) == fields:
                return {role: place for place, role in enumerate(order) if role}
        known = " or ".join(str(len(order)) for order in self.orders)
        expected = f"instead of {known}" if known else "and no header"
        raise DataError(
            f"{path} has {fields} field(s) in its first line {expected}", "give the file as published"
        )

    def _label(self, path: Path, number: int, written: str) -> str:
        if self.labels is None:
            return written  # converted to a number by read_examples
        label = self.labels.get(written.strip())
        if label is None:
            raise DataError(
                f'{path} has the label "{written}" in line {number}{did_you_mean(written, self.labels)}',
                f"use one of {', '.join(self.labels)}",
            )
        return label


@dataclass(frozen=True)
class ParallelFiles:
    """Texts in one file, and their labels, separated by spaces, in the same line of another file.

    Args:
        texts: Prefix of the names of text files.
        labels: Prefix of the names of label files.
    """

    texts: str
    labels: str

    def read(self, path: Path) -> pa.Table:
        """Reads a text file and the label file beside it.

        Raises:
            DataError: The file of labels is missing, or the two differ in length.
        """
        partner = path.with_name(self.labels + path.name.removeprefix(self.texts))
        if not partner.is_file():
            raise DataError(f"{partner.name} is missing in {path.parent}", f"put it beside {path.name}")
        texts, labels = ([line for _, line in read_lines(file)] for file in (path, partner))
        if len(texts) != len(labels):
            raise DataError(
                f"{path} has {len(texts)} lines, but {partner.name} has {len(labels)}", "download both again"
            )
        if not texts:
            raise DataError(f"{path} is empty", "give a file with rows")
        return _multi_label_table(texts, (line.split() for line in labels))


@dataclass(frozen=True)
class ClassFolders:
    """One folder per class with one file per text: all in UTF-8, or else all in GB 18030 (GBK, GB 2312).

    Args:
        labels: The class of each folder. `read` takes the path of any of these folders.
    """

    labels: Mapping[str, str]

    def read(self, path: Path) -> pa.Table:
        """Reads the `.txt` files of a folder and its siblings; bytes invalid in GB 18030 become U+FFFD.

        Raises:
            DataError: The folder of a class is missing, or has no texts.
        """
        contents: list[bytes] = []
        labels: list[str] = []
        for name, label in self.labels.items():
            files = sorted(path.with_name(name).glob("*.txt"), key=lambda file: (len(file.name), file.name))
            if not files:
                raise DataError(f"{path.parent / name} has no .txt files", "put the texts there")
            contents += [file.read_bytes() for file in files]
            labels += [label] * len(files)
        return examples_table(TextSplit([text.strip() for text in _decoded(contents)], labels=labels))


@dataclass(frozen=True)
class FlagColumns:
    """A CSV or Excel file with one indicator column per label.

    Args:
        text: The text column.
        labels: The label columns, named like the labels.
        present: Value of a cell if the text has the label, in any case.
        absent: Value of a cell if it has not.
    """

    text: str
    labels: tuple[str, ...]
    present: str = "p"
    absent: str = "n"

    def read(self, path: Path) -> pa.Table:
        """Reads a file; texts without any label are kept.

        Raises:
            DataError: A column is missing, or a cell has another value; the message names the row.
            MissingDependencyError: The file is an Excel file and openpyxl is not installed.
        """
        wanted = (self.text, *self.labels)
        table = read_spreadsheet(path, wanted) if is_spreadsheet(path) else read_table(path)
        columns = [table[match_column(table.schema, name, str(path))].to_pylist() for name in wanted]
        texts, flags = columns[0], zip(*columns[1:], strict=True)
        for row, text in enumerate(texts, start=1):
            if not isinstance(text, str):
                raise DataError(f'row {row} of {path} has no "{self.text}"', "fill it in or remove the row")
        return _multi_label_table(
            texts, [self._present_labels(path, row, cells) for row, cells in enumerate(flags, start=1)]
        )

    def _present_labels(self, path: Path, row: int, cells: tuple[object, ...]) -> list[str]:
        found = []
        for label, cell in zip(self.labels, cells, strict=True):
            flag = str(cell or "").strip().lower()
            if flag not in (self.present, self.absent):
                raise DataError(
                    f'row {row} of {path} has "{flag}" in column "{label}"',
                    f"write {self.present} if the text has the label, else {self.absent}",
                )
            if flag == self.present:
                found.append(label)
        return found


def is_spreadsheet(path: Path) -> bool:
    """Whether a file is an Excel file, by its suffix."""
    return path.suffix.lower() == ".xlsx"


def read_spreadsheet(path: Path, columns: Sequence[str]) -> pa.Table:
    """Reads columns as text from the first sheet of an Excel file that has all of them; skips empty rows.

    Args:
        path: An `.xlsx` file.
        columns: The columns to read.

    Raises:
        DataError: No sheet has the columns, it has no rows, or the file is broken.
        MissingDependencyError: openpyxl is not installed.
    """
    try:
        import openpyxl
    except ImportError:
        raise MissingDependencyError("openpyxl", "xlsx", f"reading {path.name}") from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            sheets = [[*sheet.iter_rows(values_only=True)] for sheet in book.worksheets]
        finally:
            book.close()
    except (OSError, BadZipFile, ParseError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} cannot be read as an Excel file ({error})", "check its format") from error
    for header, *rows in filter(None, sheets):
        names = [str(name).strip().lower() for name in header]
        if all(name.lower() in names for name in columns):
            return _sheet_table(path, rows, {name: names.index(name.lower()) for name in columns})
    raise DataError(
        f"{path} has no sheet with the columns {', '.join(columns)}", "give the file as published"
    )


def _sheet_table(path: Path, rows: list[tuple[Any, ...]], places: dict[str, int]) -> pa.Table:
    filled = [row for row in rows if any(cell is not None for cell in row)]
    if not filled:
        raise DataError(f"{path} has no rows", "give a file with rows")
    # rows may be shorter than the header: empty cells at their end are not stored
    cells = {
        name: [str(row[place]) if place < len(row) and row[place] is not None else None for row in filled]
        for name, place in places.items()
    }
    return pa.table({name: pa.array(column, pa.string()) for name, column in cells.items()})


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the numbers and lines of a UTF-8 file, without line ends.

    Only line feeds end a line: texts may contain other characters that Python splits lines at.

    Raises:
        DataError: The file cannot be read, or is not UTF-8; the message names the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as stream:
            for number, line in enumerate(stream, start=1):
                yield number, line.rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise explain(path, "text", "", error) from error


def _fits(fields: int, expected: int, last_read: int) -> bool:
    return fields == expected or (fields > expected > last_read + 1)


def _questions(texts: list[str]) -> list[str]:
    numbers: list[str] = []
    question = 0
    for row, text in enumerate(texts):
        question += row > 0 and text != texts[row - 1]
        numbers.append(str(question))
    return numbers


def _decoded(contents: list[bytes]) -> list[str]:
    # decided for all files together: a short GBK text may be valid UTF-8
    try:
        return [content.decode("utf-8-sig") for content in contents]
    except UnicodeDecodeError:
        return [content.decode("gb18030", errors="replace") for content in contents]


def _multi_label_table(texts: list[str], labels: Iterable[list[str]]) -> pa.Table:
    # explicit type: it cannot be inferred if no text has a label
    return pa.table({"text": pa.array(texts, pa.string()), "labels": pa.array(labels, pa.list_(pa.string()))})
