"""Streams tables that may be larger than memory: validated in a first pass, then read part by part."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from tellapart.data.examples import TextSplit
from tellapart.data.reading import tables
from tellapart.data.reading.columns import Columns
from tellapart.data.reading.integers import exact_types
from tellapart.data.reading.jsontext import check_json_lines, line_blocks
from tellapart.data.reading.parquet import parquet_blocks, row_group_of
from tellapart.data.reading.tables import delimited_options, explaining, parse_json_lines, schema_as_written
from tellapart.data.reading.textfiles import check_quotes, has_line_breaks
from tellapart.data.reading.unpacking import open_file
from tellapart.data.reading.values import missing_values, read_examples
from tellapart.errors import DataError, NoRowsError

Item = TypeVar("Item")

STREAM_BYTES = 1 << 26
"""Files up to this size (64 MiB) are read into memory."""

ROWS_A_PART = 8192
"""Rows that are read, predicted and written together: enough for batches of similar length."""

CSV_BLOCK_BYTES = 1 << 20
"""Size of the blocks in which CSV and TSV files are parsed, in bytes; a longer row is a block of its own."""

_TOO_LONG = (
    "straddling object",
    "Empty CSV file or block",
)  # pyarrow, of a row or a header longer than a block
_COMPRESSION = 8  # expected ratio of Parquet and gzip
_END: Any = object()


@dataclass(frozen=True)
class RowStream:
    """The rows of a file, which can be iterated over repeatedly.

    Args:
        path: The file.
        kind: Its format.
        schema: The columns of every part.
        rows: Number of rows, at least one.
        missing: For each column with missing values: their number and the first such row, counted from 1.
        blocks: Starts a new pass over the file.
    """

    path: Path
    kind: str
    schema: pa.Schema
    rows: int
    missing: Mapping[str, tuple[int, int]]
    blocks: Callable[[], Iterator[pa.Table]]

    def parts(self) -> Iterator[pa.Table]:
        """Yields tables of `ROWS_A_PART` rows, the last of those that are left, in the order of the file."""
        return regrouped(self.blocks(), ROWS_A_PART)

    def check_texts(self, columns: Columns) -> None:
        """Checks that every row has its texts.

        Raises:
            DataError: Texts are missing; the message gives the number of such rows and the first.
        """
        for name in (columns.text, columns.text_pair):
            if name is not None and name in self.missing:
                count, first = self.missing[name]
                raise missing_values(count, first, "text", name, str(self.path))


def open_rows(path: str | Path) -> RowStream:
    """Opens a file as a stream of rows and validates all of it, so that reading cannot fail later.

    Small files are kept in memory, and so are JSON and fastText of any size; other files are read again in every
    pass.

    Args:
        path: CSV, TSV, JSON Lines, JSON or Parquet, as for `tellapart.data.reading.tables.read_table`.

    Raises:
        DataError: The file is missing, of unknown format, empty, not UTF-8 or broken.
    """
    path, kind = tables.readable_file(path)
    if not _is_streamed(path, kind):
        table = tables.read_table(path, kind)
        return RowStream(path, kind, table.schema, len(table), _missing([table]), lambda: iter([table]))
    schema = None
    if kind == "JSON Lines":
        with explaining(path, kind):
            check_json_lines(path, tables.BLOCK_BYTES)
            kinds = [block.schema for block in _json_blocks(path, None)]
            schema = _exact_schema(path, pa.unify_schemas(kinds, promote_options="permissive"))
    rows, line_breaks = 0, False

    def seen() -> Iterator[pa.Table]:
        nonlocal rows, schema, line_breaks
        for block in _explained(path, kind, schema):
            with explaining(path, kind):
                block.validate(full=True)
            schema = block.schema if schema is None else schema
            rows += len(block)
            line_breaks = line_breaks or (kind in tables.DELIMITERS and has_line_breaks(block))
            yield _converted(block, schema, path)

    missing = _missing(seen())
    if line_breaks:
        check_quotes(path, tables.DELIMITERS[kind])
    if not rows or schema is None:
        raise NoRowsError(f"{path} has no rows", "give a file with rows")
    return RowStream(path, kind, schema, rows, missing, lambda: rows_from(path, kind, schema))


def rows_from(path: Path, kind: str, schema: pa.Schema, first: int = 0) -> Iterator[pa.Table]:
    """Reads a file from one of its rows on, without checking it again.

    Row groups of Parquet before that row are not read; the rows of other files are read and dropped.

    Args:
        path: A file that `open_rows` has checked.
        kind: Its format, as of `tellapart.data.reading.tables.readable_file`.
        schema: The columns to return, those of the file in any order; values are converted without loss.
        first: The first row, counted from 0.

    Raises:
        DataError: The file cannot be read any more, or the schema cannot hold a value.
    """
    if not _is_streamed(path, kind):
        blocks = iter([tables.read_table(path, kind)])
    elif kind == "Parquet":
        blocks, first = _parquet_from(path, first)
    else:
        blocks = _explained(path, kind, schema)
    for block in blocks:
        if len(block) > first:
            yield _converted(block.slice(first), schema, path)
        first = max(0, first - len(block))


def regrouped(blocks: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Yields the rows of tables as tables of exactly `rows` rows, the last of those that are left."""
    held: list[pa.Table] = []
    wanted = rows
    for block in blocks:
        start = 0
        while start < len(block):
            piece = block.slice(start, wanted)
            held.append(piece)
            start += len(piece)
            wanted -= len(piece)
            if not wanted:
                yield pa.concat_tables(held)
                held, wanted = [], rows
    if held:
        yield pa.concat_tables(held)


