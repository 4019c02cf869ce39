"""Figure of a sweep: the validation metric over the values of each searched key, beside the baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tellapart.evaluation.metrics import METRICS, metric_label
from tellapart.evaluation.sweeps import SweepResult, best_so_far, space_names, value_text
from tellapart.inspection.drawing import HIT, INK, MISS, new_figure, save_png, style_axes, text_properties
from tellapart.inspection.page import abbreviate, shorten
from tellapart.recipes.spaces import SearchSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_TICKS = 12

_COLUMNS = 3  # panels per row
_NAME_LENGTH, _LINE_LENGTH = 18, 60  # characters of one value, and of all values of an axis


@dataclass(frozen=True)
class ValueAxis:
    """The axis of one searched key.

    Args:
        name: Its label.
        log: Whether it is logarithmic.
        ticks: Position and text of the key's values; empty for matplotlib's own ticks.
        values: Values that are not numbers, at the positions 0, 1, 2 …; empty on a numeric axis.
    """

    name: str
    log: bool
    ticks: tuple[tuple[float, str], ...]
    values: tuple[Any, ...] = ()

    def position(self, value: Any) -> float:
        """Returns the position of a value."""
        return float(self.values.index(value)) if self.values else float(value)

    def extent(self, positions: Sequence[float]) -> tuple[float, float]:
        """Returns the limits of the axis, with a margin beside the outermost ticks and positions."""
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
    """A value of the metric, of one seed run or averaged over a trial.

    Args:
        x: Position of the trial's value.
        metric: In the figure's unit.
        finished: Whether the trial is complete; False if it was stopped early.
    """

    x: float
    metric: float
    finished: bool


def save_sweep_plot(result: SweepResult, path: Path | str) -> None:
    """Writes `sweep_figure` as PNG.

    Args:
        result: The sweep.
        path: The PNG to write.

    Raises:
        OutputError: The file could not be written.
    """
    title = shorten(f"{result.method} on {result.source}", 60)
    save_png(sweep_figure(result), path, title, sweep_note(result))


def sweep_figure(result: SweepResult) -> Figure:
    """Draws the metric over the values of the searched key, one dot per seed; or a panel for each of several keys.

    Of several keys, the first panel has the best metric so far over the trials, and the others one dot per trial.
    Pruned trials are hollow, failed ones are left out. The baseline is a dashed line with its confidence interval as
    a band.
    """
    several = len(result.spaces) > 1
    panels = len(result.spaces) + several
    columns = min(panels, _COLUMNS)
    rows = math.ceil(panels / columns)
    figure = new_figure(3.2 * columns + 0.4 if several else 7.2, 3.0 * rows)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    label = f"{metric_label(result.metric)}, validation rows"
    for number, panel in enumerate(axes):
        if number < panels:
            _draw_frame(panel, result, label if number % columns == 0 else "")
        else:
            panel.set_axis_off()
    if several:
        _draw_best_so_far(axes[0], result)
    for panel, space in zip(axes[several:], result.spaces, strict=False):
        _draw_values(panel, result, space, by_seed=not several)
    return figure


def sweep_note(result: SweepResult) -> str:
    """Explains the dots and the baseline of `sweep_figure`."""
    best = "the best trial" if len(result.tied) == 1 else f"the {len(result.tied)} trials tied as best"
    parts = [f"one dot per {'seed' if len(result.spaces) == 1 else 'trial'}, a ring around {best}"]
    if result.baseline is not None:
        level = f" and its {100 * result.confidence:g} % interval" if result.baseline.interval else ""
        parts.append(f"dashed: {result.baseline.method}{level}")
    if any(trial.state == "pruned" for trial in result.trials):
        parts.append("hollow: stopped early")
    return "; ".join(parts)


def value_axis(result: SweepResult, space: SearchSpace) -> ValueAxis:
    """Returns the axis of a searched key; logarithmic if it was searched so, or if its values grow by factors."""
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
    """Returns one dot per finished seed of each trial."""
    axis, scale = value_axis(result, space), METRICS[result.metric].scale
    return [
        Dot(axis.position(trial.parameters[space.path]), scale * value, trial.state == "complete")
        for trial in result.trials
        for value in trial.scores.values()
    ]


def mean_dots(result: SweepResult, space: SearchSpace) -> list[Dot]:
    """Returns one dot per trial with a finished seed, ordered by position."""
    axis, scale = value_axis(result, space), METRICS[result.metric].scale
    dots = [
        Dot(axis.position(trial.parameters[space.path]), scale * trial.mean, trial.state == "complete")
        for trial in result.trials
        if trial.mean is not None
    ]
    return sorted(dots, key=lambda dot: dot.x)


def metric_extent(result: SweepResult) -> tuple[float, float]:
    """Returns the lowest and the highest metric of a seed in the figure's unit.

    Intervals may exceed it: with few seeds they are so wide that the trials would be indistinguishable.
    """
    several = [*result.trials, *([result.baseline] if result.baseline is not None else [])]
    values = [METRICS[result.metric].scale * value for one in several for value in one.scores.values()]
    return min(values), max(values)


def _draw_frame(axes: Axes, result: SweepResult, y_label: str) -> None:
    """Draws the baseline and sets the vertical axis."""
    style_axes(axes, y_label=y_label)
    scale, baseline = METRICS[result.metric].scale, result.baseline
    if baseline is not None and baseline.mean is not None:
        low, high = baseline.interval or (baseline.mean, baseline.mean)
        axes.axhspan(scale * low, scale * high, color=MISS, alpha=0.12, lw=0, zorder=0)
        axes.axhline(scale * baseline.mean, color=MISS, lw=1.4, ls="--", zorder=1)
    lowest, highest = metric_extent(result)
    room = 0.08 * (highest - lowest) or 0.5 * scale / 100
    axes.set_ylim(lowest - room, highest + room)


def _draw_values(axes: Axes, result: SweepResult, space: SearchSpace, *, by_seed: bool) -> None:
    axis = value_axis(result, space)
    means = mean_dots(result, space)
    for dot in seed_dots(result, space) if by_seed else means:
        face = HIT if dot.finished else "none"
        axes.scatter([dot.x], [dot.metric], s=24, facecolors=face, edgecolors=HIT, alpha=0.6, zorder=2)
    if by_seed:
        finished = [dot for dot in means if dot.finished]
        places = [dot.x for dot in finished], [dot.metric for dot in finished]
        line = "none" if axis.values else "-"  # categories have no order that a line could follow
        axes.plot(*places, ls=line, marker="D", ms=5, color=HIT, lw=1.6, zorder=3)
    scale = METRICS[result.metric].scale
    x = [axis.position(trial.parameters[space.path]) for trial in result.tied]
    y = [scale * trial.mean for trial in result.tied if trial.mean is not None]
    axes.scatter(x, y, s=110, facecolors="none", edgecolors=INK, linewidths=1.4, zorder=4)
    _set_values(axes, axis, axis.extent([dot.x for dot in means]))


def _set_values(axes: Axes, axis: ValueAxis, limits: tuple[float, float]) -> None:
    """Sets scale, limits, ticks and label of the horizontal axis."""
    if axis.log:
        axes.set_xscale("log")
    axes.set_xlim(*limits)
    ticks = axis.ticks or (_log_ticks(*limits) if axis.log else ())
    if ticks:
        properties = text_properties([words for _, words in ticks])
        if axis.values:
            properties |= {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks([at for at, _ in ticks], [words for _, words in ticks], **properties)
        axes.set_xticks([], minor=True)
    axes.set_xlabel(axis.name)


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Returns ticks at the powers of ten; with fewer than two of them, at 1, 2 and 5 times these."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    powers = [float(f"1e{exponent}") for exponent in exponents]  # 10.0**-5 is not quite 1e-5
    inside = [at for at in powers if low <= at <= high]
    if len(inside) < 2:
        inside = [factor * at for at in powers for factor in (1, 2, 5) if low <= factor * at <= high]
    return [(at, f"{at:.2g}") for at in inside]


def _draw_best_so_far(axes: Axes, result: SweepResult) -> None:
    from matplotlib.ticker import MaxNLocator

    points = [(number + 1, METRICS[result.metric].scale * value) for number, value in best_so_far(result)]
    axes.step(*zip(*points, strict=True), where="post", color=HIT, lw=1.8)
    axes.scatter(*points[-1], s=24, color=HIT, zorder=3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trials: the best so far")


def _grows_by_factors(values: Sequence[Any]) -> bool:
    """Whether sorted numbers are spaced more evenly on a logarithmic scale: 2, 4, 8 rather than 2, 4, 6."""
    if len(values) < 3 or values[0] <= 0 or not math.isfinite(values[-1]):
        return False
    steps = np.diff(np.asarray(values, dtype=np.float64))
    factors = np.diff(np.log(np.asarray(values, dtype=np.float64)))
    return bool(np.std(factors) / np.mean(factors) < np.std(steps) / np.mean(steps))
