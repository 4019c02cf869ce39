from __future__ import annotations

import numpy as np
import pytest

from tellapart.inspection import sweep_figure
from tellapart.inspection.sweep_figure import (
    _log_ticks,
    mean_dots,
    metric_extent,
    save_sweep_plot,
    seed_dots,
    value_axis,
)
from tellapart.recipes.spaces import SearchSpace

TOTAL = SearchSpace("stages.0.objective.total", values=(4, 8, 16, 32))
RATE = SearchSpace("stages.0.learning_rate", low=1e-5, high=1e-3, log=True)
POOLING = SearchSpace("encoder.pooling", values=("mean", "<script>alert(1)</script>"))


def test_dots_lie_at_the_values_and_scores_in_the_figures_unit(one_key):
    seeds = seed_dots(one_key, TOTAL)
    assert sorted((dot.x, round(dot.metric, 6)) for dot in seeds) == [
        (4, 70),
        (4, 71),
        (8, 60),
        (16, 74),
        (16, 78),
    ]
    assert [dot.x for dot in seeds if not dot.finished] == [8]
    means = mean_dots(one_key, TOTAL)
    assert [(dot.x, round(dot.metric, 6)) for dot in means] == [(4, 70.5), (8, 60), (16, 76)]
    assert [dot.finished for dot in means] == [True, False, True]
    assert metric_extent(one_key) == (60, 78)


def test_a_wide_interval_of_the_baseline_does_not_stretch_the_figure(one_key, monkeypatch, sweep):
    (axes,) = _drawn(one_key, monkeypatch).axes
    band = axes.patches[0].get_bbox()
    assert (band.y0 + band.y1) / 2 == pytest.approx(71)
    assert band.height > 40  # three seeds
    assert metric_extent(one_key) == (60, 78)
    low, high = axes.get_ylim()
    assert 58 < low < 60 < 78 < high < 80
    without = sweep([TOTAL], [((4,), (0.7,), "complete")], baseline=())
    assert not _drawn(without, monkeypatch).axes[0].patches


def test_a_logarithmic_axis_without_listed_values_has_few_plain_ticks(several_keys, monkeypatch):
    rate = _drawn(several_keys, monkeypatch).axes[1]
    assert [label.get_text() for label in rate.get_xticklabels()] == [
        "2e-05",
        "5e-05",
        "0.0001",
        "0.0002",
        "0.0005",
    ]
    assert _log_ticks(1e-5, 1e-3) == [(1e-5, "1e-05"), (1e-4, "0.0001"), (1e-3, "0.001")]


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
def test_an_axis_is_logarithmic_if_the_values_were_searched_so_or_grow_by_factors(one_key, space, log, sweep):
    axis = value_axis(sweep([space], []), space)
    assert axis.log is log
    if space.values:
        positions = [axis.position(value) for value in space.values]
        low, high = axis.extent(positions)
        assert low < min(positions) <= max(positions) < high


def test_words_lie_beside_each_other_in_the_order_given(sweep):
    space = SearchSpace("encoder.pooling", values=("stock", "mean", "cls"))
    axis = value_axis(sweep([space], []), space)
    assert [axis.position(value) for value in ("stock", "mean", "cls")] == [0, 1, 2]
    assert axis.ticks == ((0.0, "stock"), (1.0, "mean"), (2.0, "cls"))


def _drawn(result, monkeypatch):
    figures = []
    monkeypatch.setattr(sweep_figure, "save_png", lambda figure, *texts: figures.append(figure))
    save_sweep_plot(result, "unused.png")
    return figures[0]


def test_one_key_of_numbers_is_drawn_as_a_line_with_a_dot_a_seed_and_the_baseline(one_key, monkeypatch):
    (axes,) = _drawn(one_key, monkeypatch).axes
    assert axes.get_xscale() == "log"
    baseline, line = axes.lines
    assert [list(map(float, data)) for data in line.get_data()] == [[4, 16], [70.5, 76]]
    assert list(baseline.get_ydata()) == pytest.approx([71, 71])
    dots = np.concatenate([np.asarray(points.get_offsets()) for points in axes.collections])
    assert sorted(map(tuple, dots.round(6))) == [(4, 70), (4, 71), (8, 60), (16, 74), (16, 76), (16, 78)]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["4", "8", "16", "32"]


def test_several_keys_have_a_panel_each_after_the_best_so_far(several_keys, monkeypatch):
    figure = _drawn(several_keys, monkeypatch)
    best, rate, pooling = figure.axes
    trials, scores = best.lines[1].get_data()
    assert list(trials) == [1, 2, 3]
    assert list(scores) == pytest.approx([75, 75, 85])
    assert [axes.get_xlabel() for axes in (rate, pooling)] == ["learning_rate", "pooling"]
    assert (rate.get_xscale(), pooling.get_xscale()) == ("log", "linear")
    assert not [line for line in rate.lines if line.get_marker() == "D"]


def test_the_picture_is_written(several_keys, one_key, tmp_path, sweep):
    save_sweep_plot(several_keys, tmp_path / "several.png")
    words = sweep([POOLING], [(("mean",), (0.5, 0.6), "complete")])
    save_sweep_plot(words, tmp_path / "words.png")
    for name in ("several.png", "words.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_one_trial_on_one_seed_without_a_baseline_is_drawn(tmp_path, sweep):
    for space, value in ((TOTAL, 8), (RATE, 1e-4), (POOLING, "mean")):
        alone = sweep([space], [((value,), (0.5,), "complete")], baseline=())
        save_sweep_plot(alone, tmp_path / "sweep.png")
        assert (tmp_path / "sweep.png").is_file()
