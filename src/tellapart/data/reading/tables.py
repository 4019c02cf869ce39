"""Reads and writes CSV, TSV, JSON Lines, JSON and Parquet files as pyarrow tables."""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from tellapart.data.reading.fasttext import is_fasttext, read_fasttext
from tellapart.data.reading.integers import exact_types, written_numbers
from tellapart.data.reading.jsontext import MOST_NESTING, check_json_lines, is_deep, parse_json
from tellapart.data.reading.parquet import read_parquet
from tellapart.data.reading.textfiles import check_quotes, explain, find_dialect, has_line_breaks, kind_of
from tellapart.data.reading.types import check_names, is_bytes
from tellapart.data.reading.unpacking import open_file
from tellapart.errors import DataError, NoRowsError, UserError, did_you_mean
from tellapart.files import replacing, user_path

FORMATS = {
    ".csv": "CSV",
    ".tsv": "TSV",
    ".jsonl": "JSON Lines",
    ".ndjson": "JSON Lines",
    ".json": "JSON",
    ".parquet": "Parquet",
}
"""Format of each suffix; all but `.json` and `.parquet` may be followed by `.gz`."""

DELIMITERS = {"CSV": ",;\t|", "TSV": "\t"}

BLOCK_BYTES = 1 << 25
"""pyarrow's block size, and so the longest possible row of a CSV or JSON Lines file: 32 MiB."""


MOST_COLUMNS = 50_000
"""Columns of a file beyond which it is refused; pyarrow needs some seconds for as many."""

_MOST_SPARSE = 100  # cells of a table for each value of its objects


def file_format(path: Path) -> str | None:
    """Returns the format of a file by its suffix, a value of `FORMATS`, or None."""
    compressed = path.suffix.lower() == ".gz"
    kind = FORMATS.get((path.with_suffix("") if compressed else path).suffix.lower())
    return None if compressed and kind in ("JSON", "Parquet") else kind


def input_format(path: Path) -> str | None:
    """Returns the format of a file to read: as `file_format`, or `fastText` by its first line, or None."""
    return file_format(path) or ("fastText" if is_fasttext(path) else None)


def read_table(path: str | Path, kind: str | None = None) -> pa.Table:
    """Reads a file as a table with at least one row.

    All columns of CSV and TSV files are text: `001`, `1.0`, `true` and `NA` stay as written, and an empty cell is an
    empty text. The delimiter of a CSV file is detected among comma, semicolon, tab and |. Dates in JSON stay strings.

    Args:
        path: A file with one of the suffixes of `FORMATS`, or in fastText's format.
        kind: The format, a value of `FORMATS`; None to infer it from the suffix.

    Raises:
        DataError: The file is missing, of unknown format, empty, not UTF-8 or broken; the message names the
            line where there is one.
    """
    path, kind = readable_file(path, kind)
    with explaining(path, kind):
        table = _READERS[kind](path)
        check_names(table.column_names, str(path))
        table.validate(full=True)  # otherwise UTF-8 is not checked in JSON and Parquet
    if table.num_rows == 0:
        raise NoRowsError(f"{path} has no rows", "give a file with rows")
    return table


def readable_file(path: str | Path, kind: str | None = None) -> tuple[Path, str]:
    """Returns the path and the format of a file that is not empty.

    Args:
        path: A file with one of the suffixes of `FORMATS`.
        kind: The format; None to infer it from the suffix.

    Raises:
        DataError: The file is missing, of unknown format, or empty.
    """
    path = user_path(path)
    if not path.is_file():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"there is no file {path}{did_you_mean(path.name, siblings)}", "check the path")
    if path.stat().st_size == 0:
        raise NoRowsError(f"{path} is empty", "give a file with rows")
    return path, kind or input_format(path) or _required_format(path, DataError)


@contextlib.contextmanager
def explaining(path: Path, kind: str) -> Iterator[None]:
    """Converts errors of pyarrow and the decoders to a DataError that names the faulty line."""
    try:
        yield
    except DataError:
        raise
    except (pa.ArrowException, ValueError, TypeError, OSError, EOFError, zlib.error) as error:
        raise explain(path, kind, DELIMITERS.get(kind, ""), error) from error


def write_table(table: pa.Table, path: str | Path) -> None:
    """Writes a table in the format of the path's suffix, atomically.

    Lists become JSON strings in CSV and TSV files. Missing folders are created.

    Raises:
        OutputError: The file could not be written; nothing of it is left behind.
        UserError: The suffix is none of `FORMATS`.
    """
    with writing_table(path, table.schema) as write:
        write(table)


