"""Counts evaluated rows that a run has trained or validated on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

from tellapart.data.examples import TextSplit
from tellapart.data.label_texts import NONE
from tellapart.files import read_kept, user_path
from tellapart.fitting.loading import run_folder
from tellapart.recipes import load_recipe

MOST_BYTES = 1 << 28
"""Size of a run's data up to which they are read again for a note, 256 MiB."""


def learned_rows_note(model: str | Path, rows: TextSplit) -> list[str]:
    """Returns a note if evaluated rows are training or validation rows of a run; nothing where that is unknown.

    Args:
        model: A run folder, its folder `model`, or any other model.
        rows: The evaluated rows.
    """
    folder = run_folder(model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were shown when the run read its data
            learned, which = (set(), "") if folder is None else _learned(folder)
    except Exception:  # data that are gone or were replaced by anything else: metrics need none of them
        return []
    count = sum(map(learned.__contains__, rows.keys())) if learned else 0
    if not count:
        return []
    return [
        f"{count:,} of {len(rows):,} rows are {which} of the run {folder}: scores on new texts may be lower."
    ]


def _learned(folder: Path) -> tuple[set[str], str]:
    """Returns keys of rows of a run's data, and which rows they are; all rows if the data have changed since."""
    # Imported here: scoring needs no splits, which need more packages.
    from tellapart.fitting.rows import read_rows, split_data

    recipe = load_recipe(folder / "recipe.yaml")
    source = user_path(recipe.data.source or "")
    if recipe.data.source is None or sum(_sizes(source)) > MOST_BYTES:
        return set(), ""
    labelled = recipe.data.model_copy(update={"unlabelled": None, "label_texts": NONE})
    recipe = recipe.model_copy(update={"data": labelled})
    read = read_rows(recipe)
    splits, which = split_data(recipe, read).splits, "training or validation rows"
    before = (read_kept(folder / "metrics.json") or {}).get("rows", {})
    if any(before.get(name) != len(split) for name, split in splits.items()):
        splits, which = read.splits, "rows of the data"
    else:
        splits.pop("test", None)
    return set().union(*(split.keys() for split in splits.values())), which


def _sizes(source: Path) -> Iterator[int]:
    """Yields the sizes of a file, or of the files of a folder.

    Raises:
        OSError: It is not there, as a data set of the Hub, which is not asked for.
    """
    source.stat()
    for path in source.rglob("*") if source.is_dir() else [source]:
        yield path.stat().st_size
