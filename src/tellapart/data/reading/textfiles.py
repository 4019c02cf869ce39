"""Text files record by record: what pyarrow leaves out, the delimiter of a CSV file and the line of an error."""

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
    """Finds the delimiter that cuts the first rows into as many fields as the header, and the header.

    Args:
        path: A file of delimited text.
        delimiters: The candidates, the likeliest first.

    Returns:
        The delimiter and the names in the header.

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
    """Says why a file cannot be read, by reading it again slowly up to the line that is wrong.

    Args:
        path: The file.
        kind: What it should hold, a value of `tellapart.data.reading.tables.FORMATS`.
        delimiters: The candidates for a delimiter, empty for what is not delimited.
        error: What the reader raised.

    Returns:
        The error to raise instead.
    """
    found = None
    if isinstance(error, PermissionError):
        return DataError(f"{path} may not be read", "ask for permission to read it")
    with suppress(OSError, EOFError, zlib.error):  # a broken archive: the reader's own words must do
        if kind != "Parquet":
            found = _encoding_error(path)
        if found is None and delimiters:
            found = _ragged_record(path, *find_dialect(path, delimiters))
        if found is None and kind == "JSON Lines":
            found = _odd_object(path)
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return found or DataError(f"{path} cannot be read as {kind} ({reason})", "check how it was written")


def kind_of(value: Any) -> str:
    """Names the kind of a Python value as a user would: `a text`, `a number`, `a list` ..."""
    kinds = {bool: "true or false", str: "a text", Number: "a number", Mapping: "an object"}
    return "missing" if value is None else next((kinds[k] for k in kinds if isinstance(value, k)), "a list")


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb"))


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the records that are not blank, each with the number of its first line."""
    first_line = 1
    with io.TextIOWrapper(_open(path), encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=delimiter)
        with suppress(csv.Error):  # a field of over 128 kB ends the look
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
                f'put texts that hold "{delimiter}" or a quotation mark between quotation marks, doubling those'
                " inside",
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
                    f"{path} is not JSON in line {number} ({error.msg})", "write one object a line"
                )
            if not isinstance(row, dict):
                return DataError(f"{path} holds {kind_of(row)} in line {number}", "write one object a line")
            for name, value in row.items():
                before, now = kinds.get(name, "missing"), kind_of(value)
                if "missing" not in (before, now) and now != before:
                    return DataError(
                        f'{path} has {now} as "{name}" in line {number}, where the lines before have {before}',
                        "write the same kind in every line",
                    )
                kinds[name] = before if now == "missing" else now
    return None
