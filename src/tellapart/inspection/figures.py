"""Figures of runs and comparisons: confusion matrix, label distances, curves, calibration, risk, targets, methods."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tellapart.evaluation.calibration import ReliabilityBin
from tellapart.evaluation.comparison import Comparison, MethodResult
from tellapart.evaluation.confusions import among, as_confusions
from tellapart.evaluation.metrics import METRICS, Metric, metric_label
from tellapart.inspection.confusion import look_alike_classes, row_shares
from tellapart.inspection.drawing import (
    HIT,
    INK,
    MISS,
    MUTED,
    PAPER,
    add_legend,
    new_figure,
    save_png,
    style_axes,
    text_properties,
)
from tellapart.inspection.page import abbreviate, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLASSES_SHOWN = 30
POINTS_SHOWN = 1000

Points = Sequence[tuple[float, float]]

_MARKED_POINTS = 60  # longer curves have no dots


def save_confusion_heatmap(
    matrix: Any,
    names: Sequence[str],
    path: Path | str,
    title: str = "Confusion matrix",
    ranks: np.ndarray | None = None,
) -> None:
    """Writes a confusion matrix as PNG, each row in per cent of its gold class.

    Args:
        matrix: Counts (K, K), dense or sparse, rows are gold.
        names: The K classes.
        path: The PNG to write.
        title: Heading of the figure.
        ranks: Ranks of ordered classes, int64 (K,), or None.

    Raises:
        OutputError: The file could not be written.
    """
    note = "cells: % of the gold class"
    if len(names) > CLASSES_SHOWN:
        note += f"; the {CLASSES_SHOWN} most confused of {len(names)} classes"
    save_png(confusion_figure(matrix, names, ranks, per_cent=True), path, title, note)


def confusion_figure(
    matrix: Any, names: Sequence[str], ranks: np.ndarray | None = None, *, per_cent: bool = False
) -> Figure:
    """Draws a confusion matrix: hits in one colour, errors in another.

    Of many classes, those of the most confused pairs are drawn, 30 in all, similar ones adjacent; ordered classes in
    their order. Colours follow the square root of the share of the whole row, so that rare errors are visible.

    Args:
        matrix: Counts (K, K), dense or sparse, rows are gold.
        names: The K classes.
        ranks: Ranks of ordered classes, int64 (K,), `LabelSpace.ranks`; None for unordered classes.
        per_cent: Whether the cells hold per cent of the gold class, not counts; what rounds to 0 is left out.
    """
    shown = look_alike_classes(matrix, CLASSES_SHOWN, ranks)
    shares = row_shares(matrix, shown)
    printed = 100 * shares if per_cent else among(as_confusions(matrix), shown)
    figure, axes = _draw_matrix(
        np.sqrt(shares),
        [[f"{value:.0f}" if value >= 0.5 else "" for value in row] for row in printed],
        [names[index] for index in shown],
        errors=~np.eye(len(shown), dtype=bool),
    )
    axes.set_xlabel("predicted")
    axes.set_ylabel("gold")
    return figure


def save_label_distance_heatmap(
    matrix: np.ndarray,
    names: Sequence[str],
    path: Path | str,
    title: str = "Label distance",
    ranks: np.ndarray | None = None,
) -> None:
    """Writes a label distance matrix as PNG: the darker, the harder two labels are pushed apart.

    Of many classes, those of the most distant pairs are drawn, 30 in all.

    Args:
        matrix: Distances (K, K).
        names: The K classes.
        path: The PNG to write.
        title: Heading of the figure.
        ranks: Ranks of ordered classes, int64 (K,), or None.

    Raises:
        OutputError: The file could not be written.
    """
    distances = np.asarray(matrix, dtype=np.float64)
    shown = look_alike_classes(distances, CLASSES_SHOWN, ranks)
    distances = distances[np.ix_(shown, shown)]
    lowest, highest = min(1.0, distances.min()), max(distances.max(), 2.0)
    figure, _ = _draw_matrix(
        (distances - lowest) / (highest - lowest),
        [["" if abs(value - 1) < 0.05 else f"{value:.1f}" for value in row] for row in distances],
        [names[index] for index in shown],
        errors=np.zeros_like(distances, dtype=bool),
    )
    note = "empty cells: 1, which is neutral"
    if len(names) > CLASSES_SHOWN:
        note += f"; the {CLASSES_SHOWN} most distant of {len(names)} classes"
    save_png(figure, path, title, note)


def save_comparison_plot(comparison: Comparison, path: Path | str) -> None:
    """Writes `comparison_figure` as PNG.

    Args:
        comparison: The comparison.
        path: The PNG to write.

    Raises:
        OutputError: The file could not be written.
    """
    note = f"one dot per seed; mean and {100 * comparison.confidence:g} % interval"
    save_png(comparison_figure(comparison), path, shorten(comparison.source, 60), note)


def comparison_figure(comparison: Comparison) -> Figure:
    """Draws the metric of each seed as a dot, and each method's mean with its confidence interval.

    Methods without a finished seed keep an empty line.
    """
    methods = list(comparison.methods)
    figure = new_figure(8.6, 0.9 + 0.55 * len(methods))
    axes = figure.add_subplot()
    style_axes(axes, "x", metric_label(comparison.metric))
    for line, result in enumerate(comparison.methods.values()):
        _draw_method(axes, line, result, METRICS[comparison.metric])
    names = [textwrap.fill(method, 40, max_lines=3, placeholder=" …") for method in methods]
    axes.set_yticks(range(len(methods)), names, **text_properties(methods))
    axes.set_ylim(len(methods) - 0.45, -0.6)
    return figure


def _draw_method(axes: Axes, line: int, result: MethodResult, metric: Metric) -> None:
    values = metric.scale * np.array(list(result.scores.values()))
    beside = line + 0.16 + 0.05 * (np.arange(len(values)) % 3)  # below the mean; equal values stay apart
    axes.scatter(values, beside, s=26, color=HIT, alpha=0.5, linewidths=0, zorder=2)
    if result.interval is not None:
        low, high = result.interval
        axes.plot([metric.scale * low, metric.scale * high], [line, line], color=HIT, lw=2.2, zorder=3)
    if result.mean is not None:
        mean = metric.scale * result.mean
        axes.scatter([mean], [line], s=52, marker="D", color=HIT, linewidths=0, zorder=4)
        above: dict[str, Any] = {"xytext": (0, 7), "textcoords": "offset points", "ha": "center"}
        axes.annotate(metric.display(result.mean), (mean, line), fontsize=8.5, color=HIT, **above)


def curves_figure(panels: Sequence[tuple[str, Mapping[str, Points]]]) -> Figure | None:
    """Draws curves over the epochs, two panels per row.

    Args:
        panels: Title and series of each panel; a series maps its name to (epoch, value) points. Empty series and
            panels are left out.

    Returns:
        The figure; None without any point.
    """
    drawn = [(title, {n: p for n, p in series.items() if p}) for title, series in panels]
    drawn = [(title, series) for title, series in drawn if series]
    if not drawn:
        return None
    columns = min(len(drawn), 2)
    rows = math.ceil(len(drawn) / columns)
    figure = new_figure(4.9 * columns, 2.6 * rows)
    for number, (title, series) in enumerate(drawn, start=1):
        axes = figure.add_subplot(rows, columns, number)
        style_axes(axes, x_label="epoch")
        axes.set_title(title, loc="left", fontsize=9.5, color=INK)
        for colour, (name, points) in zip((HIT, MISS), series.items(), strict=False):
            marker = "o" if len(points) <= _MARKED_POINTS else ""
            axes.plot(*zip(*points, strict=True), label=name, color=colour, lw=1.6, marker=marker, ms=3.5)
        add_legend(axes)
    return figure


def scatter_figure(gold: np.ndarray, predicted: np.ndarray) -> Figure:
    """Draws predicted over gold targets, one dot per row; at most `POINTS_SHOWN`, evenly chosen.

    Args:
        gold: The gold targets (N,).
        predicted: The predicted targets (N,).
    """
    rows = np.unique(np.linspace(0, len(gold) - 1, min(len(gold), POINTS_SHOWN)).astype(np.int64))
    figure = new_figure(4.6, 4.4)
    axes = figure.add_subplot()
    style_axes(axes, "both", "gold", "predicted")
    axes.axline((gold[rows[0]], gold[rows[0]]), slope=1, color=MUTED, lw=0.8, ls="--", zorder=1)
    axes.scatter(gold[rows], predicted[rows], s=14, color=HIT, alpha=0.5, linewidths=0, zorder=2)
    return figure


def reliability_figure(series: Mapping[str, Sequence[ReliabilityBin]]) -> Figure | None:
    """Draws accuracy over confidence, one dot per bin, with an area that grows with its predictions.

    Args:
        series: Name to bins, one or two.

    Returns:
        The figure; None without any bin.
    """
    drawn = {name: bins for name, bins in series.items() if bins}
    if not drawn:
        return None
    most = max(one.count for bins in drawn.values() for one in bins)
    figure = new_figure(4.0, 3.8)
    axes = figure.add_subplot()
    style_axes(axes, "both", "confidence (%)", "accuracy (%)")
    axes.plot([0, 100], [0, 100], color=MUTED, lw=0.8, ls="--", zorder=1)
    for colour, (name, bins) in zip((HIT,) if len(drawn) == 1 else (MISS, HIT), drawn.items(), strict=False):
        axes.scatter(
            [100 * one.confidence for one in bins],
            [100 * one.accuracy for one in bins],
            s=[12 + 120 * one.count / most for one in bins],
            color=colour,
            alpha=0.7,
            linewidths=0,
            label=name,
            zorder=2,
        )
    add_legend(axes)
    return figure


def risk_coverage_figure(points: Points, metrics: Mapping[str, float]) -> Figure:
    """Draws the share of wrong rows among the accepted ones over the share that is accepted.

    Args:
        points: Pairs of coverage and risk, at least one.
        metrics: `coverage` and `selective_risk` where the model abstains, which are marked.
    """
    figure = new_figure(4.6, 3.4)
    axes = figure.add_subplot()
    style_axes(axes, "both", "coverage (%)", "wrong among the accepted (%)")
    axes.plot(*zip(*[(100 * one, 100 * other) for one, other in points], strict=True), color=HIT, lw=1.6)
    if "coverage" in metrics:
        place = [100 * metrics["coverage"]], [100 * metrics["selective_risk"]]
        axes.scatter(*place, s=42, color=MISS, zorder=3)
    axes.set_ylim(bottom=0)
    return figure


def _draw_matrix(
    darkness: np.ndarray, printed: Sequence[Sequence[str]], names: Sequence[str], *, errors: np.ndarray
) -> tuple[Figure, Axes]:
    """Draws a square matrix.

    Args:
        darkness: Opacity of the cells, 0 to 1, (K, K).
        printed: Texts in the cells.
        names: The K classes.
        errors: Cells in the colour of errors, bool (K, K).
    """
    from matplotlib.colors import to_rgb

    count = len(names)
    figure = new_figure(3.4 + 0.3 * count, 2.5 + 0.3 * count)
    axes = figure.add_subplot()
    style_axes(axes)
    axes.grid(False)
    colours = np.where(errors[..., None], to_rgb(MISS), to_rgb(HIT))
    edges = np.arange(count + 1) - 0.5
    axes.pcolormesh(edges, edges, np.dstack([colours, darkness]), edgecolors=PAPER, lw=1.2)
    for (row, column), dark in np.ndenumerate(darkness):
        text = printed[row][column]
        if text:
            colour, size = PAPER if dark > 0.6 else INK, 7.5 if len(text) < 4 else 5.5
            cell = axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
            cell.set_in_layout(False)  # inside the axes anyway, and slow to measure
    axes.set_aspect("equal", anchor="NW")
    axes.invert_yaxis()
    short = [abbreviate(name) for name in names]
    properties = text_properties(short)
    axes.set_xticks(range(count), short, rotation=45, ha="right", rotation_mode="anchor", **properties)
    axes.set_yticks(range(count), short, **properties)
    return figure, axes
