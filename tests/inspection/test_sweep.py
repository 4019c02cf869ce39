from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from tellapart.evaluation.sweeps import SweepBaseline, SweepResult, SweepTrial, summary
from tellapart.inspection import sweep_figure
from tellapart.inspection.sweep_figure import save_sweep_plot
from tellapart.inspection.sweep_points import (
    baseline_band,
    mean_dots,
    score_extent,
    seed_dots,
    value_axis,
)
from tellapart.inspection.sweep_report import write_sweep_report
from tellapart.recipes.spaces import SearchSpace

TOTAL = SearchSpace("stages.0.objective.total", values=(4, 8, 16, 32))
RATE = SearchSpace("stages.0.learning_rate", low=1e-5, high=1e-3, log=True)
POOLING = SearchSpace("encoder.pooling", values=("mean", "<script>alert(1)</script>"))


def _sweep(spaces, rows, baseline=(0.7, 0.72), metric="accuracy") -> SweepResult:
    """Rows are (values, scores, state)."""
    held = SweepBaseline(**summary(dict(enumerate(baseline)), 1.0, 0.95), method="cross-entropy")
    return SweepResult(
        source="mails & <b>more</b>.csv",
        split_sizes={"train": 30, "validation": 20},
        encoder="minilm",
        method="auxiliary-labels",
        metric=metric,
        confidence=0.95,
        seeds=(0, 1),
        spaces=tuple(spaces),
        trials=tuple(
            SweepTrial(
                **summary(dict(enumerate(scores)), 2.0, 0.95),
                number=number,
                parameters=dict(zip((space.path for space in spaces), values, strict=True)),
                state=state,
                error="<i>too many</i>: take fewer." if state == "failed" else None,
            )
            for number, (values, scores, state) in enumerate(rows)
        ),
        baseline=held if baseline else None,
        environment={"torch": "2.13.0"},
    )


@pytest.fixture
def one_key() -> SweepResult:
    return _sweep(
        [TOTAL],
        [
            ((16,), (0.74, 0.78), "complete"),
            ((4,), (0.70, 0.71), "complete"),
            ((8,), (0.60,), "pruned"),
            ((32,), (), "failed"),
        ],
    )


@pytest.fixture
def several_keys() -> SweepResult:
    return _sweep(
        [RATE, POOLING],
        [
            ((1e-4, "mean"), (0.7, 0.8), "complete"),
            ((2e-5, POOLING.values[1]), (0.6, 0.7), "complete"),
            ((5e-4, "mean"), (0.9, 0.8), "complete"),
            ((6e-4, "mean"), (0.5,), "pruned"),
        ],
    )


def test_dots_lie_at_the_values_and_scores_in_the_figures_unit(one_key):
    seeds = seed_dots(one_key, TOTAL)
    assert sorted((dot.x, round(dot.score, 6)) for dot in seeds) == [
        (4, 70),
        (4, 71),
        (8, 60),
        (16, 74),
        (16, 78),
    ]
    assert [dot.x for dot in seeds if not dot.finished] == [8]
    means = mean_dots(one_key, TOTAL)
    assert [(dot.x, round(dot.score, 6)) for dot in means] == [(4, 70.5), (8, 60), (16, 76)]
    assert means[1].hint == "8: 60.00 (pruned)"
    assert score_extent(one_key) == (60, 78)


def test_a_wide_interval_of_the_baseline_does_not_stretch_the_figure(one_key):
    mean, low, high = baseline_band(one_key)
    assert mean == pytest.approx(71)
    assert high - low > 20  # two seeds
    assert score_extent(one_key) == (60, 78)
    alone = _sweep([TOTAL], [((4,), (0.7,), "complete")], baseline=(0.5,))
    assert baseline_band(alone) == (50, 50, 50)
    assert baseline_band(_sweep([TOTAL], [((4,), (0.7,), "complete")], baseline=())) is None


@pytest.mark.parametrize(
    ("space", "log"),
    [
        (RATE, True),
        (SearchSpace("x", low=0.0, high=1.0), False),
        (TOTAL, True),
        (SearchSpace("x", values=(2, 4, 6, 8)), False),
        (SearchSpace("x", values=(1e-3, 1e-5, 1e-4)), True),
        (SearchSpace("x", values=(0, 1, 10, 100)), False),
        (SearchSpace("x", values=(2, 4)), False),
        (POOLING, False),
    ],
)
def test_an_axis_is_logarithmic_if_the_values_were_searched_so_or_grow_by_factors(one_key, space, log):
    axis = value_axis(_sweep([space], []), space)
    assert axis.log is log
    if space.values:
        positions = [axis.position(value) for value in space.values]
        low, high = axis.extent(positions)
        assert low < min(positions) <= max(positions) < high


