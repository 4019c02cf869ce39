"""Detects the delimiter of CSV files, and locates the faulty line of a file that pyarrow cannot read."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from numbers import Number
from pathlib import Path
from typing import Any, BinaryIO, cast

from tellapart.errors import DataError


def find_dialect(path: Path, delimiters: str) -> tuple[str, list[str]]:
    """Finds the delimiter that splits the first rows into as many fields as the header.

    Args:
        path: A file of delimited text.
        delimiters: The candidates, most likely first.

    Returns:
        The delimiter and the column names.

    Raises:
        DataError: The file is empty.
    """
    best: tuple[str, list[str]] = delimiters[0], []
    for delimiter in delimiters:
        records = [record for _, record in islice(_records(path, delimiter), 20)]
        if not records:
            raise DataError(f"{path} is empty", "give a file with a header and rows")
        header = records[0]
        if len(header) > 1 and all(len(record) == len(header) for record in records):
            return delimiter, header
        best = max(best, (delimiter, header), key=lambda found: len(found[1]))
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
            found = _ragged_record(path, *find_dialect(path, delimiters))
        if found is None and kind == "JSON Lines":
            found = _odd_object(path)
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return found or DataError(f"{path} cannot be read as {kind} ({reason})", "check its format")


def kind_of(value: Any) -> str:
    """Returns the type of a Python value in plain words: `a text`, `a number`, `a list` ..."""
    kinds = {bool: "true or false", str: "a text", Number: "a number", Mapping: "an object"}
    return "missing" if value is None else next((kinds[k] for k in kinds if isinstance(value, k)), "a list")


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb"))


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the records that are not blank, each with the number of its first line."""
    first_line = 1
    with io.TextIOWrapper(_open(path), encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=delimiter)
        with suppress(csv.Error):  # stops at a field of over 128 kB
            for record in reader:
                if record:
                    yield first_line, record
                first_line = reader.line_num + 1


def _encoding_error(path: Path) -> DataError | None:
    offset = 0
    with _open(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                encoding = "UTF-16" if line[:2] in (b"\xff\xfe", b"\xfe\xff") else "WINDOWS-1252"
                return DataError(
                    f"{path} is not UTF-8: line {number}, byte {offset + error.start} of the file",
                    f'save it as UTF-8, for example with "iconv -f {encoding} -t UTF-8"',
                )
            offset += len(line)
    return None


def _ragged_record(path: Path, delimiter: str, header: list[str]) -> DataError | None:
    for line, record in _records(path, delimiter):
        if len(record) != len(header):
            return DataError(
                f"{path} has {len(record)} field(s) in the row at line {line}, but its header names {len(header)}",
                f'quote texts that contain "{delimiter}" or a quotation mark, and double the quotation marks inside',
            )
    return None


def _odd_object(path: Path) -> DataError | None:
    kinds: dict[str, str] = {}
    with io.TextIOWrapper(_open(path), encoding="utf-8-sig", newline="\n") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                return DataError(
                    f"line {number} of {path} is not JSON ({error.msg})", "write one object per line"
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
