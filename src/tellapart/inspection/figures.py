"""PNG figures: what is confused with what, how far labels are pushed apart, how methods compare."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tellapart.errors import MissingDependencyError, TellapartWarning
from tellapart.evaluation.comparison import Comparison, MethodResult
from tellapart.evaluation.metrics import METRICS, Metric, metric_label
from tellapart.files import replacing
from tellapart.inspection.confusion import look_alike_classes, row_shares
from tellapart.inspection.shortening import abbreviate, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLASSES_SHOWN = 24

_INK, _MUTED, _GRID = "#1f2933", "#6b7785", "#e4e7eb"
_DOT, _MEAN = "#6aa5cf", "#08306b"
_SCALE = "Blues"  # one hue from light to dark: read alike with any colour vision, and in grey
_DOTS_PER_INCH = 160


def save_confusion_heatmap(
    matrix: np.ndarray, names: Sequence[str], path: Path | str, title: str = "Confusion matrix"
) -> None:
    """Draws a confusion matrix, each row as shares of its gold class.

    Of many classes, the 24 most confused are drawn, those alike side by side; the title says so. Shares are
    of the whole row all the same. Colours follow the square root of the share, so that few errors show.

    Args:
        matrix: Counts (K, K), rows are gold.
        names: The K classes.
        path: The PNG to write.
        title: What the matrix is of.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        OutputError: The file could not be written.
    """
    shown = look_alike_classes(matrix, CLASSES_SHOWN)
    shares = 100 * row_shares(matrix)[np.ix_(shown, shown)]
    figure, axes = _square_figure(len(shown))
    _draw_matrix(axes, shares, gamma=0.5, lowest=0.0, highest=100.0, unit="% of the gold class")
    _write_values(axes, shares, "{:.0f}", where=shares >= 0.5, darkness=np.sqrt(shares / 100))
    note = _selection_note(len(shown), len(names), "most confused")
    _label_classes(axes, [names[index] for index in shown], title, note)
    axes.set_xlabel("predicted", color=_MUTED, fontsize=9)
    axes.set_ylabel("gold", color=_MUTED, fontsize=9)
    _save(figure, path)


def save_label_distance_heatmap(
    matrix: np.ndarray, names: Sequence[str], path: Path | str, title: str = "Label distance"
) -> None:
    """Draws a label distance matrix: the darker, the harder two labels are pushed apart.

    Of many classes, the 24 with the largest distances are drawn; the title says so.

    Args:
        matrix: Distances (K, K).
        names: The K classes.
        path: The PNG to write.
        title: What the matrix is of.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        OutputError: The file could not be written.
    """
    distances = np.asarray(matrix, dtype=np.float64)
    shown = look_alike_classes(distances, CLASSES_SHOWN)
    distances = distances[np.ix_(shown, shown)]
    lowest, highest = min(1.0, distances.min()), max(distances.max(), 2.0)
    figure, axes = _square_figure(len(shown))
    _draw_matrix(axes, distances, gamma=1.0, lowest=lowest, highest=highest, unit="distance (1 is neutral)")
    darkness = (distances - lowest) / (highest - lowest)
    _write_values(axes, distances, "{:.1f}", where=np.abs(distances - 1) >= 0.05, darkness=darkness)
    note = _selection_note(len(shown), len(names), "most distant")
    _label_classes(axes, [names[index] for index in shown], title, note)
    _save(figure, path)


def save_comparison_plot(comparison: Comparison, path: Path | str) -> None:
    """Draws each method's trials as dots, with the mean and its confidence interval.

    Args:
        comparison: What to draw; methods without a finished trial keep an empty line.
        path: The PNG to write.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        OutputError: The file could not be written.
    """
    methods, title = list(comparison.methods), shorten(comparison.source, 60)
    properties = _text_properties([*methods, title])
    figure = _new_figure(7.2, 1.5 + 0.55 * len(methods))
    axes = figure.add_subplot()
    for line, result in enumerate(comparison.methods.values()):
        _draw_trials(axes, line, result, METRICS[comparison.metric])
    axes.set_yticks(range(len(methods)), methods, **properties)
    axes.set_ylim(len(methods) - 0.45, -0.6)
    axes.set_xlabel(metric_label(comparison.metric), color=_MUTED)
    axes.grid(axis="x", color=_GRID, lw=0.8)
    axes.tick_params(length=0, colors=_INK)
    axes.spines[:].set_visible(False)
    note = f"one dot per seed; mean and {100 * comparison.confidence:g} % interval"
    _set_title(axes, title, note, properties)
    _save(figure, path)


def _draw_trials(axes: Axes, line: int, result: MethodResult, metric: Metric) -> None:
    scale = 100 if metric.percentage else 1
    scores = scale * np.array(list(result.scores.values()))
    beside = line + 0.16 + 0.05 * (np.arange(len(scores)) % 3)  # below the mean; equal scores stay apart
    axes.scatter(scores, beside, s=26, color=_DOT, alpha=0.85, linewidths=0, zorder=2)
    if result.interval is not None:
        low, high = result.interval
        axes.plot([scale * low, scale * high], [line, line], color=_MEAN, lw=2.2, zorder=3)
    if result.mean is not None:
        mean = scale * result.mean
        axes.scatter([mean], [line], s=52, marker="D", color=_MEAN, linewidths=0, zorder=4)
        above: dict[str, Any] = {"xytext": (0, 7), "textcoords": "offset points", "ha": "center"}
        axes.annotate(metric.display(result.mean), (mean, line), fontsize=8.5, color=_MEAN, **above)


def _new_figure(width: float, height: float) -> Figure:
    """Returns a figure of its own (inches), outside pyplot's global state."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError("matplotlib", "plots", "drawing figures") from None
    return Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained")