@contextlib.contextmanager
def writing_table(path: str | Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Yields a function that appends tables to a file in the format of its suffix; the file is written atomically.

    Args:
        path: The file. Its folder is created.
        schema: Schema of all tables.

    Raises:
        OutputError: The file could not be written; nothing of it is left behind.
        UserError: The suffix is none of `FORMATS`.
    """
    path = Path(path)
    kind = _required_format(path, UserError)
    with replacing(path) as temporary, _create(temporary, compressed=path.suffix.lower() == ".gz") as stream:
        if kind == "Parquet":
            with pyarrow.parquet.ParquetWriter(stream, schema) as writer:
                yield writer.write_table
        elif kind in DELIMITERS:
            options = pyarrow.csv.WriteOptions(delimiter=DELIMITERS[kind][0])
            flat = _as_cells(pa.Table.from_batches([], schema)).schema
            with pyarrow.csv.CSVWriter(stream, flat, write_options=options) as writer:
                yield lambda table: writer.write_table(_as_cells(table))
        else:
            with _writing_json(stream, lines=kind == "JSON Lines") as write:
                yield write


def table_from_columns(columns: Mapping[str, Any], where: str) -> pa.Table:
    """Builds a table from lists, arrays or series; NaN counts as missing.

    Args:
        columns: The values of each column by name.
        where: Name of the data in messages.

    Raises:
        DataError: A column mixes types or holds values that no table can, the columns differ in length, or two of
            them have the same name.
    """
    check_names([*map(str, columns)], where)
    arrays = {str(name): _array(values, str(name), where) for name, values in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"the columns of {where} differ in length: {lengths}", "give one value per row in each"
        )
    return pa.table(arrays)


def _create(path: Path, *, compressed: bool) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "wb") if compressed else path.open("wb"))


def _required_format(path: Path, error: type[UserError]) -> str:
    kind = file_format(path)
    if kind is None:
        raise error(f"the format of {path.name} is unknown", f"use one of the suffixes {', '.join(FORMATS)}")
    return kind


def _read_delimited(path: Path) -> pa.Table:
    options = delimited_options(path)
    with open_file(path) as stream:
        table = pyarrow.csv.read_csv(stream, *options)
    if has_line_breaks(table):
        check_quotes(path, DELIMITERS[file_format(path) or "CSV"])
    return table


def delimited_options(path: Path) -> tuple[Any, Any, Any]:
    """Returns pyarrow's read, parse and convert options for a CSV or TSV file: all columns as text.

    Raises:
        DataError: The file is empty, or two columns have the same name.
    """
    delimiter, header, skipped = find_dialect(path, DELIMITERS[file_format(path) or "CSV"])
    _check_width(len(header), path)
    check_names(header, str(path))
    return (
        pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES, skip_rows=skipped),
        # in a single column an empty line is an empty text, and leaving it out would shift all rows behind it
        pyarrow.csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=len(header) > 1
        ),
        pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
    )


def _check_width(columns: int, path: Path) -> None:
    if columns > MOST_COLUMNS:
        raise DataError(
            f"{path} has {columns:,} columns, more than {MOST_COLUMNS:,}", "keep those of texts and labels"
        )


def _read_json_lines(path: Path) -> pa.Table:
    check_json_lines(path, BLOCK_BYTES)
    table = _parse_json_file(path)
    exact = exact_types(path, table.schema, BLOCK_BYTES)
    as_written = schema_as_written(table.schema, exact.unsigned)
    # pyarrow parses strings such as "2024-01-01" as dates: then the file is read again with an explicit schema
    if as_written != table.schema:
        table = _parse_json_file(path, as_written)
    for name, column in written_numbers(path, exact.texts, BLOCK_BYTES).items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def _parse_json_file(path: Path, schema: pa.Schema | None = None) -> pa.Table:
    with open_file(path) as stream:
        return parse_json_lines(stream, schema)


def parse_json_lines(stream: Any, schema: pa.Schema | None = None) -> pa.Table:
    """Parses a stream of JSON Lines; the schema overrides inferred types."""
    return pyarrow.json.read_json(
        stream,
        pyarrow.json.ReadOptions(block_size=BLOCK_BYTES),
        pyarrow.json.ParseOptions(explicit_schema=schema),
    )


def schema_as_written(schema: pa.Schema, types: Mapping[str, pa.DataType] | None = None) -> pa.Schema:
    """Returns an inferred schema with strings in place of timestamps, and with the types of some columns replaced."""
    known = types or {}
    return pa.schema([field.with_type(known.get(field.name, _without_dates(field.type))) for field in schema])


def _without_dates(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_without_dates(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_dates(field.type)) for field in kind])
    return kind


def _read_json(path: Path) -> pa.Table:
    """Reads a list of objects, or an object of columns as `pandas.DataFrame.to_json` writes it."""
    try:
        content = parse_json(path.read_bytes().decode("utf-8-sig"), str(path))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # a second value: JSON Lines under another name
            return _read_json_lines(path)
        raise
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        names = dict.fromkeys(name for row in content for name in row)
        _check_width(len(names), path)
        if len(names) * len(content) > max(MOST_COLUMNS, _MOST_SPARSE * sum(map(len, content))):
            raise DataError(
                f"the objects of {path} have {len(names)} different keys, of which each has few",
                "write objects with the same keys, such as text and label",
            )
        return table_from_columns({name: [row.get(name) for row in content] for name in names}, str(path))
    if isinstance(content, dict) and all(isinstance(column, list) for column in content.values()):
        return table_from_columns(content, str(path))
    if isinstance(content, dict) and all(isinstance(column, dict) for column in content.values()):
        # pandas writes the key of each row: columns may list the rows in different orders
        rows = dict.fromkeys(key for column in content.values() for key in column)
        columns = {name: [column.get(key) for key in rows] for name, column in content.items()}
        return table_from_columns(columns, str(path))
    raise DataError(f"{path} holds no table", "write a list of objects, one per row")


_READERS = {
    "CSV": _read_delimited,
    "TSV": _read_delimited,
    "JSON Lines": _read_json_lines,
    "JSON": _read_json,
    "Parquet": read_parquet,
    "fastText": read_fasttext,
}


def _array(values: Any, name: str, where: str) -> pa.Array | pa.ChunkedArray:
    column = f'column "{name}" of {where}'
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        raise DataError(f"{column} is {kind_of(values)}, not a list of values", "give one value per row")
    if isinstance(values, list | tuple):
        _refuse_deep(values, column)
    try:
        return pa.array(values, from_pandas=True)
    except OverflowError as error:
        big = (row for row, value in enumerate(values, start=1) if _is_big(value))
        raise DataError(
            f"{column} has an integer that 64 bits with a sign do not hold, the first in row {next(big, 1)}",
            "write such numbers as texts",
        ) from error
    except (pa.ArrowException, TypeError, ValueError) as error:
        kinds = [kind_of(value) for value in values]
        first = next((kind for kind in kinds if kind != "missing"), "missing")
        for row, kind in enumerate(kinds, start=1):
            if kind not in (first, "missing"):
                raise DataError(
                    f'row {row} of column "{name}" in {where} is {kind}, but earlier rows have {first}',
                    "use the same type in every row",
                ) from error
        raise DataError(f"{column} cannot be read ({error})", "check its values") from error


def _refuse_deep(values: Sequence[Any], column: str) -> None:
    """Refuses lists and objects nested so deep that pyarrow's conversion, which is recursive, would crash."""
    for row, value in enumerate(values, start=1):
        if isinstance(value, list | dict) and is_deep(value):
            raise DataError(
                f"row {row} of {column} is nested more than {MOST_NESTING} levels deep", "check its values"
            )


def _is_big(value: Any) -> bool:
    """Whether a value, or one in a list, is an integer outside the range of int64."""
    items = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(item, int) and not -(2**63) <= item < 2**63 for item in items)


