"""Benchmark sets by name: from a folder of the user's, from the cache, or fetched into it once."""

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
    """Returns the sets that have a name of their own, by it."""
    return {one.name: one for one in SETS}


def local_folder(name: str) -> Path | None:
    """Returns the folder of a set below the one that the environment's `TELLAPART_DATA` names, or None."""
    root = os.environ.get("TELLAPART_DATA")
    if not root or not re.fullmatch(r"\w[\w.-]*", name):  # a name, which cannot lead out of the folder
        return None
    folder = Path(root).expanduser() / name
    return folder if folder.is_dir() else None


def fetch(name: str) -> Path:
    """Returns the folder of a set, after fetching it if it is not there yet.

    A folder of that name below `TELLAPART_DATA` comes before everything. Fetched sets are kept in
    `cache_folder()` as `train.parquet` and so on, beside `source.json`.

    Args:
        name: One of `registered()`, or a folder below `TELLAPART_DATA`.

    Raises:
        DataError: There is no such set, it could not be fetched, or its users have to get it themselves.
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
    return _cached(registered()[name])


def fetch_arxiv(first: str, last: str, archive: str = "cs", seed: int = 0) -> Path:
    """Returns the folder of a set of arXiv's abstracts as `ArxivSource` describes it, after fetching it.

    Args:
        first: The first day, `2019-01-01`, or the month that begins with it, `2019-01`.
        last: The last day, or the month that ends with it.
        archive: Whose papers and categories, one of `tellapart.data.benchmarks.arxiv.ARCHIVES`.
        seed: Decides the split.

    Raises:
        UserError: A day or the archive is none.
        DataError: arXiv could not be reached, or has too few papers in these days. What it gave is kept.
        MissingDependencyError: The package arxiv is not installed.
        OutputError: The cache cannot be written.
    """
    source = ArxivSource(archive, first, last, seed)
    return _cached(replace(registered()["arxiv"], name=source.name, source=source, sizes={}))


def named_tables(name: str) -> tuple[dict[str, pa.Table], tuple[str, ...]]:
    """Reads a registered set or a folder below `TELLAPART_DATA`, which may hold a set's files as published.

    Args:
        name: One of `registered()`, or a folder below `TELLAPART_DATA`.

    Returns:
        A table a split, and what to know about the set.

    Raises:
        DataError: As in `fetch`; or the files are not what they should be.
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
        return folder_tables(folder), ()  # the user's own rows, of which nothing is known
    except DataError as error:
        if known is None or not known.originals:
            raise
        raise DataError(error.cause, f"{error.remedy}, or put these there: {known.originals[0]}") from error


def _cached(chosen: BenchmarkSet) -> Path:
    folder = cache_folder() / chosen.name
    if not (folder / "source.json").is_file():
        _fill(folder, chosen)
    return folder


def _fill(folder: Path, chosen: BenchmarkSet) -> None:
    if isinstance(chosen.source, PublishersSource):
        root = (
            os.environ.get("TELLAPART_DATA")
            or "the folder that the environment variable TELLAPART_DATA names"
        )
        raise DataError(
            f"{chosen.name} cannot be fetched for you, get it at {chosen.source.address} ({chosen.source.how})",
            f"put {chosen.originals[0]} into the folder {chosen.name} in {root}",
        )
    tables = chosen.source.tables()
    sizes = {split: table.num_rows for split, table in tables.items()}
    if chosen.sizes and sizes != chosen.sizes:
        warnings.warn(
            f"{chosen.name} has {sizes} rows at its source, where {dict(chosen.sizes)} were expected: "
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
