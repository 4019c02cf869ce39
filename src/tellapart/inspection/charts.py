"""Charts as inline SVG, coloured by the page's style sheet and so light or dark with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tellapart.evaluation.calibration import ReliabilityBin
from tellapart.evaluation.comparison import Comparison, MethodResult
from tellapart.evaluation.metrics import METRICS, Metric
from tellapart.inspection.confusion import look_alike_classes, row_shares
from tellapart.inspection.page import Html, join, text
from tellapart.inspection.shortening import abbreviate

CLASSES_SHOWN = 30
POINTS_SHOWN = 1000

Points = Sequence[tuple[float, float]]


def line_chart(caption: str, series: Mapping[str, Points]) -> Html:
    """Draws one or two curves over the epochs.

    Args:
        caption: What is drawn.
        series: Name to (epoch, value) points, in order. A series without points is not drawn; without any,
            the chart is empty markup.
    """
    drawn = {name: points for name, points in series.items() if points}
    if not drawn:
        return Html("")
    width, height, left, bottom, top = 480, 230, 44, 26, 12
    epochs = [epoch for points in drawn.values() for epoch, _ in points]
    values = [value for points in drawn.values() for _, value in points]
    last = max(epochs) or 1.0
    x_ticks = [tick for tick in _ticks(0.0, last) if tick <= last]
    y_ticks = _ticks(min(values), max(values))

    def place(epoch: float, value: float) -> tuple[float, float]:
        up = _share(value, y_ticks[0], y_ticks[-1])
        return left + epoch / last * (width - left - 12), height - bottom - up * (height - bottom - top)

    parts = [_grid_line(place(0, tick), place(last, tick)) for tick in y_ticks]
    parts += [_label(left - 6, place(0, tick)[1] + 4, f"{tick:g}", "end") for tick in y_ticks]
    parts += [_label(place(tick, 0)[0], height - 8, f"{tick:g}", "middle") for tick in x_ticks]
    legend = []
    for kind, (name, points) in zip(("hit", "miss"), drawn.items(), strict=False):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        parts.append(Html(f'<polyline class="line {kind}" style="fill:none" points="{path}"/>'))
        if len(points) <= 60:
            parts += [_dot(*place(*point), kind, f"epoch {point[0]:g}: {point[1]:.4g}") for point in points]
        legend.append(Html(f'<span style="color:var(--{kind})">●</span> {text(name)}'))
    key = Html(f" — {join(legend, ' &nbsp; ')}") if len(drawn) > 1 else ""
    return Html(f"<figure><figcaption>{text(caption)}{key}</figcaption>{_svg(width, height, parts)}</figure>")


def scatter_chart(caption: str, gold: np.ndarray, predicted: np.ndarray) -> Html:
    """Draws predicted over right scores, a dot a row; on the diagonal both are equal.

    Of many rows every so many-th is drawn, `POINTS_SHOWN` in all.

    Args:
        caption: What is drawn.
        gold: The right scores (N,).
        predicted: The predicted ones (N,).
    """
    rows = np.unique(np.linspace(0, len(gold) - 1, min(len(gold), POINTS_SHOWN)).astype(np.int64))
    points = [(float(gold[row]), float(predicted[row])) for row in rows]
    if not points:
        return Html("")
    side, left, bottom, top = 380, 52, 40, 12
    ticks = _ticks(min(map(min, points)), max(map(max, points)))
    first, last = ticks[0], ticks[-1]

    def place(right: float, given: float) -> tuple[float, float]:
        x, y = _share(right, first, last), _share(given, first, last)
        return left + x * (side - left - 12), side - bottom - y * (side - bottom - top)

    parts = [_grid_line(place(first, tick), place(last, tick)) for tick in ticks]
    parts.append(_grid_line(place(first, first), place(last, last)))
    parts += [_label(left - 6, place(first, tick)[1] + 4, f"{tick:g}", "end") for tick in ticks]
    parts += [_label(place(tick, first)[0], side - bottom + 16, f"{tick:g}", "middle") for tick in ticks]
    parts.append(
        _label(place((first + last) / 2, first)[0], side - 6, "right score, against predicted", "middle")
    )
    parts += [
        _dot(*place(right, given), "hit", f"{right:.4g}, predicted {given:.4g}", opacity=0.5)
        for right, given in points
    ]
    picture = _svg(side, side, parts, natural_size=True)
    return Html(f"<figure><figcaption>{text(caption)}</figcaption>{picture}</figure>")


def reliability_chart(caption: str, series: Mapping[str, Sequence[ReliabilityBin]]) -> Html:
    """Draws accuracy over confidence, a dot a bin, the larger the more predictions; the diagonal is calibrated.

    Args:
        caption: What is drawn.
        series: Name to bins, one or two; without any bin the chart is empty markup.
    """
    drawn = {name: bins for name, bins in series.items() if bins}
    if not drawn:
        return Html("")
    side, left, bottom, top = 300, 44, 40, 12
    most = max(one.count for bins in drawn.values() for one in bins)

    def place(confidence: float, accuracy: float) -> tuple[float, float]:
        return left + confidence * (side - left - 12), side - bottom - accuracy * (side - bottom - top)

    ticks = (0.0, 0.25, 0.5, 0.75, 1.0)
    parts = [_grid_line(place(0, tick), place(1, tick)) for tick in ticks]
    parts.append(_grid_line(place(0, 0), place(1, 1)))
    parts += [_label(left - 6, place(0, tick)[1] + 4, f"{100 * tick:g}", "end") for tick in ticks]
    parts += [_label(place(tick, 0)[0], side - bottom + 16, f"{100 * tick:g}", "middle") for tick in ticks]
    parts.append(
        _label(place(0.5, 0)[0], side - 6, "confidence (%), against the share that is right", "middle")
    )
    legend = []
    kinds = ("hit",) if len(drawn) == 1 else ("miss", "hit")
    for kind, (name, bins) in zip(kinds, drawn.items(), strict=False):
        for one in bins:
            hint = f"{name}: {one.count} at {100 * one.confidence:.0f} %, of which {100 * one.accuracy:.0f} % right"
            radius = 2 + 7 * math.sqrt(one.count / most)
            parts.append(_dot(*place(one.confidence, one.accuracy), kind, hint, radius, opacity=0.7))
        legend.append(Html(f'<span style="color:var(--{kind})">●</span> {text(name)}'))
    key = Html(f" — {join(legend, ' &nbsp; ')}") if len(drawn) > 1 else ""
    picture = _svg(side, side, parts, natural_size=True)
    return Html(f"<figure><figcaption>{text(caption)}{key}</figcaption>{picture}</figure>")


def heat_map(matrix: np.ndarray, names: Sequence[str]) -> Html:
    """Draws a confusion matrix: hits in one colour, errors in another, the deeper the larger the row's share.

    Of many classes the 30 most confused are drawn. Pointing at a cell tells its counts.

    Args:
        matrix: Counts (K, K), rows are gold.
        names: The K classes.
    """
    shown = look_alike_classes(matrix, CLASSES_SHOWN)
    shares = row_shares(matrix)
    labels = [abbreviate(names[index]) for index in shown]
    cell = 38 if len(shown) <= 12 else 22
    margin = 16 + 6.4 * max(map(len, labels))
    top = 12 + 0.75 * margin
    side = cell * len(shown)
    parts = [Html(f'<rect class="empty" x="{margin:.0f}" y="{top:.0f}" width="{side}" height="{side}"/>')]
    for row, gold in enumerate(shown):
        parts.append(_label(margin - 6, top + cell * (row + 0.5) + 4, labels[row], "end", "name"))
        x, y = margin + cell * (row + 0.5), top - 6
        turned = f'transform="rotate(-50 {x:.0f} {y:.0f})"'
        parts.append(_label(x, y, labels[row], "start", "name", turned))
        for column, predicted in enumerate(shown):
            if matrix[gold][predicted]:
                share = shares[gold, predicted]
                hint = f"{names[gold]} → {names[predicted]}: {int(matrix[gold][predicted])} ({100 * share:.0f} %)"
                place = f'x="{margin + cell * column + 0.5:.1f}" y="{top + cell * row + 0.5:.1f}"'
                parts.append(_cell(place, cell - 1, share, "hit" if gold == predicted else "miss", hint))
    return _svg(margin + side + 0.6 * margin, top + side + 4, parts, natural_size=True)


def dot_plot(comparison: Comparison) -> Html:
    """Draws each method's trials as dots, with the mean and its confidence interval."""
    metric, results = METRICS[comparison.metric], comparison.methods.values()
    unit = 100 if metric.percentage else 1
    values = [score for result in results for score in result.scores.values()]
    values += [bound for result in results for bound in result.interval or ()]
    if not values:
        return Html("")
    ticks = _ticks(unit * min(values), unit * max(values))
    left, width, line_height, top = 20 + 7 * max(map(len, comparison.methods)), 860.0, 46, 10
    bottom = top + line_height * len(comparison.methods)

    def place(value: float) -> float:
        return left + _share(unit * value, ticks[0], ticks[-1]) * (width - left - 30)

    parts = [_grid_line((place(tick / unit), top), (place(tick / unit), bottom)) for tick in ticks]
    parts += [_label(place(tick / unit), bottom + 18, f"{tick:g}", "middle") for tick in ticks]
    for line, (method, result) in enumerate(comparison.methods.items()):
        middle = top + line_height * (line + 0.5)
        parts.append(_label(left - 12, middle + 4, method, "end", "name"))
        parts += _trial_marks(result, metric, place, middle)
    return _svg(width, bottom + 26, parts)


