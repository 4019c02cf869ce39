"""Table cells that count how often wrong predictions of a pre-training checkpoint are reasonable."""

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
from tellapart.reproduction.measures.base import (
    Cell,
    ColumnRows,
    check_metrics,
    finished,
    pretrain_row,
    write_trial,
)
from tellapart.reproduction.measures.settings import CorrectionsMeasurement
from tellapart.wordnet.reader import WordNet

__all__ = ["METRICS", "describe", "finished", "forget", "run"]

METRICS = ("iteration_level", "prediction_level")
"""Shares of the sequences, and of the wrong predictions, that are corrected."""


def describe(cell: Cell) -> ColumnRows:
    """Reads the texts of a cell; see `Measure.describe`."""
    check_metrics(cell, METRICS)
    recipe = _recipe(cell)
    if recipe.synonyms == "wordnet":
        WordNet()  # fail before hours of pre-training if it is missing
    return _read(str(recipe.source), recipe.text, cell.evaluated)


def run(cell: Cell) -> dict[str, Any]:
    """Pre-trains, then counts on a checkpoint; see `Measure.run`."""
    recipe, rows = _recipe(cell), describe(cell)
    if done := finished(cell, rows):
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
    return write_trial(cell, rows, metrics, seconds=time.perf_counter() - start, counts=counts)


def forget() -> None:
    """Clears the cache of `describe`."""
    _read.cache_clear()


@functools.lru_cache(maxsize=16)
def _read(source: str, text: str | None, split: str) -> ColumnRows:
    texts = open_texts(source, text=text, split=split)
    lines = sum(1 for line in texts.lines() if line)
    return ColumnRows(texts.name, {"lines": lines}, texts.fingerprint)


def _recipe(cell: Cell) -> CorrectionsMeasurement:
    assert isinstance(cell.recipe, CorrectionsMeasurement)
    return cell.recipe


def _checkpoint(run_folder: Path, share: float) -> Path:
    """The checkpoint after a share of the steps of a finished run."""
    if share == 1:
        return run_folder
    step = load_pretraining_recipe(run_folder / "recipe.yaml").step_at(share)
    checkpoint = run_folder / CHECKPOINTS / f"checkpoint-{step}"
    if not checkpoint.is_dir():
        raise DataError(
            f"the pre-training run {run_folder} has no checkpoint of step {step}",
            "remove its folder to run it again",
        )
    return checkpoint
