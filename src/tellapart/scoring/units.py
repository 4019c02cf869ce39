"""Units of scoring: slices of files, each of which becomes one part."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tellapart.data.reading.streams import RowStream
from tellapart.errors import DataError

ROWS_PER_PART = 1 << 17
"""Rows of a part: a multiple of `tellapart.data.reading.streams.ROWS_A_PART`, with which batches are formed."""

PART_NAME = re.compile(r"part-\d{5,}-\d{5,}\.parquet")
"""Names of parts: the number of the file and that of the slice, of equal width throughout a folder."""

STAMP = b"tellapart.part"
"""Key in the metadata of a part's schema, under which it has the stamp of its unit."""

_SAMPLE = 1 << 16


@dataclass(frozen=True)
class InputFile:
    """A file that was checked.

    Args:
        name: Its name, relative to the folder of all files.
        kind: Its format, as of `tellapart.data.reading.tables.readable_file`.
        size: Bytes.
        changed: Time of its last change, in nanoseconds.
        sample: SHA-256 of its first and last 64 KiB.
        rows: Number of rows.
    """

    name: str
    kind: str
    size: int
    changed: int
    sample: str
    rows: int


@dataclass(frozen=True, slots=True)
class Unit:
    """Consecutive rows of a file, scored and written at once wherever there is a worker.

    Args:
        path: The file.
        kind: Its format.
        size: Its bytes when it was checked.
        changed: Time of its last change then, in nanoseconds.
        first: The first row, counted from 0.
        rows: Number of rows.
        output: The file to write; its suffix determines the format.
        run: Digest of what determines the predictions of a run in parts; empty otherwise.
    """

    path: str
    kind: str
    size: int
    changed: int
    first: int
    rows: int
    output: str
    run: str = ""

    @property
    def stamp(self) -> bytes:
        """What the part says of the run and the rows that it comes from; empty outside of a run."""
        if not self.run:
            return b""
        what = json.dumps([self.run, Path(self.path).name, self.size, self.first, self.rows])
        return hashlib.sha256(what.encode()).hexdigest().encode()

    def check_unchanged(self) -> None:
        """Checks size and time of change of the file.

        Raises:
            DataError: It is gone or another one than when it was checked.
        """
        try:
            state = Path(self.path).stat()
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be read any more ({error.strerror})", "restore it, and resume"
            ) from error
        if (state.st_size, state.st_mtime_ns) != (self.size, self.changed):
            raise self.changed_file("since its rows were checked")

    def changed_file(self, since: str) -> DataError:
        """Returns the error for a file that is not what it was."""
        if self.run:
            return changed_file(self.path, since)
        return DataError(f"{self.path} was changed {since}", "repeat the command when nothing writes to it")


def changed_file(path: str | Path, since: str) -> DataError:
    """Returns the error for a file of a run in parts that is not what it was."""
    return DataError(f"{path} was changed {since}", "restore it, or begin again with --overwrite")


def file_state(path: Path) -> tuple[int, int, str]:
    """Returns size, time of change, and the SHA-256 of the first and last 64 KiB of a file.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_SAMPLE))
        state = path.stat()
        file.seek(max(_SAMPLE, state.st_size - _SAMPLE))
        digest.update(file.read(_SAMPLE))
    return state.st_size, state.st_mtime_ns, digest.hexdigest()


def unit_of(stream: RowStream, state: os.stat_result, output: str | Path) -> Unit:
    """Returns all rows of a file as one unit, given the state of the file before its rows were read."""
    return Unit(str(stream.path), stream.kind, state.st_size, state.st_mtime_ns, 0, stream.rows, str(output))


def slices(rows: int, most: int) -> Iterator[tuple[int, int]]:
    """Yields the first row and the number of rows of consecutive slices of at most `most` rows."""
    for first in range(0, rows, most):
        yield first, min(most, rows - first)


def part_name(file: int, piece: int, widths: tuple[int, int] = (5, 5)) -> str:
    """Returns the name of a part, such as `part-00002-00000.parquet`."""
    return f"part-{file:0{widths[0]}d}-{piece:0{widths[1]}d}.parquet"


def planned_units(
    root: Path, files: Sequence[InputFile], rows_per_part: int, output: Path, run: str = ""
) -> Iterator[Unit]:
    """Yields the units of files in order: every row is in exactly one.

    Args:
        root: The folder that the files' names are relative to.
        files: The files.
        rows_per_part: The most rows of a unit.
        output: The folder of the parts.
        run: As of `Unit`.
    """
    most_slices = -(-max((file.rows for file in files), default=0) // rows_per_part)
    widths = (_digits(len(files)), _digits(most_slices))
    for number, file in enumerate(files):
        for piece, (first, rows) in enumerate(slices(file.rows, rows_per_part)):
            yield Unit(
                path=str(root / file.name),
                kind=file.kind,
                size=file.size,
                changed=file.changed,
                first=first,
                rows=rows,
                output=str(output / part_name(number, piece, widths)),
                run=run,
            )


def _digits(count: int) -> int:
    """Digits of the numbers below a count, at least five."""
    return max(5, len(str(max(0, count - 1))))
