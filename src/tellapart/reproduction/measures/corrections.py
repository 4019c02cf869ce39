"""Cells that count how often a checkpoint of a pre-training run is wrong and reasonable."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

from tellapart.errors import DataError
from tellapart.fitting.folder import CHECKPOINTS
from tellapart.pretraining.masked_statistics import pretrain_stats
from tellapart.pretraining.recipe import load_pretraining_recipe
from tellapart.pretraining.texts import open_texts
from tellapart.reproduction.measurements import CorrectionsMeasurement
from tellapart.reproduction.measures.base import (
    Cell,
    ColumnRows,
    check_metrics,
    fingerprint,
    finished,
    keep_trial,
    kept_trial,
    on_disk,
    pretrain_row,
)
from tellapart.wordnet.reader import WordNet

__all__ = ["METRICS", "describe", "finished", "forget", "on_disk", "run"]

METRICS = ("iteration_level", "prediction_level")
"""Shares of the sequences, and of the wrong predictions, that a correction is for."""


def describe(cell: Cell) -> ColumnRows:
    """Reads the texts of a cell, as `tellapart.reproduction.measures.base.Measure` says."""
    check_metrics(cell, METRICS)
    recipe = _recipe(cell)
    if recipe.synonyms == "wordnet":
        WordNet()  # that it is missing must be known before hours of pre-training
    return _read(str(recipe.source), recipe.text, cell.evaluated)


def run(cell: Cell) -> dict[str, Any]:
    """Runs a cell after its pre-training, as `tellapart.reproduction.measures.base.Measure` says."""
    recipe, mark = _recipe(cell), fingerprint(cell, describe(cell))
    done = kept_trial(cell, mark)
    if done is not None:
        return done
    checkpoint = _checkpoint(pretrain_row(cell), recipe.checkpoint)
    start = time.perf_counter()
    [counted] = pretrain_stats(
        [checkpoint],
        str(recipe.source),
        text=recipe.text,
        split=cell.evaluated,
        synonyms=recipe.synonyms,
        max_length=recipe.max_length,
        mask_share=recipe.mask_share,
        limit=recipe.limit,
        seed=recipe.seed,
        quiet=cell.quiet,
    )
    statistics = counted.statistics
    metrics = {name: float(getattr(statistics, name)) for name in METRICS}
    counts = {
        "sequences": statistics.sequences,
        "masked": statistics.masked,
        "accuracy": statistics.accuracy,
        "loss": statistics.loss,
    }
    return keep_trial(cell, metrics, mark, seconds=time.perf_counter() - start, counts=counts)


def forget() -> None:
    """Has `describe` read everything anew."""
    _read.cache_clear()


@functools.lru_cache(maxsize=16)
def _read(source: str, text: str | None, split: str) -> ColumnRows:
    texts = open_texts(source, text=text, split=split)
    lines = sum(1 for line in texts.lines() if line)
    return ColumnRows(texts.name, {"lines": lines}, texts.fingerprint())


def _recipe(cell: Cell) -> CorrectionsMeasurement:
    assert isinstance(cell.recipe, CorrectionsMeasurement)
    return cell.recipe


def _checkpoint(run_folder: Path, share: float) -> Path:
    """The checkpoint of a finished run after a share of its steps."""
    if share == 1:
        return run_folder
    step = load_pretraining_recipe(run_folder / "recipe.yaml").step_at(share)
    checkpoint = run_folder / CHECKPOINTS / f"checkpoint-{step}"
    if not checkpoint.is_dir():
        raise DataError(
            f"the pre-training run {run_folder} has no checkpoint of step {step}",
            "remove its folder to repeat it",
        )
    return checkpoint