def first_examples(stream: RowStream, columns: Columns, most: int) -> TextSplit:
    """Reads the texts of the first rows of a stream, at most `most`.

    Raises:
        DataError: A text is of the wrong type.
    """
    split = TextSplit([], None if columns.text_pair is None else [])
    for part in stream.parts():
        rows = part.slice(0, most - len(split))
        split = split.joined(read_examples(rows, columns, where=str(stream.path)))
        if len(split) >= most:
            break
    return split


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yields items, preparing the next one in a background thread."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, items, _END)
        while (item := waiting.result()) is not _END:
            waiting = pool.submit(next, items, _END)
            yield item


def _is_streamed(path: Path, kind: str) -> bool:
    """Whether a file is streamed in blocks: large files, of formats that allow it."""
    compressed = kind == "Parquet" or path.suffix.lower() == ".gz"
    small = path.stat().st_size * (_COMPRESSION if compressed else 1) <= STREAM_BYTES
    return not small and kind in _BLOCKS


def _parquet_from(path: Path, first: int) -> tuple[Iterator[pa.Table], int]:
    """Returns the blocks of a file from the row group of a row on, and the place of the row in them."""
    with explaining(path, "Parquet"):
        group, place = row_group_of(path, first)
    return _explained_blocks(path, "Parquet", lambda: parquet_blocks(path, ROWS_A_PART, group)), place


def _converted(block: pa.Table, schema: pa.Schema, path: Path) -> pa.Table:
    if block.schema.equals(schema, check_metadata=True):
        return block
    try:
        return block.select(schema.names).cast(schema)
    except (pa.ArrowException, KeyError) as error:
        raise DataError(
            f"the values of {path} cannot be converted to the types that all rows share "
            f"({str(error).splitlines()[0]})",
            "write the column with the same type in every row",
        ) from error


def _missing(blocks: Iterator[pa.Table] | list[pa.Table]) -> dict[str, tuple[int, int]]:
    missing: dict[str, tuple[int, int]] = {}
    before = 0
    for block in blocks:
        for name, column in zip(block.column_names, block.columns, strict=True):
            if column.null_count:
                first = before + pc.index(column.is_null(), True).as_py() + 1
                count, first = missing.get(name, (0, first))
                missing[name] = count + column.null_count, first
        before += len(block)
    return missing


def _explained(path: Path, kind: str, schema: pa.Schema | None) -> Iterator[pa.Table]:
    """Yields the blocks of a file; reading errors become a DataError."""
    return _explained_blocks(path, kind, lambda: _BLOCKS[kind](path, schema))


