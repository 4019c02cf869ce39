"""The PNG of a sweep: the score over the values of a key, beside the baseline's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart.evaluation.metrics import metric_label
from tellapart.evaluation.sweeps import SweepResult, best_so_far
from tellapart.inspection.figures import (
    _DOT,
    _GRID,
    _INK,
    _MEAN,
    _MUTED,
    _new_figure,
    _save,
    _set_title,
    _text_properties,
)
from tellapart.inspection.shortening import shorten
from tellapart.inspection.sweep_points import (
    ValueAxis,
    baseline_band,
    mean_dots,
    score_extent,
    seed_dots,
    unit,
    value_axis,
)
from tellapart.recipes.spaces import SearchSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3  # panels beside each other
_BAND = "#f0f2f4"


def save_sweep_plot(result: SweepResult, path: Path | str) -> None:
    """Draws the score over the values of the key that was searched, a dot a seed, or of each of several keys.

    Of several keys a first panel has the best score so far over the trials. Pruned trials are hollow, failed
    ones are left out. The baseline is a dashed line with its confidence interval as a band.

    Args:
        result: What to draw.
        path: The PNG to write.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        OutputError: The file could not be written.
    """
    several = len(result.spaces) > 1
    panels = len(result.spaces) + several
    columns = min(panels, _COLUMNS)
    rows = math.ceil(panels / columns)
    figure = _new_figure(3.4 * columns + 0.8 if several else 7.2, 3.2 * rows + (0.6 if several else 1.0))
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    if several:
        _draw_best_so_far(axes[0], result)
    for panel, space in zip(axes[several:], result.spaces, strict=False):
        _draw_scores(panel, result, space, by_seed=not several)
    for empty in axes[panels:]:
        empty.set_axis_off()
    for panel in axes[:panels]:
        _finish(panel, result)
    for first in axes[::columns]:
        first.set_ylabel(f"{metric_label(result.metric)}, validation rows", color=_MUTED, fontsize=9)
    title = shorten(f"{result.method} on {result.source}", 60)
    note, properties = _note(result), _text_properties([title])
    if several:  # over all columns: a title of the first would stretch it
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold", color=_INK, **properties)
        figure.supxlabel(note, x=0.01, ha="left", fontsize=9, color=_MUTED, **properties)
    else:
        _set_title(axes[0], title, note, properties)
    _save(figure, path)


def _draw_scores(axes: Axes, result: SweepResult, space: SearchSpace, *, by_seed: bool) -> None:
    axis = value_axis(result, space)
    means = mean_dots(result, space)
    for dot in seed_dots(result, space) if by_seed else means:
        face = _DOT if dot.finished else "none"
        axes.scatter([dot.x], [dot.score], s=24, facecolors=face, edgecolors=_DOT, alpha=0.85, zorder=2)
    finished = [dot for dot in means if dot.finished]
    if by_seed:
        places = [dot.x for dot in finished], [dot.score for dot in finished]
        line = "none" if axis.values else "-"  # words have no order that a line could follow
        axes.plot(*places, ls=line, marker="D", ms=5, color=_MEAN, lw=1.6, zorder=3)
    best = result.best
    assert best.mean is not None
    x, y = axis.position(best.parameters[space.path]), unit(result) * best.mean
    axes.scatter([x], [y], s=110, facecolors="none", edgecolors=_INK, linewidths=1.4, zorder=4)
    _label_values(axes, axis)
    axes.set_xlim(*axis.extent([dot.x for dot in means]))


def _label_values(axes: Axes, axis: ValueAxis) -> None:
    properties = _text_properties([axis.name, *(words for _, words in axis.ticks)])
    if axis.log:
        axes.set_xscale("log")
    if axis.ticks:
        places = [at for at, _ in axis.ticks]
        turned: dict[str, Any] = {"rotation": 30, "ha": "right"} if axis.values else {}
        axes.set_xticks(places, [words for _, words in axis.ticks], fontsize=8.5, **turned, **properties)
        axes.set_xticks([], minor=True)
    axes.set_xlabel(axis.name, color=_MUTED, fontsize=9, **properties)


def _draw_best_so_far(axes: Axes, result: SweepResult) -> None:
    from matplotlib.ticker import MaxNLocator

    points = [(number, unit(result) * score) for number, score in best_so_far(result)]
    axes.step([at + 1 for at, _ in points], [score for _, score in points], where="post", color=_MEAN, lw=1.8)
    axes.scatter([points[-1][0] + 1], [points[-1][1]], s=24, color=_MEAN, zorder=3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trials: the best so far", color=_MUTED, fontsize=9)


def _finish(axes: Axes, result: SweepResult) -> None:
    band = baseline_band(result)
    if band is not None:
        mean, low, high = band
        axes.axhspan(low, high, color=_BAND, lw=0, zorder=0)
        axes.axhline(mean, color=_MUTED, lw=1.4, ls="--", zorder=1)
    lowest, highest = score_extent(result)
    room = 0.08 * (highest - lowest) or 0.5 * unit(result) / 100
    axes.set_ylim(lowest - room, highest + room)
    axes.grid(axis="y", color=_GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, colors=_INK, labelsize=8.5)
    axes.spines[:].set_visible(False)


def _note(result: SweepResult) -> str:
    parts = [f"one dot per {'seed' if len(result.spaces) == 1 else 'trial'}, the best ringed"]
    if result.baseline is not None:
        level = f" and its {100 * result.confidence:g} % interval" if result.baseline.interval else ""
        parts.append(f"dashed: {result.baseline.method}{level}")
    if any(trial.state == "pruned" for trial in result.trials):
        parts.append("hollow: stopped early")
    return "; ".join(parts)
