"""Checksums of rows: whether a folder of parts holds the same rows as a file, whatever the format and the parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from tellapart.data.reading.parquet import parquet_blocks
from tellapart.data.reading.streams import ROWS_A_PART, open_rows
from tellapart.data.reading.tables import explaining
from tellapart.errors import DataError
from tellapart.scoring.index import INDEX, read_index

_MODULUS = 1 << 256  # of sums of SHA-256


def rows_checksum(
    source: str | Path | Iterable[pa.Table], *, columns: Sequence[str] | None = None, ordered: bool = True
) -> str:
    """Returns a SHA-256 of rows that depends on their names and values alone, read in constant memory.

    Numbers are compared as they are, and lists and objects as JSON. All cells of CSV files are texts: their checksums
    equal those of other formats only for columns of texts.

    Args:
        source: A folder of parts, a file, or tables.
        columns: The columns to compare; None for all.
        ordered: Whether the order of the rows counts.

    Raises:
        DataError: A part or a file cannot be read, or a column is missing.
    """
    total, running = 0, hashlib.sha256()
    names: list[str] | None = None
    for table in _tables(source):
        if names is None:
            names = sorted(table.schema.names if columns is None else columns)
        lacking = [name for name in names if name not in table.schema.names]
        if lacking:
            raise DataError(
                f'there is no column "{lacking[0]}"', f"name one of {', '.join(table.schema.names)}"
            )
        for digest in _digests(table.select(names)):
            running.update(digest)
            total = (total + int.from_bytes(digest)) % _MODULUS
    head = json.dumps(names).encode()
    content = running.digest() if ordered else total.to_bytes(32)
    return hashlib.sha256(head + content).hexdigest()


def part_tables(folder: str | Path) -> Iterator[pa.Table]:
    """Yields the rows of a folder of parts in their order, after checking each part against the index.

    Raises:
        DataError: There is no index, the run is not finished, or a part is missing, damaged or of another length.
    """
    folder = Path(folder)
    index = read_index(folder)
    if index is None or not index.finished:
        state = f"holds no {INDEX}" if index is None else "holds an unfinished run"
        raise DataError(f"the folder {folder} {state}", "predict into it, or finish the run with --resume")
    for part in index.parts:
        path = folder / part.part
        if not path.is_file():
            raise DataError(f"the part {path} is missing", "write it with --resume")
        with explaining(path, "Parquet"):
            rows = pyarrow.parquet.read_metadata(path).num_rows
            if rows != part.rows:
                raise DataError(f"{path} has {rows} rows, not {part.rows}", "write it again with --resume")
            yield from parquet_blocks(path, ROWS_A_PART)


def _tables(source: str | Path | Iterable[pa.Table]) -> Iterable[pa.Table]:
    if not isinstance(source, str | Path):
        return source
    return part_tables(source) if Path(source).is_dir() else open_rows(source).blocks()


def _digests(table: pa.Table) -> Iterator[bytes]:
    for row in table.to_pylist():
        yield hashlib.sha256(json.dumps([*row.values()], default=str).encode()).digest()
