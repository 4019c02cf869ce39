"""The formats in which benchmark sets are published, each as a reader of one file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tellapart.data.examples import TextSplit
from tellapart.data.reading.columns import Columns, match_column
from tellapart.data.reading.spreadsheets import is_spreadsheet, read_spreadsheet
from tellapart.data.reading.tables import read_table
from tellapart.data.reading.textfiles import explain
from tellapart.data.reading.values import examples_table, standard_table
from tellapart.errors import DataError, did_you_mean


@dataclass(frozen=True)
class TableFile:
    """A CSV or JSON Lines file whose columns have names.

    Args:
        columns: Which column holds what.
        kind: What the file holds, a value of `tellapart.data.reading.tables.FORMATS`: the suffix may say otherwise.
        labels: The name of each label; no other label may occur.
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
    """Lines of fields that nothing quotes, with or without a first line of names.

    Where the last fields are not read, a line may have more of them.

    Args:
        names: What the column of each role, `text`, `text_pair` and `label`, may be called in the first line.
            The file has such a line if one of these names is in it; capital letters do not matter.
        orders: For files without names the role of each field, "" for one that is not read; at most one order
            for each number of fields.
        labels: The name of each label; no other label may occur. None where labels are scores.
        delimiter: What stands between two fields.
        group_questions: Whether the task is a ranking: rows with one text, one after the other, are one question.
        skip_short: Whether lines that lack fields are left out, as in the file they are no rows. Else they are
            refused.
    """

    names: Mapping[str, tuple[str, ...]]
    orders: tuple[tuple[str, ...], ...] = ()
    labels: Mapping[str, str] | None = None
    delimiter: str = "\t"
    group_questions: bool = False
    skip_short: bool = False

    def read(self, path: Path) -> pa.Table:
        """Reads a file; one whose labels are not published becomes a table without labels.

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
                    f"{path} has {len(fields)} field(s) in line {number}, where {len(first)} were expected",
                    "correct the line, or get the file anew",
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
        """Returns the field of each role, from the first line; that of the labels may be missing."""
        places = {}
        for role, names in self.names.items():
            name = next((name for name in names if name in written), None)
            if name is not None:
                places[role] = written.index(name)
            elif role != "label":
                raise DataError(
                    f'{path} has no column "{names[0]}", only {", ".join(written)}',
                    "give the file as it was published",
                )
        return places

    def _ordered_places(self, path: Path, fields: int) -> dict[str, int]:
        """Returns the field of each role, from the number of fields."""
        for order in self.orders:
            if len(order) == fields:
                return {role: place for place, role in enumerate(order) if role}
        known = " or ".join(str(len(order)) for order in self.orders)
        expected = f"where {known} were expected" if known else "and no names of columns there"
        raise DataError(
            f"{path} has {fields} field(s) in its first line, {expected}", "give the file as it was published"
        )

    def _label(self, path: Path, number: int, written: str) -> str:
        if self.labels is None:
            return written  # whether it is a number is told where the columns are read
        label = self.labels.get(written.strip())
        if label is None:
            raise DataError(
                f'{path} has the label "{written}" in line {number}{did_you_mean(written, self.labels)}',
                f"only {', '.join(self.labels)} may occur",
            )
        return label


@dataclass(frozen=True)
class ParallelFiles:
    """Texts in one file, the labels of each, with blanks between them, in the same line of another.

    Args:
        texts: What the names of the files of texts begin with.
        labels: What the names of the files of labels begin with instead.
    """

    texts: str
    labels: str

    def read(self, path: Path) -> pa.Table:
        """Reads a file of texts and the one of labels beside it.

        Raises:
            DataError: The file of labels is missing, or the two differ in length.
        """
        partner = path.with_name(self.labels + path.name.removeprefix(self.texts))
        if not partner.is_file():
            raise DataError(f"{path.name} stands in {path.parent} without {partner.name}", "put it there too")
        texts, labels = ([line for _, line in read_lines(file)] for file in (path, partner))
        if len(texts) != len(labels):
            raise DataError(
                f"{path} has {len(texts)} lines, but {partner.name} has {len(labels)}", "fetch both anew"
            )
        if not texts:
            raise DataError(f"{path} is empty", "give a file with rows")
        return _multi_label_table(texts, (line.split() for line in labels))


@dataclass(frozen=True)
class ClassFolders:
    """A folder for each class, a text file for each text: all in UTF-8, or else all in GB 18030 (GBK, GB 2312).

    Args:
        labels: The name of the class whose texts a folder holds. The reader is given the path of any of them.
    """

    labels: Mapping[str, str]

    def read(self, path: Path) -> pa.Table:
        """Reads the folder and its siblings; other files than `.txt` are left alone.

        Bytes that GB 18030 does not know become U+FFFD.

        Raises:
            DataError: The folder of a class is missing, or has no texts.
        """
        contents: list[bytes] = []
        labels: list[str] = []
        for name, label in self.labels.items():
            files = sorted(path.with_name(name).glob("*.txt"), key=lambda file: (len(file.name), file.name))
            if not files:
                raise DataError(
                    f"{path.parent} has no texts in its folder {name}", "put the .txt files there"
                )
            contents += [file.read_bytes() for file in files]
            labels += [label] * len(files)
        return examples_table(TextSplit([text.strip() for text in _decoded(contents)], labels=labels))


@dataclass(frozen=True)
class FlagColumns:
    """A CSV or Excel file with a column for each label that says whether the text has it.

    Args:
        text: The column of the texts.
        labels: The columns of the labels, which are their names.
        present: What a cell holds where the text has the label; capital letters do not matter.
        absent: What it holds otherwise.
    """

    text: str
    labels: tuple[str, ...]
    present: str = "p"
    absent: str = "n"

    def read(self, path: Path) -> pa.Table:
        """Reads a file; texts without any label are kept.

        Raises:
            DataError: A column is missing, or a cell holds something else; the message names the row.
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
                    f"write {self.present} where the text has the label, else {self.absent}",
                )
            if flag == self.present:
                found.append(label)
        return found


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the lines of a UTF-8 file with their numbers, without what ends them.

    Only a line feed ends a line: texts may hold the other characters that Python takes for line ends.

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
    # one by one would not do: two characters of GBK alone may be one of UTF-8
    try:
        return [content.decode("utf-8-sig") for content in contents]
    except UnicodeDecodeError:
        return [content.decode("gb18030", errors="replace") for content in contents]


def _multi_label_table(texts: list[str], labels: Iterable[list[str]]) -> pa.Table:
    # the type is said, since it could not be told from a file in which no text has a label
    return pa.table({"text": pa.array(texts, pa.string()), "labels": pa.array(labels, pa.list_(pa.string()))})
