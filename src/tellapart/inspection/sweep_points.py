"""Where the trials of a sweep lie on the axes of a figure, for pictures and pages alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tellapart.evaluation.metrics import METRICS
from tellapart.evaluation.sweeps import SweepResult, SweepTrial, space_names, value_text
from tellapart.inspection.shortening import abbreviate
from tellapart.recipes.spaces import SearchSpace

MOST_TICKS = 12

_NAME_LENGTH, _LINE_LENGTH = 18, 60  # letters of one value, and of all beside each other


@dataclass(frozen=True)
class ValueAxis:
    """The axis of one searched key.

    Args:
        name: What stands beside it.
        log: Whether it is logarithmic.
        ticks: Position and words, where these are values of the key; empty where round numbers are better.
        values: The values that are not numbers, whose positions are 0, 1, 2 …; empty on an axis of numbers.
    """

    name: str
    log: bool
    ticks: tuple[tuple[float, str], ...]
    values: tuple[Any, ...] = ()

    def position(self, value: Any) -> float:
        """Returns where a value lies."""
        return float(self.values.index(value)) if self.values else float(value)

    def extent(self, positions: Sequence[float]) -> tuple[float, float]:
        """Returns the ends of the axis: some room beside the outermost of its ticks and of the positions given."""
        if self.values:
            return -0.5, len(self.values) - 0.5
        places = [*positions, *(at for at, _ in self.ticks)]
        low, high = min(places), max(places)
        if self.log:
            factor = max((high / low) ** 0.04, 1.05)
            return low / factor, high * factor
        room = 0.04 * (high - low) or 0.5
        return low - room, high + room


@dataclass(frozen=True)
class Dot:
    """A score of a trial.

    Args:
        x: The position of the trial's value.
        score: In the figure's unit.
        finished: Whether the trial was complete; else it was stopped early.
        hint: What it is, in words.
    """

    x: float
    score: float
    finished: bool
    hint: str


def value_axis(result: SweepResult, space: SearchSpace) -> ValueAxis:
    """Returns the axis of a searched key: logarithmic if it was searched so, or if its list grows by factors."""
    name = space_names(result.spaces)[space.path]
    if not space.numeric:
        assert space.values is not None
        room = min(max(_LINE_LENGTH // len(space.values), 6), _NAME_LENGTH)
        words = [abbreviate(value_text(value), room) for value in space.values]
        return ValueAxis(name, False, tuple((float(at), word) for at, word in enumerate(words)), space.values)
    listed = sorted(space.values or ())
    ticks = tuple((float(value), value_text(value)) for value in listed) if len(listed) <= MOST_TICKS else ()
    return ValueAxis(name, space.log or _grows_by_factors(listed), ticks)


def seed_dots(result: SweepResult, space: SearchSpace) -> list[Dot]:
    """Returns a dot a seed of every trial that finished one."""
    axis, metric = value_axis(result, space), METRICS[result.metric]
    return [
        Dot(
            axis.position(trial.parameters[space.path]),
            unit(result) * score,
            trial.state == "complete",
            f"{value_text(trial.parameters[space.path])}, seed {seed}: {metric.display(score)}{_state(trial)}",
        )
        for trial in result.trials
        for seed, score in trial.scores.items()
    ]


def mean_dots(result: SweepResult, space: SearchSpace) -> list[Dot]:
    """Returns a dot a trial that finished a seed, in the order of its values."""
    axis, metric = value_axis(result, space), METRICS[result.metric]
    dots = [
        Dot(
            axis.position(trial.parameters[space.path]),
            unit(result) * trial.mean,
            trial.state == "complete",
            f"{value_text(trial.parameters[space.path])}: {metric.display(trial.mean)}{_state(trial)}",
        )
        for trial in result.trials
        if trial.mean is not None
    ]
    return sorted(dots, key=lambda dot: dot.x)


def baseline_band(result: SweepResult) -> tuple[float, float, float] | None:
    """Returns mean and interval of the baseline in the figure's unit, the mean three times for one seed."""
    if result.baseline is None or result.baseline.mean is None:
        return None
    low, high = result.baseline.interval or (result.baseline.mean, result.baseline.mean)
    return unit(result) * result.baseline.mean, unit(result) * low, unit(result) * high


def score_extent(result: SweepResult) -> tuple[float, float]:
    """Returns the lowest and the highest score of a seed in the figure's unit.

    An interval may reach beyond: with few seeds it is so wide that nothing else could be told apart.
    """
    several = [*result.trials, *([result.baseline] if result.baseline is not None else [])]
    scores = [unit(result) * score for one in several for score in one.scores.values()]
    return min(scores), max(scores)


def unit(result: SweepResult) -> int:
    """Returns what scores are multiplied by in figures: 100 for shares."""
    return 100 if METRICS[result.metric].percentage else 1


def _state(trial: SweepTrial) -> str:
    return "" if trial.state == "complete" else f" ({trial.state})"


def _grows_by_factors(values: Sequence[Any]) -> bool:
    """Whether sorted numbers are spaced more evenly in their logarithms: 2, 4, 8 rather than 2, 4, 6."""
    if len(values) < 3 or values[0] <= 0 or not math.isfinite(values[-1]):
        return False
    steps = np.diff(np.asarray(values, dtype=np.float64))
    factors = np.diff(np.log(np.asarray(values, dtype=np.float64)))
    return bool(np.std(factors) / np.mean(factors) < np.std(steps) / np.mean(steps))
