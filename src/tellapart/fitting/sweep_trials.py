"""The seed runs of a sweep: trains with one combination of values, and scores it on the validation rows."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from tellapart.data.examples import TextData
from tellapart.errors import DataError
from tellapart.evaluation.metrics import find_metric, main_metric
from tellapart.evaluation.task import is_ranking, task_metrics
from tellapart.fitting.fit import Announce, fit
from tellapart.fitting.folder import CHECKPOINTS
from tellapart.fitting.rows import read_rows, split_data
from tellapart.fitting.self_training import Pretrainer
from tellapart.fitting.tracking import TRACKING, final_metrics, tracked
from tellapart.fitting.trial_tasks import Outcome, outcome_of
from tellapart.recipes import Recipe


class SweepRows:
    """Reads the rows once and splits them once per seed.

    Raises:
        DataError: The rows cannot be used, or there are no validation rows.
        RecipeError: The task does not have the recipe's metric.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.read = read_rows(recipe)
        ranking = is_ranking(self.read.labels, self.read.train)
        named = [stage.metric for stage in recipe.stages if stage.metric]
        self.metric = named[-1] if named else self.read.metric or main_metric(self.read.labels, ranking)
        find_metric(self.read.labels, self.metric, ranking)
        self._splits: dict[tuple[int, int | None], TextData] = {}
        self.of(recipe)

    def of(self, recipe: Recipe) -> TextData:
        """Returns the splits for a recipe's seed and number of training rows."""
        key = recipe.seed, recipe.data.train_rows
        if key not in self._splits:
            data = split_data(recipe, self.read)
            if data.validation is None or data.validation.labels is None:
                raise DataError(
                    "there are no labelled validation rows to score trials on",
                    "add a validation split, or more training rows to take it from",
                )
            self._splits[key] = data
        return self._splits[key]

    def sizes(self, seed: int) -> dict[str, int]:
        """Returns split name to number of rows, for the unvaried recipe."""
        splits = self.of(self.recipe.model_copy(update={"seed": seed})).splits
        return {name: len(split) for name, split in splits.items()}


def scored(recipe: Recipe, seed: int) -> Recipe:
    """Returns a recipe as a trial trains it: the validation rows score it, so that it does not train on them."""
    unseen = recipe.data.model_copy(update={"validation_in_training": False})
    return recipe.model_copy(update={"seed": seed, "data": unseen})


def seed_score(
    recipe: Recipe,
    data: TextData,
    scratch: Path,
    metric: str,
    *,
    name: str,
    log: Path,
    callbacks: Sequence[TrainerCallback] = (),
    announce: Announce = None,
    track: str | None = None,
    pretrainer: Pretrainer | None = None,
    quiet: bool = False,
) -> float:
    """Trains with one seed and returns the metric on the validation rows.

    Args:
        recipe: From `scored`.
        data: The rows as `split_data` prepared them for that seed, with labelled validation rows.
        scratch: Holds the checkpoints while the run lasts.
        metric: Name in `METRICS`.
        name: The run's name in the tracker.
        log: The folder of the tracker.
        callbacks: For the trainer.
        announce: Called with the notes on the encoder.
        track: Experiment tracker.
        pretrainer: Pre-trains the encoder, for `self_training.pretrain`.
        quiet: Whether to show no progress.

    Raises:
        TellapartError: The recipe cannot be trained.
    """
    options: dict[str, Any] = {"announce": announce, "pretrainer": pretrainer, "quiet": quiet}
    with tracked(track, log, name, scratch, part=name) as tracker:
        logged = () if tracker is None else (tracker,)
        try:
            fitted = fit(recipe, data, scratch, callbacks=[*logged, *callbacks], **options)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        assert data.validation is not None
        metrics = task_metrics(
            fitted.labels,
            data.validation,
            fitted.scores(data.validation),
            fitted.decision.applied_thresholds,
            without_positive=recipe.data.without_positive,
        )
        if tracker is not None:
            tracker.finish(final_metrics({"validation": metrics}))
    return metrics[metric]


@dataclass(frozen=True)
class SweepTask:
    """One combination of values, or the baseline, over its seeds, as it travels to another process.

    Args:
        name: The name of its runs in the tracker, before the seed.
        runs: A recipe from `scored` and its rows, for each seed.
        metric: Name in `METRICS`.
        folder: The folder of the sweep; None where the other process does not see it.
        directory: The working directory of the command.
        folders: From `encoder_folders`.
        pretrainer: Pre-trains the encoder, for `self_training.pretrain`.
        track: Experiment tracker.
    """

    name: str
    runs: tuple[tuple[Recipe, TextData], ...]
    metric: str
    folder: Path | None
    directory: str
    folders: tuple[str, ...] = ()
    pretrainer: Pretrainer | None = None
    track: str | None = None


@dataclass(frozen=True)
class SweepScores:
    """Scores and wall times in seconds, by seed."""

    scores: dict[int, float]
    seconds: dict[int, float]


def run_sweep_task(task: SweepTask) -> Outcome[SweepScores]:
    """Runs one combination of values over all its seeds, without showing progress."""

    def run(announce: Callable[[Sequence[str]], None]) -> SweepScores:
        found = SweepScores({}, {})
        for number, (recipe, data) in enumerate(task.runs):
            start = time.perf_counter()
            # Its own folder: other trials train at the same time. A killed process leaves it, known as a run's.
            place = None if task.folder is None else task.folder / CHECKPOINTS
            if place is not None:
                place.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=place, prefix="trial-") as scratch:
                found.scores[recipe.seed] = seed_score(
                    recipe,
                    data,
                    Path(scratch) / "model",
                    task.metric,
                    name=f"{task.name}-seed{recipe.seed}",
                    log=(task.folder or Path(scratch)) / TRACKING,
                    announce=announce if number == 0 else None,
                    track=task.track,
                    pretrainer=task.pretrainer,
                    quiet=True,
                )
            found.seconds[recipe.seed] = time.perf_counter() - start
        return found

    return outcome_of(run, task.directory, task.folders)