def test_words_lie_beside_each_other_in_the_order_given():
    space = SearchSpace("encoder.pooling", values=("stock", "mean", "cls"))
    axis = value_axis(_sweep([space], []), space)
    assert [axis.position(value) for value in ("stock", "mean", "cls")] == [0, 1, 2]
    assert axis.ticks == ((0.0, "stock"), (1.0, "mean"), (2.0, "cls"))


def _drawn(result, monkeypatch):
    figures = []
    monkeypatch.setattr(sweep_figure, "_save", lambda figure, path: figures.append(figure))
    save_sweep_plot(result, "unused.png")
    return figures[0]


def test_one_key_of_numbers_is_drawn_as_a_line_with_a_dot_a_seed_and_the_baseline(one_key, monkeypatch):
    (axes,) = _drawn(one_key, monkeypatch).axes
    assert axes.get_xscale() == "log"
    line, baseline = axes.lines
    assert [list(map(float, data)) for data in line.get_data()] == [[4, 16], [70.5, 76]]
    assert list(baseline.get_ydata()) == pytest.approx([71, 71])
    dots = np.concatenate([np.asarray(points.get_offsets()) for points in axes.collections])
    assert sorted(map(tuple, dots.round(6))) == [(4, 70), (4, 71), (8, 60), (16, 74), (16, 76), (16, 78)]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["4", "8", "16", "32"]


def test_several_keys_have_a_panel_each_after_the_best_so_far(several_keys, monkeypatch):
    figure = _drawn(several_keys, monkeypatch)
    best, rate, pooling = figure.axes
    trials, scores = best.lines[0].get_data()
    assert list(trials) == [1, 2, 3]
    assert list(scores) == pytest.approx([75, 75, 85])
    assert [axes.get_xlabel() for axes in (rate, pooling)] == ["learning_rate", "pooling"]
    assert (rate.get_xscale(), pooling.get_xscale()) == ("log", "linear")
    assert not [line for line in rate.lines if line.get_marker() == "D"]


def test_the_picture_is_written(several_keys, one_key, tmp_path):
    save_sweep_plot(several_keys, tmp_path / "several.png")
    words = _sweep([POOLING], [(("mean",), (0.5, 0.6), "complete")])
    save_sweep_plot(words, tmp_path / "words.png")
    for name in ("several.png", "words.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


class _Page(HTMLParser):
    """Notes open tags and every attribute that could load or run something."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.risks: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag not in ("meta", "circle", "line", "rect", "polyline"):
            self.open.append(tag)
        self.risks += [name for name, _ in attributes if name.startswith("on") or name in ("src", "href")]

    def handle_endtag(self, tag):
        if tag not in ("circle", "line", "rect", "polyline"):
            assert self.open.pop() == tag


@pytest.mark.parametrize("name", ["one_key", "several_keys"])
def test_the_page_is_well_formed_and_what_came_from_outside_is_escaped(name, request, tmp_path):
    write_sweep_report(tmp_path / "sweep.html", request.getfixturevalue(name))
    document = (tmp_path / "sweep.html").read_text()
    page = _Page(document)
    assert page.open == []
    assert not page.tags & {"script", "b", "i", "img", "iframe"}
    assert page.risks == []
    assert "mails &amp; &lt;b&gt;more&lt;/b&gt;.csv" in document
    expected = "&lt;i&gt;too many&lt;/i&gt;" if name == "one_key" else "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert expected in document


def test_the_page_has_the_table_the_best_and_a_chart_in_which_the_points_lie(one_key, tmp_path):
    write_sweep_report(tmp_path / "sweep.html", one_key)
    document = (tmp_path / "sweep.html").read_text()
    assert "<dd>76.00</dd>" in document
    assert "<td>pruned</td>" in document
    assert "best: total=16" in document
    assert document.count("<svg") == 1
    assert document.count("<circle") == 5 + 2
    width, height = map(float, re.search(r'viewBox="0 0 (\d+) (\d+)"', document).groups())
    for x, y in re.findall(r'cx="([\d.-]+)" cy="([\d.-]+)"', document):
        assert 0 <= float(x) <= width
        assert 0 <= float(y) <= height
    (band,) = re.findall(
        r'fill-opacity="0.14" x="[\d.]+" y="([\d.-]+)" width="[\d.]+" height="([\d.-]+)"', document
    )
    assert 0 <= float(band[0]) <= sum(map(float, band)) <= height
    line = re.search(r'<polyline class="line hit"[^>]*points="([^"]+)"', document).group(1)
    assert len(line.split()) == 2


def test_a_page_of_one_trial_on_one_seed_without_a_baseline_is_written(tmp_path):
    for space, value in ((TOTAL, 8), (RATE, 1e-4), (POOLING, "mean")):
        alone = _sweep([space], [((value,), (0.5,), "complete")], baseline=())
        write_sweep_report(tmp_path / "sweep.html", alone)
        save_sweep_plot(alone, tmp_path / "sweep.png")
        assert _Page((tmp_path / "sweep.html").read_text()).open == []
