"""Streams raw texts from text files, folders of them, or a table column, whole or in parts."""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import io
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
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
from tellapart.files import user_path, write_json

TEXT_SUFFIXES = (".txt", ".text")
"""Suffixes of plain text files in folders; each may be followed by `.gz`."""

# Maximum characters per read; longer lines are split, to bound memory for files without line ends.
_PIECE = 1 << 20


# Expected bytes of text per byte of a gzip file, to form parts of similar size.
_GZIP_RATIO = 4

# Nanoseconds since its last change after which a file gets a stamp: it could change again within a tick of the clock.
_SETTLED = 2_000_000_000


@dataclass(frozen=True)
class TextPart:
    """Consecutive texts of a source: spans of files, or rows of a table.

    Args:
        spans: Files with the first byte and the byte after the last; None for the end of the file. Spans begin and
            end where lines do.
        column: The texts of a table.
    """

    spans: tuple[tuple[Path, int, int | None], ...] = ()
    column: pa.ChunkedArray | None = None

    def documents(self) -> Iterator[Iterator[str]]:
        """Yields each document (a span, or a row of a table) as its lines with line ends."""
        for path, start, end in self.spans:
            yield _lines(path, start, end)
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


@dataclass(frozen=True)
class TextSource:
    """A source of raw texts: files, or a table column.

    Args:
        name: The source as named by the user.
        files: Plain text files, in order.
        column: The texts of a table.
        notes: Remarks on the source, for the run's log.
        stamps: Path of a file to its size, its time of change in nanoseconds and its SHA-256, where known.
    """

    name: str
    files: tuple[Path, ...] = ()
    column: pa.ChunkedArray | None = None
    notes: tuple[str, ...] = ()
    stamps: Mapping[str, tuple[int, int, str]] = field(default_factory=dict, repr=False)

    @property
    def whole(self) -> TextPart:
        """All texts as one part."""
        return TextPart(tuple((path, 0, None) for path in self.files), self.column)

    def documents(self) -> Iterator[Iterator[str]]:
        """Yields each document (a file, or a row of a table) as its lines with line ends."""
        return self.whole.documents()

    def lines(self) -> Iterator[str]:
        """Yields each line of the files, or each row of the table, stripped, including empty ones."""
        return self.whole.lines()

    def parts(self, size: int, *, whole_files: bool = False) -> Iterator[TextPart]:
        """Splits the texts into parts, which depend on nothing but the texts and the size.

        Args:
            size: Bytes of text per part. Parts end after the line that reaches them. gzip files are never split;
                their text is taken to be four times as large.
            whole_files: Whether no file may be split.
        """
        if self.column is not None:
            yield from _row_parts(self.column, size)
        spans: list[tuple[Path, int, int | None]] = []
        filled = 0
        for path in self.files:
            with _readable(path):
                bytes_left, packed = path.stat().st_size, path.suffix.lower() == ".gz"
            start, length = 0, bytes_left
            while not (packed or whole_files) and bytes_left > size - filled:
                end = _line_start(path, start + size - filled)
                yield TextPart((*spans, (path, start, end)))
                spans, filled, start, bytes_left = [], 0, end, length - end
            if bytes_left > 0:
                spans.append((path, start, None if packed or whole_files else length))
                filled += bytes_left * (_GZIP_RATIO if packed else 1)
            if filled >= size:
                yield TextPart(tuple(spans))
                spans, filled = [], 0
        if spans:
            yield TextPart(tuple(spans))

    @functools.cached_property
    def digests(self) -> tuple[str, ...]:
        """The SHA-256 of each file; files whose stamp still holds are not read."""
        return tuple(self._digest(path) for path in self.files)

    def _digest(self, path: Path) -> str:
        size, changed, digest = self.stamps.get(str(path.resolve()), (-1, -1, ""))
        with _readable(path):
            state = path.stat()
            if (size, changed) == (state.st_size, state.st_mtime_ns):
                return digest
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()

    @functools.cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the texts, for which they are read once, unless there are stamps."""
        digest = hashlib.sha256()
        for one in self.digests:
            digest.update(bytes.fromhex(one))
        if self.column is not None:
            for document in self.documents():
                for text in document:
                    digest.update(f"{len(text)}:{text}".encode(errors="surrogatepass"))
        return digest.hexdigest()


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raises a DataError in place of an OSError."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error})", "check the path and its permissions"
        ) from error


def with_stamps(source: TextSource, *files: Path) -> TextSource:
    """Returns the source with the stamps of the first of these files that exists and is not damaged."""
    for file in files:
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            stamps = {
                str(path): (int(size), int(changed), str(digest)) for path, size, changed, digest in found
            }
        except (OSError, ValueError, TypeError):
            continue
        if all(
            len(digest) == 64 and set(digest) <= set("0123456789abcdef") for *_, digest in stamps.values()
        ):
            return replace(source, stamps=stamps)
    return source


def write_stamps(source: TextSource, file: Path) -> None:
    """Writes the size, the time of change and the SHA-256 of each file, so that it need not be read again.

    Files that changed in the last seconds are left out: a change within one tick of the clock has the same time.

    Raises:
        OutputError: The file cannot be written.
    """
    now, found = time.time_ns(), []
    for path, digest in zip(source.files, source.digests, strict=True):
        state = path.stat()
        if now - state.st_mtime_ns > _SETTLED:
            found.append((str(path.resolve()), state.st_size, state.st_mtime_ns, digest))
    write_json(file, found)


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


def _row_parts(column: pa.ChunkedArray, size: int) -> Iterator[TextPart]:
    rows = max(1, size * len(column) // max(1, column.nbytes))
    for start in range(0, len(column), rows):
        yield TextPart(column=column.slice(start, rows))


def _line_start(path: Path, place: int) -> int:
    """Returns the first byte at or after `place` that begins a line, or the end of the file."""
    with path.open("rb") as file:
        file.seek(place - 1)
        while line := file.readline(_PIECE):
            if line.endswith(b"\n"):
                break
        return file.tell()


class _Span(io.RawIOBase):
    """The bytes of a file from where it stands up to `end`."""

    def __init__(self, file: io.FileIO, end: int) -> None:
        self._file, self._left = file, end - file.tell()

    def readable(self) -> bool:
        """Returns True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Reads bytes into a buffer."""
        view = memoryview(buffer).cast("B")[: max(0, self._left)]
        count = self._file.readinto(view) or 0
        self._left -= count
        return count

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
        super().close()


def _opened(path: Path, start: int, end: int | None) -> BinaryIO:
    with _readable(path):
        if path.suffix.lower() == ".gz":
            return cast(BinaryIO, gzip.open(path))
        if (start, end) == (0, None):
            return path.open("rb")
        file = io.FileIO(str(path))
        file.seek(start)
        span = io.BufferedReader(_Span(file, path.stat().st_size if end is None else end), 1 << 16)
        return cast(BinaryIO, span)


def _lines(path: Path, start: int = 0, end: int | None = None) -> Iterator[str]:
    """Yields the lines of a file, or of a span that begins and ends where lines do."""
    # A mark of the byte order is one only at the beginning of a file.
    encoding = "utf-8" if start else "utf-8-sig"
    with (
        _opened(path, start, end) as opened,
        io.TextIOWrapper(opened, encoding=encoding, newline="\n") as stream,
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
                    f"{path} is not a text file: line {number + _lines_before(path, start)} has a zero byte",
                    "give plain text in UTF-8",
                )
            yield line


def _lines_before(path: Path, place: int) -> int:
    count = 0
    with path.open("rb") as file:
        while place > 0 and (block := file.read(min(place, _PIECE))):
            count, place = count + block.count(b"\n"), place - len(block)
    return count
