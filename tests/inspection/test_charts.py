from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.evaluation.calibration import ReliabilityBin
from tellapart.inspection.charts import _ticks, heat_map, line_chart, reliability_chart


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_ticks_enclose_the_range_and_are_few(lowest, span):
    ticks = _ticks(lowest, lowest + span)
    slack = 1e-6 * max(1.0, abs(lowest), span)
    assert ticks[0] <= lowest + slack
    assert ticks[-1] >= lowest + span - slack
    assert 2 <= len(ticks) <= 8
    assert ticks == sorted(set(ticks))


def test_a_falling_curve_goes_down_the_picture():
    svg = line_chart("Loss", {"training": [(1.0, 3.0), (2.0, 1.0)], "validation": []})
    (x1, y1), (x2, y2) = (
        tuple(map(float, point.split(","))) for point in re.search(r'points="([^"]+)"', svg)[1].split()
    )
    assert x1 < x2
    assert y1 < y2  # SVG counts downwards
    assert "validation" not in svg


@pytest.mark.parametrize("points", [[(1.0, 0.5)], [(0.0, 0.0), (0.0, 0.0)], [(1.0, 2.0), (3.0, 2.0)]])
def test_degenerate_curves_stay_inside_the_picture(points):
    svg = line_chart("Score", {"score": points})
    assert "nan" not in svg
    assert all(0 <= float(y) <= 230 for y in re.findall(r'cy="([^"]+)"', svg))


def test_no_points_draw_nothing():
    assert line_chart("Loss", {"training": []}) == ""


def test_a_cell_is_deeper_the_larger_its_share_and_tells_its_count():
    svg = heat_map(np.array([[3, 1], [0, 4]]), ["a", "b"])
    assert re.findall(r'class="cell (\w+)".*?fill-opacity="([\d.]+)"><title>(.*?)</title>', svg) == [
        ("hit", "0.87", "a → a: 3 (75 %)"),
        ("miss", "0.50", "a → b: 1 (25 %)"),
        ("hit", "1.00", "b → b: 4 (100 %)"),
    ]


def test_a_bin_stands_at_its_confidence_and_accuracy_and_is_larger_the_more_it_holds():
    before = [ReliabilityBin(0.0, 0.0, 1), ReliabilityBin(1.0, 0.5, 4)]
    svg = reliability_chart("How often", {"as trained": before, "calibrated": [ReliabilityBin(1.0, 1.0, 5)]})
    dots = re.findall(r'<circle class="(\w+)".*?cx="([^"]+)" cy="([^"]+)" r="([^"]+)"', svg)
    assert [kind for kind, *_ in dots] == ["miss", "miss", "hit"]
    (x1, y1, r1), (x2, y2, r2), (x3, y3, r3) = (tuple(map(float, place)) for _, *place in dots)
    assert x1 < x2 == x3
    assert y1 > y2 > y3  # SVG counts downwards
    assert y2 == pytest.approx((y1 + y3) / 2)
    assert r1 < r2 < r3
    assert "as trained: 4 at 100 %, of which 50 % right" in svg
    assert "calibrated" in svg


def test_one_series_needs_no_key_and_none_no_chart():
    svg = reliability_chart("How often", {"as trained": [ReliabilityBin(0.5, 0.5, 1)]})
    assert "●" not in svg
    assert 'class="hit"' in svg
    assert reliability_chart("How often", {"as trained": []}) == ""