def _as_cells(table: pa.Table) -> pa.Table:
    """Returns the table with strings in place of the types that pyarrow cannot write as cells of a CSV file."""
    written: Callable[[Any], str | None]
    for index, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            written = functools.partial(json.dumps, ensure_ascii=False, default=_as_text)
        elif _needs_text(field.type):
            written = _as_text
        else:
            continue
        texts = [written(value) for value in table.column(index).to_pylist()]
        table = table.set_column(index, field.name, pa.array(texts, pa.string()))
    return table


def _needs_text(kind: pa.DataType) -> bool:
    return is_bytes(kind) or pa.types.is_string_view(kind) or isinstance(kind, pa.BaseExtensionType)


def _as_text(value: Any) -> str | None:
    """Writes a value that JSON or CSV has no form for; bytes as UTF-8, with escapes where they are not."""
    if value is None:
        return None
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


@contextlib.contextmanager
def _writing_json(stream: BinaryIO, *, lines: bool) -> Iterator[Callable[[pa.Table], None]]:
    written = 0

    def write(table: pa.Table) -> None:
        nonlocal written
        for text in _json_rows(table):
            stream.write(text + b"\n" if lines else (b",\n" if written else b"\n") + text)
            written += 1

    if lines:
        yield write
        return
    stream.write(b"[")
    yield write
    stream.write(b"\n]\n")


def _json_rows(table: pa.Table) -> Iterator[bytes]:
    for index, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):  # JSON knows no NaN
            column = table.column(index)
            table = table.set_column(index, field.name, pc.if_else(pc.is_finite(column), column, None))
    for batch in table.to_batches(10_000):
        for row in batch.to_pylist():
            yield json.dumps(row, ensure_ascii=False, default=_as_text).encode()