def _trial_marks(
    result: MethodResult, metric: Metric, place: Callable[[float], float], middle: float
) -> list[Html]:
    marks = []
    for index, (seed, score) in enumerate(result.scores.items()):
        hint = f"seed {seed}: {metric.display(score)}"
        marks.append(_dot(place(score), middle + 11 + 3 * (index % 2), "hit", hint, radius=3.2, opacity=0.5))
    if result.interval is not None:
        low, high = result.interval
        marks.append(_grid_line((place(low), middle), (place(high), middle), kind="line hit"))
    if result.mean is not None:
        shown = metric.display(result.mean)
        marks.append(_dot(place(result.mean), middle, "hit", f"mean {shown}", radius=5.5))
        marks.append(_label(place(result.mean), middle - 9, shown, "middle", "hit"))
    return marks


def _ticks(lowest: float, highest: float) -> list[float]:
    """Returns two to eight round numbers that enclose the range."""
    span, size = highest - lowest, max(abs(lowest), abs(highest), 1e-3)
    if span < 1e-6 * size:  # one value, but for rounding
        span = max(size, 1.0)
    magnitude = 10 ** math.floor(math.log10(span))
    step = next(factor * magnitude for factor in (0.2, 0.5, 1, 2) if span / (factor * magnitude) <= 5)
    first, last = math.floor(lowest / step + 1e-9), math.ceil(highest / step - 1e-9)
    return [round(index * step, 10) for index in range(first, max(last, first + 1) + 1)]


