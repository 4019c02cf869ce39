"""Streams raw texts from text files, folders of them, or a table column."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from tellapart.data.reading.columns import ColumnNames, find_columns
from tellapart.data.reading.rows import read_splits
from tellapart.data.reading.sources import is_saved_dataset
from tellapart.data.reading.tables import file_format
from tellapart.data.reading.textfiles import explain
from tellapart.data.reading.types import is_string, plain_column
from tellapart.errors import DataError, did_you_mean
from tellapart.files import user_path

TEXT_SUFFIXES = (".txt", ".text")
"""Suffixes of plain text files in folders; each may be followed by `.gz`."""

# Maximum characters per read; longer lines are split, to bound memory for files without line ends.
_PIECE = 1 << 20


@dataclass(frozen=True)
class TextSource:
    """A source of raw texts: files, or a table column.

    Args:
        name: The source as named by the user.
        files: Plain text files, in order.
        column: The texts of a table.
        notes: Remarks on the source, for the run's log.
    """

    name: str
    files: tuple[Path, ...] = ()
    column: pa.ChunkedArray | None = None
    notes: tuple[str, ...] = ()

    def documents(self) -> Iterator[Iterator[str]]:
        """Yields each document (a file, or a row of a table) as its lines with line ends."""
        for path in self.files:
            yield _lines(path)
        if self.column is not None:
            for chunk in self.column.chunks:
                for start in range(0, len(chunk), 1000):
                    for text in chunk[start : start + 1000].to_pylist():
                        yield iter(() if text is None else (text,))

    def lines(self) -> Iterator[str]:
        """Yields each line of the files, or each row of the table, stripped, including empty ones."""
        for document in self.documents():
            for line in document:
                yield line.strip()

    @functools.cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the texts, for which they are read once."""
        digest = hashlib.sha256()
        for path in self.files:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        if self.column is not None:
            for document in self.documents():
                for text in document:
                    digest.update(f"{len(text)}:{text}".encode(errors="surrogatepass"))
        return digest.hexdigest()


def open_texts(source: str | Path, *, text: str | None = None, split: str = "train") -> TextSource:
    """Opens a source of raw texts.

    Args:
        source: A text file; a folder with files of `TEXT_SUFFIXES`, at any depth; or any source of
            `tellapart.data.reading.rows.read_splits`.
        text: The text column of a table; found by its name if not given.
        split: The split of a table: `train`, `validation` or `test`; ignored for files.

    Raises:
        DataError: The source does not exist, or the column to read is ambiguous.
    """
    path = user_path(source)
    if path.is_file() and file_format(path) is None:
        return _text_files(str(source), (path,), text)
    if path.is_dir() and not is_saved_dataset(path):
        files = tuple(sorted(entry for entry in path.rglob("*") if _is_text_file(entry)))
        if files:
            return _text_files(str(source), files, text)
    if not path.exists() and path.suffix.lower() in (*TEXT_SUFFIXES, ".gz"):
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"there is no file {source}{did_you_mean(path.name, siblings)}", "check the path")
    return _table_column(source, text, "train" if path.is_file() else split)


def _text_files(name: str, files: tuple[Path, ...], text: str | None) -> TextSource:
    if text is not None:
        raise DataError(f'{name} is plain text and has no column "{text}"', "leave out --text")
    return TextSource(name, files)


def _is_text_file(path: Path) -> bool:
    stem = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return stem.suffix.lower() in TEXT_SUFFIXES and path.is_file() and not path.name.startswith(".")


def _table_column(source: str | Path, text: str | None, split: str) -> TextSource:
    found = read_splits(source)
    if split not in found.tables:
        rows = "training" if split == "train" else split
        raise DataError(
            f"{found.name} has no {rows} rows, only {', '.join(found.tables)}",
            "give a text file or a table",
        )
    table = found.tables[split]
    name = find_columns(table.schema, ColumnNames(text), labelled=False, where=found.name).text
    column = plain_column(table, name, found.name)
    if not is_string(column.type):
        raise DataError(f'column "{name}" of {found.name} holds no texts', "name another column with --text")
    notes = list(found.notes)
    if text is None:
        notes.append(f'Texts from the column "{name}".')
    others = [name for name in found.tables if name != split]
    if others:
        notes.append(f"Only the {split} split of {found.name} is read, not {' and '.join(others)}.")
    return TextSource(found.name, column=column, notes=tuple(notes))


def _lines(path: Path) -> Iterator[str]:
    with (
        gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as opened,
        io.TextIOWrapper(cast(BinaryIO, opened), encoding="utf-8-sig", newline="\n") as stream,
    ):
        number = 0
        while True:
            try:
                line = stream.readline(_PIECE)
            except (UnicodeDecodeError, OSError, EOFError) as error:
                raise explain(path, "text", "", error) from error
            if not line:
                return
            number += 1
            if "\0" in line:
                raise DataError(
                    f"{path} is not a text file: line {number} has a zero byte", "give plain text in UTF-8"
                )
            yield line
