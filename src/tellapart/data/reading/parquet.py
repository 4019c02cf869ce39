"""Reads Parquet files, with a limit on what they expand to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from tellapart.data.reading.types import check_names
from tellapart.errors import DataError

BATCH_ROWS = 128
"""Rows that are decompressed at once, before their size is known."""

BOMB_BYTES, BOMB_RATIO = 1 << 30, 1000
"""A file that expands to more than this many bytes (1 GiB), and to more than this many times its size, is refused."""


def read_parquet(path: Path) -> pa.Table:
    """Reads a file as a table.

    Raises:
        DataError: Two columns have the same name, or the file expands beyond the limits.
        pyarrow.ArrowException: The file is damaged.
    """
    with pyarrow.parquet.ParquetFile(path) as file:
        check_names(file.schema_arrow.names, str(path))
        return pa.Table.from_batches(_batches(file, path, BATCH_ROWS), file.schema_arrow)


def parquet_blocks(path: Path, rows: int, group: int = 0) -> Iterator[pa.Table]:
    """Yields the rows of a file in tables of at most `rows` rows, from a row group on.

    Raises:
        DataError: Two columns have the same name, or the file expands beyond the limits.
        pyarrow.ArrowException: The file is damaged.
    """
    size = min(BATCH_ROWS, rows)
    with pyarrow.parquet.ParquetFile(path) as file:
        check_names(file.schema_arrow.names, str(path))
        batches: list[pa.RecordBatch] = []
        held = 0
        for batch in _batches(file, path, size, group):
            batches.append(batch)
            held += batch.num_rows
            if held + size > rows:
                yield pa.Table.from_batches(batches, file.schema_arrow).combine_chunks()
                batches, held = [], 0
        if batches:
            yield pa.Table.from_batches(batches, file.schema_arrow).combine_chunks()


def row_group_of(path: Path, row: int) -> tuple[int, int]:
    """Returns the number of the row group that holds a row, and the row's place in it, both from 0.

    Raises:
        pyarrow.ArrowException: The file is damaged.
    """
    metadata = pyarrow.parquet.read_metadata(path)
    for group in range(metadata.num_row_groups):
        held = metadata.row_group(group).num_rows
        if row < held:
            return group, row
        row -= held
    return metadata.num_row_groups, row


def _batches(
    file: pyarrow.parquet.ParquetFile, path: Path, rows: int, group: int = 0
) -> Iterator[pa.RecordBatch]:
    """Yields batches of at most `rows` rows, from a row group on, and counts their size.

    A text that repeats takes a few bytes in the file and its whole length in memory, so that the size after
    decompression is only known while reading.
    """
    most = max(BOMB_BYTES, BOMB_RATIO * path.stat().st_size)
    read = 0
    for batch in file.iter_batches(batch_size=rows, row_groups=list(range(group, file.num_row_groups))):
        # The values of a dictionary column are shared by the batches of a row group: only its indices are new.
        read += sum(
            (column.indices if pa.types.is_dictionary(column.type) else column).nbytes
            for column in batch.columns
        )
        if read > most:
            raise DataError(
                f"{path} expands to more than {BOMB_RATIO} times its size ({most >> 20} MiB)",
                "check where it comes from, or write fewer rows or shorter texts per file",
            )
        yield batch
