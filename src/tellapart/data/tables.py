"""One file, one table: CSV, TSV, JSON Lines, JSON and Parquet, in and out, as pyarrow tables."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from tellapart.data.textfiles import explain, find_dialect, kind_of
from tellapart.errors import DataError, UserError, did_you_mean
from tellapart.files import replacing

FORMATS = {
    ".csv": "CSV",
    ".tsv": "TSV",
    ".jsonl": "JSON Lines",
    ".ndjson": "JSON Lines",
    ".json": "JSON",
    ".parquet": "Parquet",
}
"""What each suffix holds; all but `.json` and `.parquet` may be followed by `.gz`."""

DELIMITERS = {"CSV": ",;\t|", "TSV": "\t"}

BLOCK_BYTES = 1 << 25
"""What pyarrow parses at a time, and so the longest row of a CSV or JSON Lines file: 32 MiB."""


def file_format(path: Path) -> str | None:
    """Returns what a file holds by its suffix, a value of `FORMATS`, or None."""
    compressed = path.suffix.lower() == ".gz"
    kind = FORMATS.get((path.with_suffix("") if compressed else path).suffix.lower())
    return None if compressed and kind in ("JSON", "Parquet") else kind


def read_table(path: str | Path, kind: str | None = None) -> pa.Table:
    """Reads one file.

    All columns of CSV and TSV files are text: `001`, `1.0`, `true` and `NA` stay as they are written, and
    an empty cell is an empty text. The delimiter of a CSV file is found among comma, semicolon, tab and |.
    Strings in JSON stay strings even where they look like dates.

    Args:
        path: A file with one of the suffixes of `FORMATS`.
        kind: What the file holds, a value of `FORMATS`; None to tell from the suffix.

    Returns:
        The rows, at least one.

    Raises:
        DataError: The file is missing, of unknown format, empty, not UTF-8 or broken; the message names the
            line where there is one.
    """
    path = Path(path)
    if not path.is_file():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"there is no file {path}{did_you_mean(path.name, siblings)}", "check the path")
    kind = kind or _required_format(path, DataError)
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty", "give a file with rows")
    try:
        table = _READERS[kind](path)
        table.validate(full=True)  # neither JSON nor Parquet checks its UTF-8 otherwise
    except DataError:
        raise
    except (pa.ArrowException, ValueError, TypeError, OSError, EOFError, zlib.error) as error:
        raise explain(path, kind, DELIMITERS.get(kind, ""), error) from error
    if table.num_rows == 0:
        raise DataError(f"{path} has no rows", "give a file with rows")
    return table


def write_table(table: pa.Table, path: str | Path) -> None:
    """Writes a table in the format of the path's suffix; the file appears whole or not at all.

    Lists become JSON strings in CSV and TSV files. Folders on the way are created.

    Raises:
        OutputError: The file could not be written; nothing of it is left behind.
        UserError: The suffix is none of `FORMATS`.
    """
    path = Path(path)
    kind = _required_format(path, UserError)
    with replacing(path) as temporary, _create(temporary, compressed=path.suffix.lower() == ".gz") as stream:
        if kind == "Parquet":
            pyarrow.parquet.write_table(table, stream)
        elif kind in DELIMITERS:
            options = pyarrow.csv.WriteOptions(delimiter=DELIMITERS[kind][0])
            pyarrow.csv.write_csv(_without_nesting(table), stream, options)
        else:
            _write_json(table, stream, lines=kind == "JSON Lines")


def table_from_columns(columns: Mapping[str, Any], where: str) -> pa.Table:
    """Builds a table from lists, arrays or series; NaN in them counts as missing.

    Args:
        columns: The values of each column by its name.
        where: What to call the data in messages.

    Returns:
        The table.

    Raises:
        DataError: A column mixes kinds of values, or the columns differ in length.
    """
    arrays = {str(name): _array(values, str(name), where) for name, values in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"the columns of {where} differ in length: {lengths}", "give a value a row in each")
    return pa.table(arrays)


def _create(path: Path, *, compressed: bool) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "wb") if compressed else path.open("wb"))


def _required_format(path: Path, error: type[UserError]) -> str:
    kind = file_format(path)
    if kind is None:
        raise error(
            f"the name {path.name} does not say what the file holds", f"end it in {', '.join(FORMATS)}"
        )
    return kind


def _read_delimited(path: Path) -> pa.Table:
    delimiter, header = find_dialect(path, DELIMITERS[file_format(path) or "CSV"])
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise DataError(f'{path} has two columns named "{repeated[0]}"', "rename one of them")
    with pa.input_stream(str(path), compression="detect") as stream:
        return pyarrow.csv.read_csv(
            stream,
            pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES),
            pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
        )


def _read_json_lines(path: Path) -> pa.Table:
    table = _parse_json_lines(path)
    as_written = pa.schema([field.with_type(_without_dates(field.type)) for field in table.schema])
    # pyarrow takes strings such as "2024-01-01" for dates: where it did, it is told not to
    return table if as_written == table.schema else _parse_json_lines(path, as_written)


def _parse_json_lines(path: Path, schema: pa.Schema | None = None) -> pa.Table:
    with pa.input_stream(str(path), compression="detect") as stream:
        return pyarrow.json.read_json(
            stream,
            pyarrow.json.ReadOptions(block_size=BLOCK_BYTES),
            pyarrow.json.ParseOptions(explicit_schema=schema),
        )


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
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # a second value: JSON Lines under another name
            return _read_json_lines(path)
        raise
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        names = dict.fromkeys(name for row in content for name in row)
        return table_from_columns({name: [row.get(name) for row in content] for name in names}, str(path))
    if isinstance(content, dict) and all(isinstance(column, list | dict) for column in content.values()):
        columns = {name: [*(c.values() if isinstance(c, dict) else c)] for name, c in content.items()}
        return table_from_columns(columns, str(path))
    raise DataError(f"{path} holds no table", "give a list of objects, one a row")


def _read_parquet(path: Path) -> pa.Table:
    with pyarrow.parquet.ParquetFile(path) as file:
        return file.read()


_READERS = {
    "CSV": _read_delimited,
    "TSV": _read_delimited,
    "JSON Lines": _read_json_lines,
    "JSON": _read_json,
    "Parquet": _read_parquet,
}


def _array(values: Any, name: str, where: str) -> pa.Array | pa.ChunkedArray:
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError) as error:
        kinds = [kind_of(value) for value in values]
        first = next((kind for kind in kinds if kind != "missing"), "missing")
        for row, kind in enumerate(kinds, start=1):
            if kind not in (first, "missing"):
                raise DataError(
                    f'row {row} of column "{name}" in {where} is {kind}, where the rows before have {first}',
                    "give the same kind in every row",
                ) from error
        raise DataError(f'column "{name}" of {where} cannot be read ({error})', "check its values") from error


def _without_nesting(table: pa.Table) -> pa.Table:
    for index, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            texts = [json.dumps(value, ensure_ascii=False) for value in table.column(index).to_pylist()]
            table = table.set_column(index, field.name, pa.array(texts, pa.string()))
    return table


def _write_json(table: pa.Table, stream: BinaryIO, *, lines: bool) -> None:
    for index, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):  # JSON knows no NaN
            column = table.column(index)
            table = table.set_column(index, field.name, pc.if_else(pc.is_finite(column), column, None))
    rows = (row for batch in table.to_batches(10_000) for row in batch.to_pylist())
    texts = (json.dumps(row, ensure_ascii=False, default=str).encode() for row in rows)
    if lines:
        stream.writelines(text + b"\n" for text in texts)
        return
    stream.write(b"[")
    stream.writelines((b",\n" if index else b"\n") + text for index, text in enumerate(texts))
    stream.write(b"\n]\n")
