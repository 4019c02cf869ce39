"""Benchmark sets by name, read from a user's folder or downloaded to the cache."""

from __future__ import annotations

import json
import os
import re
import warnings
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from tellapart.data.benchmarks.arxiv import ArxivSource
from tellapart.data.benchmarks.base import BenchmarkSet, PublishersSource, original_tables
from tellapart.data.benchmarks.chinese import CHINESE
from tellapart.data.benchmarks.english import ENGLISH, MEDWEB
from tellapart.data.benchmarks.glue import GLUE
from tellapart.data.reading.sources import folder_tables
from tellapart.errors import DataError, TellapartWarning, did_you_mean
from tellapart.files import cache_folder, replacing

SETS = (*ENGLISH, *GLUE, *MEDWEB, *CHINESE)


def registered() -> dict[str, BenchmarkSet]:
    """Returns the benchmark sets by name."""
    return {one.name: one for one in SETS}


def local_folder(name: str) -> Path | None:
    """Returns the folder of a set in the user's data folder (`TELLAPART_DATA`), or None."""
    root = os.environ.get("TELLAPART_DATA")
    if not root or not re.fullmatch(r"\w[\w.-]*", name):  # refuses paths out of the folder
        return None
    folder = Path(root).expanduser() / name
    return folder if folder.is_dir() else None


def fetch(name: str) -> Path:
    """Returns the folder of a set, downloading it to the cache if necessary.

    A folder of that name in `TELLAPART_DATA` takes precedence. The cache has `train.parquet` and so on, and
    `source.json`.

    Args:
        name: One of `registered()`, or a folder in `TELLAPART_DATA`.

    Raises:
        DataError: There is no such set, it could not be downloaded, or users must download it themselves.
        OutputError: The cache cannot be written.
    """
    folder = local_folder(name)
    if folder is not None:
        return folder
    if name not in registered():
        raise DataError(
            f'no set is registered as "{name}"{did_you_mean(name, registered())}',
            'see "tellapart data list" for the names',
        )
    return _cached(registered()[name])


def fetch_arxiv(first: str, last: str, archive: str = "cs", seed: int = 0) -> Path:
    """Returns the folder of a set of arXiv abstracts, downloading it to the cache if necessary.

    Args:
        first: The first day, `2019-01-01`, or a month, `2019-01`, which starts at its first day.
        last: The last day, or a month, which ends at its last day.
        archive: One of `tellapart.data.benchmarks.arxiv.ARCHIVES`.
        seed: Seed of the split.

    Raises:
        UserError: A day or the archive is invalid.
        DataError: arXiv could not be reached, or has too few papers in these days. Downloaded days are kept.
        MissingDependencyError: The package arxiv is not installed.
        OutputError: The cache cannot be written.
    """
    source = ArxivSource(archive, first, last, seed)
    return _cached(replace(registered()["arxiv"], name=source.name, source=source, sizes={}))


def named_tables(name: str) -> tuple[dict[str, pa.Table], tuple[str, ...]]:
    """Reads a benchmark set, or a folder in `TELLAPART_DATA`, which may hold a set's files as published.

    Args:
        name: One of `registered()`, or a folder in `TELLAPART_DATA`.

    Returns:
        One table per split, and notes on the set.

    Raises:
        DataError: As in `fetch`; or the files are invalid.
        OutputError: The cache cannot be written.
    """
    known = registered().get(name)
    notes = (f"{name}: {known.note}.",) if known is not None and known.note else ()
    folder = local_folder(name)
    if folder is None:
        return folder_tables(fetch(name)), notes
    tables = original_tables(folder, known.originals) if known is not None else {}
    if tables:
        return tables, notes
    try:
        return folder_tables(folder), ()  # the user's own rows: the set's notes do not apply
    except DataError as error:
        if known is None or not known.originals:
            raise
        raise DataError(error.cause, f"{error.remedy}, or add {known.originals[0]}") from error


def _cached(chosen: BenchmarkSet) -> Path:
    folder = cache_folder() / chosen.name
    if not (folder / "source.json").is_file():
        _fill(folder, chosen)
    return folder


def _fill(folder: Path, chosen: BenchmarkSet) -> None:
    if isinstance(chosen.source, PublishersSource):
        root = (
            os.environ.get("TELLAPART_DATA")
            or "a folder, and set the environment variable TELLAPART_DATA to its path"
        )
        raise DataError(
            f"{chosen.name} cannot be downloaded automatically",
            f"get it at {chosen.source.address} ({chosen.source.how}), and put {chosen.originals[0]} into the folder "
            f"{chosen.name} in {root}",
        )
    tables = chosen.source.tables()
    sizes = {split: table.num_rows for split, table in tables.items()}
    if chosen.sizes and sizes != chosen.sizes:
        warnings.warn(
            f"{chosen.name} has {sizes} rows at its source, but {dict(chosen.sizes)} were expected: "
            "results may differ from those published.",
            TellapartWarning,
            stacklevel=4,
        )
    with replacing(folder) as temporary:
        temporary.mkdir()
        for split, table in tables.items():
            pyarrow.parquet.write_table(table, temporary / f"{split}.parquet")
        origin = {"source": str(chosen.source), "sizes": sizes, "license": chosen.license}
        (temporary / "source.json").write_text(json.dumps(origin, indent=2) + "\n")
