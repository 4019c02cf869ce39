"""Checks the file that predictions are written to."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from tellapart.data.reading.tables import BLOCK_BYTES, DELIMITERS, file_format
from tellapart.data.reading.textfiles import find_dialect
from tellapart.data.reading.unpacking import open_file
from tellapart.errors import DataError
from tellapart.evaluation.predictions import PREDICTED, PREDICTED_SCORE
from tellapart.files import check_output_file


def check_predictions_file(output: str | Path, source: str | Path, *, prefix: str, overwrite: bool) -> None:
    """Checks that predictions may be written to a file: a new one, or one of earlier predictions.

    Args:
        output: The file.
        source: The file that is scored.
        prefix: Put before the names of the added columns.
        overwrite: Whether any other file may be replaced.

    Raises:
        UserError: It is the source, or an existing file without predictions that is not to be overwritten.
    """

    def holds_predictions(path: Path) -> bool:
        return not {prefix + PREDICTED, prefix + PREDICTED_SCORE}.isdisjoint(_column_names(path))

    # A file of an unknown format is refused for its suffix when it is to be written.
    replaced = overwrite or file_format(Path(output)) is None
    check_output_file(output, [source], overwrite=replaced, replaceable=holds_predictions)


def _column_names(path: Path) -> Collection[str]:
    """Reads the columns of a table from its header, or those of its first row in JSON; none if it is no table."""
    kind = file_format(path) or ""
    try:
        if kind == "Parquet":
            return pyarrow.parquet.read_schema(path).names
        if kind in DELIMITERS:
            return find_dialect(path, DELIMITERS[kind]).header
        with open_file(path) as stream:  # of JSON as predictions are written: one row per line
            first = (stream.readline(BLOCK_BYTES).strip(b"[, \r\n") or stream.readline(BLOCK_BYTES)).strip(
                b", \r\n"
            )
        row = json.loads(first)
        return row if isinstance(row, dict) else ()
    except (DataError, OSError, EOFError, ValueError, zlib.error, pa.ArrowException):
        return ()
