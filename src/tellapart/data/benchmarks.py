"""Benchmark sets by name: from a folder of the user's, from the cache, or fetched into it once."""

from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path

import pyarrow.parquet

from tellapart.data.registry import SETS, BenchmarkSet
from tellapart.errors import DataError, TellapartWarning, did_you_mean
from tellapart.files import replacing

__all__ = ["BenchmarkSet", "cache_folder", "fetch", "local_folder", "registered"]


def registered() -> dict[str, BenchmarkSet]:
    """Returns the sets that can be fetched, by name."""
    return {one.name: one for one in SETS}


def local_folder(name: str) -> Path | None:
    """Returns the folder of a set below the one that the environment's `TELLAPART_DATA` names, or None."""
    root = os.environ.get("TELLAPART_DATA")
    if not root or not re.fullmatch(r"\w[\w.-]*", name):  # a name, which cannot lead out of the folder
        return None
    folder = Path(root).expanduser() / name
    return folder if folder.is_dir() else None


def cache_folder() -> Path:
    """Returns where fetched sets are kept: `TELLAPART_CACHE`, by default `~/.cache/tellapart`."""
    return Path(os.environ.get("TELLAPART_CACHE") or "~/.cache/tellapart").expanduser()


def fetch(name: str) -> Path:
    """Returns the folder of a set, after fetching it if it is not there yet.

    A folder of that name below `TELLAPART_DATA` comes before everything. Fetched sets are kept in
    `cache_folder()` as `train.parquet` and so on, beside `source.json`.

    Args:
        name: One of `registered()`, or a folder below `TELLAPART_DATA`.

    Raises:
        DataError: There is no such set, or it could not be fetched.
        OutputError: The cache cannot be written.
    """
    folder = local_folder(name)
    if folder is not None:
        return folder
    if name not in registered():
        raise DataError(
            f'no set is registered as "{name}"{did_you_mean(name, registered())}',
            'choose one of "tellapart data list"',
        )
    folder = cache_folder() / name
    if not (folder / "source.json").is_file():
        _fill(folder, registered()[name])
    return folder


def _fill(folder: Path, chosen: BenchmarkSet) -> None:
    tables = chosen.source.tables()
    sizes = {split: table.num_rows for split, table in tables.items()}
    if sizes != chosen.sizes:
        warnings.warn(
            f"{chosen.name} has {sizes} rows at its source, where {dict(chosen.sizes)} were expected: "
            "results may differ from those published.",
            TellapartWarning,
            stacklevel=3,
        )
    with replacing(folder) as temporary:
        temporary.mkdir()
        for split, table in tables.items():
            pyarrow.parquet.write_table(table, temporary / f"{split}.parquet")
        origin = {"source": str(chosen.source), "sizes": sizes, "license": chosen.license}
        (temporary / "source.json").write_text(json.dumps(origin, indent=2) + "\n")