def _share(value: float, lowest: float, highest: float) -> float:
    return (value - lowest) / (highest - lowest)


def _svg(width: float, height: float, parts: Sequence[Html], natural_size: bool = False) -> Html:
    size = f' style="max-width:{width:.0f}px"' if natural_size else ""
    return Html(f'<svg role="img" viewBox="0 0 {width:.0f} {height:.0f}"{size}>\n{join(parts)}</svg>')


def _grid_line(start: tuple[float, float], end: tuple[float, float], kind: str = "axis") -> Html:
    (x1, y1), (x2, y2) = start, end
    return Html(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>\n')


def _label(x: float, y: float, words: str, anchor: str, kind: str = "", more: str = "") -> Html:
    return Html(
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{text(words)}</text>\n'
    )


def _dot(x: float, y: float, kind: str, hint: str, radius: float = 3.0, opacity: float = 1.0) -> Html:
    return Html(
        f'<circle class="{kind}" style="stroke:none;opacity:{opacity}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}">'
        f"<title>{text(hint)}</title></circle>\n"
    )


def _cell(place: str, side: float, share: float, kind: str, hint: str) -> Html:
    """Returns a square whose depth follows the square root of the share, so that few errors show."""
    return Html(
        f'<rect class="cell {kind}" {place} width="{side}" height="{side}" rx="2" '
        f'fill-opacity="{math.sqrt(share):.2f}"><title>{text(hint)}</title></rect>\n'
    )