def _square_figure(classes: int) -> tuple[Figure, Axes]:
    side = 3.4 + 0.34 * classes
    figure = _new_figure(side + 0.9, side)
    return figure, figure.add_subplot()


def _draw_matrix(
    axes: Axes, values: np.ndarray, *, gamma: float, lowest: float, highest: float, unit: str
) -> None:
    from matplotlib.colors import PowerNorm

    norm = PowerNorm(gamma, vmin=lowest, vmax=highest)
    image = axes.imshow(values, cmap=_SCALE, norm=norm, interpolation="nearest")
    edges = np.arange(len(values) + 1) - 0.5
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.grid(which="minor", color="white", lw=1.2)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8, colors=_MUTED)
    bar.set_label(unit, color=_MUTED, fontsize=9)


def _write_values(
    axes: Axes, values: np.ndarray, pattern: str, *, where: np.ndarray, darkness: np.ndarray
) -> None:
    """Prints values into their cells, white on those whose `darkness` (0 to 1) is high."""
    for row, column in zip(*np.nonzero(where), strict=True):
        axes.text(
            column,
            row,
            pattern.format(values[row, column]),
            ha="center",
            va="center",
            fontsize=7.5,
            color="white" if darkness[row, column] > 0.6 else _INK,
        )


def _label_classes(axes: Axes, names: Sequence[str], title: str, note: str) -> None:
    short = [abbreviate(name) for name in names]
    properties = _text_properties([*short, title])
    positions = range(len(short))
    axes.set_xticks(
        positions, short, rotation=45, ha="right", rotation_mode="anchor", fontsize=8.5, **properties
    )
    axes.set_yticks(positions, short, fontsize=8.5, **properties)
    axes.tick_params(which="major", labelcolor=_INK)
    _set_title(axes, title, note, properties)


def _set_title(axes: Axes, title: str, note: str, properties: dict[str, Any]) -> None:
    axes.set_title(
        title, loc="left", pad=24 if note else 10, fontsize=12, weight="bold", color=_INK, **properties
    )
    below: dict[str, Any] = {"xytext": (0, 8), "textcoords": "offset points"}
    axes.annotate(note, (0, 1), xycoords="axes fraction", fontsize=9, color=_MUTED, **below)


def _selection_note(shown: int, total: int, kind: str) -> str:
    return "" if shown == total else f"the {shown} {kind} of {total} classes"


@lru_cache(maxsize=32)
def _family_covering(characters: frozenset[str]) -> str | None:
    """Returns an installed font family that has all the characters, or None."""
    from matplotlib.font_manager import fontManager, get_font

    codes = {ord(character) for character in characters}
    for entry in sorted(fontManager.ttflist, key=lambda font: (font.style != "normal", font.weight != 400)):
        if "Last Resort" not in entry.name and codes <= get_font(entry.fname).get_charmap().keys():
            return entry.name
    return None


def _text_properties(texts: Sequence[str]) -> dict[str, Any]:
    """Returns the properties with which names are drawn as they stand: `$` is no formula, no letter a box.

    The default font comes first; where it lacks letters, matplotlib takes those from the second.
    """
    from matplotlib.font_manager import findfont, get_font

    default = get_font(findfont("DejaVu Sans")).get_charmap()
    missing = frozenset(
        letter for letter in "".join(texts) if ord(letter) not in default and not letter.isspace()
    )
    if not missing:
        return {"parse_math": False}
    family = _family_covering(missing)
    if family is None:
        warnings.warn(
            f"no installed font has the letters {''.join(sorted(missing)[:8])}: figures show boxes instead; "
            "install a font such as Noto Sans CJK.",
            TellapartWarning,
            stacklevel=4,
        )
        return {"parse_math": False}
    return {"parse_math": False, "fontfamily": ["DejaVu Sans", family]}


def _save(figure: Figure, path: Path | str) -> None:
    with replacing(path) as temporary, warnings.catch_warnings():
        # Said once, by _text_properties, rather than for each letter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(temporary, format="png", facecolor="white", bbox_inches="tight", pad_inches=0.2)
