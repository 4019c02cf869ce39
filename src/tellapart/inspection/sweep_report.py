"""The page of a sweep, to read in a browser: the trials as a table and as charts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tellapart.evaluation.metrics import METRICS, metric_label
from tellapart.evaluation.sweeps import (
    SweepResult,
    best_so_far,
    parameters_text,
    space_names,
    sweep_rows,
    sweep_sentences,
    value_text,
)
from tellapart.files import replacing
from tellapart.inspection.charts import _dot, _grid_line, _label, _svg, _ticks
from tellapart.inspection.page import Html, cards, join, page, section, table, text
from tellapart.inspection.sweep_points import (
    Dot,
    ValueAxis,
    baseline_band,
    mean_dots,
    score_extent,
    seed_dots,
    unit,
    value_axis,
)
from tellapart.recipes.spaces import SearchSpace

Place = Callable[[float, float], tuple[float, float]]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 480.0, 250.0, 48.0, 14.0, 14.0, 44.0


def write_sweep_report(path: Path | str, result: SweepResult) -> None:
    """Writes the report of a sweep as a single HTML file without script or outside assets.

    Args:
        path: The file to write.
        result: What to show.

    Raises:
        OutputError: The file could not be written.
    """
    best, names = result.best, space_names(result.spaces)
    assert best.mean is not None
    found: list[tuple[object, object]] = [
        (metric_label(result.metric), METRICS[result.metric].display(best.mean))
    ]
    found += [(names[space], value_text(value)) for space, value in best.parameters.items()]
    sentences = join(Html(f"<li>{text(sentence)}</li>") for sentence in sweep_sentences(result))
    header, *rows = sweep_rows(result)
    sections = [
        section("The best trial", cards(found)),
        section(
            "What the trials show",
            Html(f"<ul>{sentences}</ul>"),
            note="The best of several trials looks better than it is, because its score chose it. "
            "What it is worth is for the test rows to say, which no trial has seen.",
        ),
        section("Scores", _charts(result), note=_chart_note(result)),
        section("Trials", table(header, rows)),
        section("Failed trials", _failures(result)),
        section("Environment", table(["", ""], result.environment.items())),
    ]
    sizes = ", ".join(f"{rows} {split}" for split, rows in result.split_sizes.items())
    subtitle = f"{result.encoder} · {sizes} rows · seeds {', '.join(map(str, result.seeds))}"
    document = page(f"{', '.join(names.values())} of {result.method} on {result.source}", subtitle, sections)
    with replacing(path) as temporary:
        temporary.write_text(document, encoding="utf-8", errors="replace")


def _failures(result: SweepResult) -> Html:
    failed = [[parameters_text(result, trial), trial.error] for trial in result.trials if trial.error]
    return table(["values", "reason"], failed) if failed else Html("")


def _chart_note(result: SweepResult) -> str:
    dots = "Small dots are seeds, large ones means" if len(result.spaces) == 1 else "A dot is a trial"
    parts = [f"{dots}; faint ones were stopped early. Scores are those of the validation rows."]
    if result.baseline is not None:
        level = f" with its {100 * result.confidence:g} % interval" if result.baseline.interval else ""
        parts.append(f"The other colour is {result.baseline.method}{level}.")
    return " ".join(parts)


def _charts(result: SweepResult) -> Html:
    if len(result.spaces) == 1:
        return _chart_of_values(result, result.spaces[0], by_seed=True)
    charts = [_chart_of_best(result), *(_chart_of_values(result, space) for space in result.spaces)]
    return Html(f'<div class="charts">{join(charts)}</div>')


def _chart_of_values(result: SweepResult, space: SearchSpace, *, by_seed: bool = False) -> Html:
    axis, means = value_axis(result, space), mean_dots(result, space)
    dots = seed_dots(result, space) if by_seed else means
    place, parts = _frame(result, dots, axis)
    if by_seed:
        finished = [dot for dot in means if dot.finished]
        if not axis.values:  # words have no order that a line could follow
            parts.append(_line(place, [(dot.x, dot.score) for dot in finished]))
        parts += [_dot(*place(dot.x, dot.score), "hit", dot.hint, radius=5) for dot in finished]
    parts += [
        _dot(*place(dot.x, dot.score), "hit", dot.hint, opacity=0.75 if dot.finished else 0.3) for dot in dots
    ]
    return _figure(f"{metric_label(result.metric)} by {axis.name}", parts)


def _chart_of_best(result: SweepResult) -> Html:
    points = [(float(number + 1), unit(result) * score) for number, score in best_so_far(result)]
    steps = points[:1]
    for before, after in itertools.pairwise(points):
        steps += [(after[0], before[1]), after]
    dots = [Dot(x, score, True, f"trial {x:g}: {score:.4g}") for x, score in points]
    place, parts = _frame(result, dots, ValueAxis("trials", False, ()))
    parts.append(_line(place, steps))
    return _figure("The best so far, trial by trial", parts)


def _frame(result: SweepResult, dots: Sequence[Dot], axis: ValueAxis) -> tuple[Place, list[Html]]:
    """Returns where points lie in the chart, and its axes with the baseline."""
    band = baseline_band(result)
    marks = _ticks(*score_extent(result))
    lowest, highest = axis.extent([dot.x for dot in dots])
    values = axis.ticks or _round_ticks(lowest, highest, axis.log)
    scale: Callable[[float], float] = math.log if axis.log else float

    def place(x: float, score: float) -> tuple[float, float]:
        along = (scale(x) - scale(lowest)) / (scale(highest) - scale(lowest))
        up = (score - marks[0]) / (marks[-1] - marks[0])
        return _LEFT + along * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _BOTTOM - _TOP)

    parts = [_grid_line(place(lowest, mark), place(highest, mark)) for mark in marks]
    parts += [_label(_LEFT - 6, place(lowest, mark)[1] + 4, f"{mark:g}", "end") for mark in marks]
    parts += [_label(place(at, marks[0])[0], _HEIGHT - _BOTTOM + 16, words, "middle") for at, words in values]
    parts.append(_label((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, axis.name, "middle", "name"))
    if band is not None:
        mean, low, high = band
        (x, top), (end, bottom) = place(lowest, min(high, marks[-1])), place(highest, max(low, marks[0]))
        parts.append(
            Html(
                f'<rect class="cell miss" fill-opacity="0.14" x="{x:.1f}" y="{top:.1f}"'
                f' width="{end - x:.1f}" height="{bottom - top:.1f}"/>'
            )
        )
        parts.append(_grid_line(place(lowest, mean), place(highest, mean), "line miss"))
    return place, parts


def _round_ticks(lowest: float, highest: float, log: bool) -> list[tuple[float, str]]:
    if not log:
        return [(tick, f"{tick:g}") for tick in _ticks(lowest, highest) if lowest <= tick <= highest]
    decades = range(math.ceil(math.log10(lowest)), math.floor(math.log10(highest)) + 1)
    if len(decades) > 1:
        return [(10.0**power, f"1e{power}") for power in decades]
    return [(at, f"{at:.2g}") for at in np.geomspace(lowest, highest, 5)[1:-1]]


def _line(place: Place, points: Sequence[tuple[float, float]]) -> Html:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
    return Html(f'<polyline class="line hit" style="fill:none" points="{path}"/>')


def _figure(caption: str, parts: Sequence[Html]) -> Html:
    drawing = _svg(_WIDTH, _HEIGHT, parts)
    return Html(f"<figure><figcaption>{text(caption)}</figcaption>{drawing}</figure>")
