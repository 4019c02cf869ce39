"""Detects the delimiter of CSV files, and locates the faulty line of a file that pyarrow cannot read."""

from __future__ import annotations

import csv
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from numbers import Number
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tellapart.data.reading.unpacking import open_file
from tellapart.errors import DataError

_EXCEL_LINE = re.compile(r"sep=(.)", re.IGNORECASE)
_SAMPLE = 1 << 16
_LONGEST_FIELD = 1 << 30
_WESTERN = frozenset("äöüßÄÖÜàáâãåæçèéêëìíîïñòóôøœùúûÀÁÂÃÅÆÇÈÉÊËÎÏÑÓÔØŒÚ¿¡ªº°§€£«»–—…‘’“”„")


class Dialect(NamedTuple):
    """How the rows of a file of delimited text are written.

    Args:
        delimiter: Separates the fields.
        header: The column names.
        skipped: Number of lines before the header: 1 if Excel's line `sep=;` names the delimiter, else 0.
    """

    delimiter: str
    header: list[str]
    skipped: int = 0


def find_dialect(path: Path, delimiters: str) -> Dialect:
    """Finds the delimiter that splits the first rows into as many fields as the header.

    A first line such as `sep=;`, which Excel understands, names the delimiter.

    Args:
        path: A file of delimited text.
        delimiters: The candidates, most likely first.

    Raises:
        DataError: The file is empty.
    """
    with io.TextIOWrapper(open_file(path), encoding="utf-8-sig") as stream:
        named = _EXCEL_LINE.fullmatch(stream.readline(_SAMPLE).rstrip("\r\n").strip('"'))
    delimiters, skipped = (named[1], 1) if named else (delimiters, 0)
    best = Dialect(delimiters[0], [])
    for delimiter in delimiters:
        records = [record for _, record in islice(_records(path, delimiter, skipped), 20)]
        if not records:
            raise DataError(f"{path} is empty", "give a file with a header and rows")
        found = Dialect(delimiter, records[0], skipped)
        if len(found.header) > 1 and all(len(record) == len(found.header) for record in records):
            return found
        best = max(best, found, key=lambda one: len(one.header))
    return best


def explain(path: Path, kind: str, delimiters: str, error: Exception) -> DataError:
    """Returns an error that explains why a file cannot be read, by reading it again up to the faulty line.

    Args:
        path: The file.
        kind: Its format, a value of `tellapart.data.reading.tables.FORMATS`.
        delimiters: Candidate delimiters; empty for formats without.
        error: The reader's error.
    """
    found = None
    if isinstance(error, PermissionError):
        return DataError(f"there is no permission to read {path}", "change its permissions")
    with suppress(OSError, EOFError, zlib.error):  # broken archive: keep the reader's message
        if kind != "Parquet":
            found = _encoding_error(path)
        if found is None and delimiters:
            found = _ragged_record(path, find_dialect(path, delimiters))
        if found is None and kind == "JSON Lines":
            found = _odd_object(path)
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return found or DataError(f"{path} cannot be read as {kind} ({reason})", "check its format")


def has_line_breaks(table: pa.Table) -> bool:
    """Returns whether a column of texts has a line break in one of its cells."""
    columns = [column for column in table.columns if pa.types.is_string(column.type)]
    return any(pc.any(pc.match_substring(column, "\n")).as_py() for column in columns)


def check_quotes(path: Path, delimiters: str) -> None:
    """Refuses a file in which a quotation mark that opens a field takes the rows behind it for text.

    In a file written without quoting, a text may begin with a quotation mark. A parser reads on to the next
    quotation mark, over any number of rows, and takes the rest of that line for a part of the same field.

    Args:
        path: A file of delimited text with a line break inside of a field.
        delimiters: The candidates, most likely first.

    Raises:
        DataError: A field of several lines does not end at its closing quotation mark; the message names its lines.
    """
    delimiter, _, skipped = find_dialect(path, delimiters)
    limit = csv.field_size_limit(_LONGEST_FIELD)
    try:
        with io.TextIOWrapper(open_file(path), encoding="utf-8-sig", newline="") as stream:
            for _ in range(skipped):
                stream.readline()
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            while True:
                first = reader.line_num + 1
                try:
                    if next(reader, None) is None:
                        return
                except csv.Error as error:  # the next call goes on with the next line
                    if reader.line_num > first:
                        raise DataError(
                            f"a quotation mark at line {first + skipped} of {path} opens a text that would reach to "
                            f"line {reader.line_num + skipped}, over all rows between",
                            "quote texts that contain quotation marks, and double these, or write JSON Lines",
                        ) from error
    finally:
        csv.field_size_limit(limit)