def _explained_blocks(path: Path, kind: str, start: Callable[[], Iterator[pa.Table]]) -> Iterator[pa.Table]:
    with explaining(path, kind):
        blocks = start()
    while True:
        with explaining(path, kind):
            block = next(blocks, None)
        if block is None:
            return
        yield block


def _delimited_blocks(path: Path, _: pa.Schema | None) -> Iterator[pa.Table]:
    """Yields small blocks, or large ones from the first row on that is longer than a small block.

    pyarrow reads more than 30 blocks ahead of a slow consumer: of the largest ones more than a gigabyte.
    """
    yielded = 0
    try:
        for block in _csv_blocks(path, min(CSV_BLOCK_BYTES, tables.BLOCK_BYTES)):
            yielded += len(block)
            yield block
        return
    except pa.ArrowInvalid as error:
        if not any(sign in str(error) for sign in _TOO_LONG):
            raise
    for block in _csv_blocks(path, tables.BLOCK_BYTES):
        if len(block) > yielded:
            yield block.slice(yielded)
        yielded = max(0, yielded - len(block))


def _csv_blocks(path: Path, block_bytes: int) -> Iterator[pa.Table]:
    read, parse, convert = delimited_options(path)
    read.block_size = block_bytes
    with (
        open_file(path) as stream,
        pyarrow.csv.open_csv(stream, read, parse, convert) as reader,
    ):
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _json_blocks(path: Path, schema: pa.Schema | None) -> Iterator[pa.Table]:
    """Yields blocks of whole lines, of the types of their own values if there is no schema.

    With a schema, integers stay integers where it has floats: pyarrow's parser would round those that no float
    holds without a word, while a conversion refuses them.
    """
    for lines in line_blocks(path, tables.BLOCK_BYTES):
        if not lines.strip():
            continue
        block = parse_json_lines(io.BytesIO(lines))
        as_written = schema_as_written(block.schema)
        if schema is None:
            yield block if as_written == block.schema else block.cast(as_written)
            continue
        wanted = _with_own_integers(schema, as_written)
        if block.schema != wanted:
            block = parse_json_lines(io.BytesIO(lines), wanted)
        yield block.select(schema.names)


def _exact_schema(path: Path, schema: pa.Schema) -> pa.Schema:
    """Returns a schema of JSON Lines that holds all integers.

    Raises:
        DataError: A column has some that neither floats nor 64 bits hold, or fractions beside them.
    """
    exact = exact_types(path, schema, tables.BLOCK_BYTES)
    for name in exact.texts:
        raise DataError(
            f'column "{name}" of {path} has integers that no float holds, beside fractions or beyond 64 bits',
            "write its numbers as texts",
        )
    return schema_as_written(schema, exact.unsigned)


def _with_own_integers(schema: pa.Schema, own: pa.Schema) -> pa.Schema:
    """Returns a schema without metadata, with integers in place of floats where the values are integers."""
    known = {field.name: field.type for field in own}
    return pa.schema(
        [field.with_type(_own_integers(field.type, known.get(field.name, field.type))) for field in schema]
    )


def _own_integers(kind: pa.DataType, own: pa.DataType) -> pa.DataType:
    if pa.types.is_floating(kind) and pa.types.is_integer(own):
        return own
    if pa.types.is_list(kind) and pa.types.is_list(own):
        return pa.list_(_own_integers(kind.value_type, own.value_type))
    if pa.types.is_struct(kind) and pa.types.is_struct(own):
        known = {field.name: field.type for field in own}
        fields = [
            field.with_type(_own_integers(field.type, known.get(field.name, field.type))) for field in kind
        ]
        return pa.struct(fields)
    return kind


def _parquet_blocks(path: Path, _: pa.Schema | None) -> Iterator[pa.Table]:
    return parquet_blocks(path, ROWS_A_PART)


_BLOCKS: dict[str, Callable[[Path, pa.Schema | None], Iterator[pa.Table]]] = {
    "CSV": _delimited_blocks,
    "TSV": _delimited_blocks,
    "JSON Lines": _json_blocks,
    "Parquet": _parquet_blocks,
}
