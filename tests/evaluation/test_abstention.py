from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from tellapart.errors import ModelError
from tellapart.evaluation.abstention import (
    Abstention,
    confidence_scores,
    coverage_threshold,
    out_of_scope_metrics,
    precision_threshold,
    risk_coverage,
    selective_metrics,
)

# Eighths are equal often, and exact.
ROWS = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=25)
SHARES = st.sampled_from([0.1, 0.5, 0.75, 0.9, 0.95, 1.0])
CHECKED = settings(deadline=None, max_examples=150, derandomize=True)


def _columns(rows) -> tuple[np.ndarray, np.ndarray]:
    return np.array([eighths / 8 for eighths, _ in rows]), np.array([right for _, right in rows])


@CHECKED
@given(ROWS, SHARES)
def test_no_lower_threshold_has_the_precision_and_the_highest_precision_stands_in_for_one_out_of_reach(
    rows, precision
):
    scores, right = _columns(rows)
    threshold, reached = precision_threshold(scores, right, precision)
    shares = {cut: right[scores >= cut].mean() for cut in set(scores)}
    accepted = scores >= threshold
    assert reached == np.sum(accepted & right) / np.sum(accepted)
    wanted = min(precision, max(shares.values()))
    assert reached >= wanted - 1e-9
    assert all(share < wanted for cut, share in shares.items() if cut < threshold)


@CHECKED
@given(ROWS, SHARES)
def test_a_coverage_is_reached_by_no_more_rows_than_it_takes(rows, coverage):
    scores, _ = _columns(rows)
    accepted = scores >= coverage_threshold(scores, coverage)
    assert accepted.mean() >= coverage - 1e-9
    fewer = scores > scores[accepted].min()
    assert fewer.mean() < coverage


@CHECKED
@given(ROWS)
def test_the_risk_coverage_curve_is_that_of_a_loop_over_thresholds(rows):
    scores, right = _columns(rows)
    curve = risk_coverage(scores, right)
    risks = {cut: (~right[scores >= cut]).mean() for cut in set(scores)}
    assert curve.area == pytest.approx(np.mean([risks[score] for score in scores]))
    for coverage, risk in curve.points:
        cut = next(cut for cut in risks if (scores >= cut).mean() == pytest.approx(coverage, abs=1e-5))
        assert risk == pytest.approx(risks[cut], abs=1e-5)
    assert curve.points[-1][0] == 1


def test_a_long_curve_is_stored_with_its_ends_and_a_hundred_points():
    scores = np.linspace(1, 0, 5000)
    curve = risk_coverage(scores, np.arange(5000) % 10 > 0)
    assert len(curve.points) == 100
    assert curve.points[0] == (1 / 5000, 1.0)
    assert curve.points[-1] == (1.0, 0.1)


@CHECKED
@given(st.lists(st.integers(0, 8), min_size=1, max_size=25), st.lists(st.integers(0, 8), min_size=1))
def test_out_of_scope_metrics_are_those_of_all_pairs_and_all_thresholds(inside, outside):
    inside, outside = np.array(inside, dtype=float), np.array(outside, dtype=float)
    found = out_of_scope_metrics(inside, outside)
    pairs = inside[:, None] - outside
    assert found["out_of_scope_auroc"] == pytest.approx(((pairs > 0) + (pairs == 0) / 2).mean())
    cut = max(cut for cut in inside if (inside >= cut).mean() >= 0.95 - 1e-9)
    assert found["out_of_scope_fpr"] == pytest.approx((outside >= cut).mean())


def test_the_scores_are_their_formulas():
    logits = np.array([[2.0, 1.0, -1.0], [800.0, 0.0, 799.0]], dtype=np.float32)
    chances = softmax(logits.astype(np.float64), axis=1)
    np.testing.assert_allclose(confidence_scores(logits, "probability"), chances.max(1))
    np.testing.assert_allclose(confidence_scores(logits, "margin"), chances[:, 0] - chances[:, [1, 2]].max(1))
    energy = [np.log(np.exp(logits[0].astype(np.float64)).sum()), 800 + np.log1p(np.exp(-1.0))]
    np.testing.assert_allclose(confidence_scores(logits, "energy"), energy)
    with pytest.raises(ModelError, match="not finite"):
        confidence_scores(np.array([[np.nan, 1.0]]), "energy")


def test_a_threshold_lies_between_two_scores_and_accepts_the_rows_above():
    scores = np.array([0.9, 0.8, 0.4])
    assert coverage_threshold(scores, 0.6) == pytest.approx(0.6)
    assert coverage_threshold(scores, 0.9) == pytest.approx(0.4 - 1e-6)
    assert coverage_threshold(-100 * scores, 1.0) == pytest.approx(-90 - 9e-5)
    neighbours = np.array([np.nextafter(0.5, 0), 0.5])
    assert coverage_threshold(neighbours, 0.5) == 0.5
    rule = Abstention("probability", 0.7)
    assert rule.accepts(np.array([[3.0, 0.0], [0.5, 0.0]])).tolist() == [True, False]


@pytest.mark.parametrize(("right", "rows"), [(43, 100), (7, 11), (19, 20), (29, 53), (115, 200)])
def test_a_precision_that_is_reached_exactly_is_not_reported_as_missed(right, rows):
    scores, correct = np.full(rows, 0.5), np.arange(rows) < right
    assert precision_threshold(scores, correct, right / rows)[1] == right / rows


@pytest.mark.parametrize("by", ["probability", "margin", "energy"])
def test_a_threshold_that_accepts_all_rows_does_so_when_a_temperature_is_folded(by):
    random = np.random.default_rng(0)
    for scale in (0.1, 3, 40):
        logits = random.normal(0, scale, (50, 5)).astype(np.float32)
        divided, folded = logits / 1.7, logits * np.float32(1 / 1.7)
        assert not np.array_equal(divided, folded)
        for scores in (confidence_scores(divided, by), confidence_scores(divided[:1], by)):
            rule = Abstention(by, precision_threshold(scores, np.ones(len(scores), dtype=bool), 0.9)[0])
            assert rule.accepts(folded[: len(scores)]).all()


@CHECKED
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=25))
def test_coverage_and_risk_are_those_of_a_loop(rows):
    accepted, right = np.array(rows).T
    decided = wrong = 0
    for taken, correct in rows:
        decided += taken
        wrong += taken and not correct
    found = selective_metrics(accepted, right)
    assert found == {"coverage": decided / len(rows), "selective_risk": wrong / decided if decided else 0.0}


def test_the_risk_is_that_of_accepted_rows_and_zero_without_any():
    right = np.array([True, False, False, True])
    assert selective_metrics(np.array([True, True, False, False]), right) == {
        "coverage": 0.5,
        "selective_risk": 0.5,
    }
    assert selective_metrics(np.zeros(4, dtype=bool), right) == {"coverage": 0.0, "selective_risk": 0.0}