def kind_of(value: Any) -> str:
    """Returns the type of a Python value in plain words: `a text`, `a number`, `a list` ..."""
    kinds = {bool: "true or false", str: "a text", Number: "a number", Mapping: "an object"}
    return "missing" if value is None else next((kinds[k] for k in kinds if isinstance(value, k)), "a list")


def _records(path: Path, delimiter: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """Yields the records that are not blank, each with the number of its first line."""
    first_line = 1 + skipped
    with io.TextIOWrapper(open_file(path), encoding="utf-8-sig", newline="") as stream:
        for _ in range(skipped):
            stream.readline()
        reader = csv.reader(stream, delimiter=delimiter)
        with suppress(csv.Error):  # stops at a field of over 128 kB
            for record in reader:
                if record:
                    yield first_line, record
                first_line = reader.line_num + 1 + skipped


def _encoding_error(path: Path) -> DataError | None:
    offset = 0
    with open_file(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return DataError(
                    f"{path} is not UTF-8: line {number}, byte {offset + error.start} of the file",
                    _advice(line + b"".join(stream.readlines(_SAMPLE)), line, error.start),
                )
            offset += len(line)
    return None


def _advice(sample: bytes, line: bytes, place: int) -> str:
    """Returns the remedy for bytes that are no UTF-8, with a guess of their encoding and what the line then reads."""
    from charset_normalizer import from_bytes  # only now: its tables take time to load

    if sample[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return 'save it as UTF-8, for example with "iconv -f UTF-16 -t UTF-8"'
    odd = b"".join(one for one in sample.splitlines(keepends=True) if not one.isascii())[:_SAMPLE]
    guess = None if _is_western(odd) else from_bytes(odd).best()
    encoding = "cp1252" if guess is None else guess.encoding
    read = line[max(0, place - 20) : place + 30].decode(encoding, errors="replace").strip()
    command = f"iconv -f {encoding.upper().replace('_', '-')} -t UTF-8"
    return f'save it as UTF-8, for example with "{command}" if this guess is right, by which the line reads "{read}"'


def _is_western(text: bytes) -> bool:
    """Returns whether text is plausible in cp1252, which spreadsheets write in Western Europe and America.

    A few short lines are too little for a statistical guess. Read as cp1252, texts of other encodings have other
    letters, or more that are not of ASCII.
    """
    try:
        read = text.decode("cp1252")
    except UnicodeDecodeError:
        return False
    odd = re.sub(r"[\x00-\x7f]|õ(?=e)", "", read)
    letters = sum(map(str.isalpha, read))
    return set(odd) <= _WESTERN and sum(map(str.isalpha, odd)) <= 0.3 * letters


def _ragged_record(path: Path, dialect: Dialect) -> DataError | None:
    delimiter, header, skipped = dialect
    for line, record in _records(path, delimiter, skipped):
        if len(record) != len(header):
            return DataError(
                f"{path} has {len(record)} field(s) in the row at line {line}, but its header names {len(header)}",
                f'quote texts that contain "{delimiter}" or a quotation mark, and double the quotation marks inside',
            )
    return None


def _odd_object(path: Path) -> DataError | None:
    kinds: dict[str, str] = {}
    with io.TextIOWrapper(open_file(path), encoding="utf-8-sig", newline="\n") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                reason = getattr(error, "msg", error)
                return DataError(
                    f"line {number} of {path} is not JSON ({reason})", "write one object per line"
                )
            if not isinstance(row, dict):
                return DataError(f"line {number} of {path} is {kind_of(row)}", "write one object per line")
            for name, value in row.items():
                before, now = kinds.get(name, "missing"), kind_of(value)
                if "missing" not in (before, now) and now != before:
                    return DataError(
                        f'{path} has {now} as "{name}" in line {number}, but earlier lines have {before}',
                        "use the same type in every line",
                    )
                kinds[name] = before if now == "missing" else now
    return None
