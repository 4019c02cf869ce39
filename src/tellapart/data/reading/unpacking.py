"""Opens plain and gzipped files for reading; a small archive of gigabytes is refused while it is unpacked."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any, BinaryIO

from tellapart.errors import DataError

MOST_UNPACKED = 1 << 28
"""Bytes that any gzipped file may unpack to, 256 MiB."""

MOST_RATIO = 100
"""Ratio of unpacked to packed size up to which a gzipped file may unpack to more; texts have ratios of 3 to 20."""


def open_file(path: Path) -> BinaryIO:
    """Opens a file in binary mode; one with the suffix `.gz` is unpacked.

    Reading raises a `DataError` where the unpacked bytes exceed both `MOST_UNPACKED` and `MOST_RATIO` times the size.
    """
    if path.suffix.lower() != ".gz":
        return path.open("rb")
    return io.BufferedReader(_Unpacked(path), 1 << 20)


class _Unpacked(io.RawIOBase):
    """The unpacked bytes of a gzipped file, up to a limit."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream = gzip.open(path)  # noqa: SIM115  closed in close
        self._left = max(MOST_UNPACKED, MOST_RATIO * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._stream.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise DataError(
                f"{self._path} unpacks to more than {MOST_RATIO} times its size",
                "unpack it yourself with gunzip if that is right",
            )
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()
