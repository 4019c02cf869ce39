from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from tellapart.evaluation.thresholds import tuned_thresholds

# Eighths are equal often, and exact.
COLUMNS = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=25)


def _f1(gold: np.ndarray, chances: np.ndarray, threshold: float) -> float:
    return f1_score(gold, chances >= threshold, zero_division=0)


@settings(deadline=None, max_examples=150)
@example([(False, 1), (True, 0)])
@given(COLUMNS)
def test_no_other_threshold_has_a_higher_f1(column):
    gold = np.array([positive for positive, _ in column])
    chances = np.array([eighths / 8 for _, eighths in column])
    threshold = tuned_thresholds(gold[:, None], chances[:, None])[0]
    assert 0 < threshold <= 1
    others = [_f1(gold, chances, other) for other in np.arange(1, 17) / 16]
    if gold.any() and chances[gold].any():
        assert _f1(gold, chances, threshold) >= max(others) - 1e-12
    if _f1(gold, chances, 0.5) >= max(others) - 1e-12:
        assert threshold == 0.5


def test_each_label_has_its_own_and_one_without_a_positive_row_keeps_one_half():
    gold = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]])
    chances = np.array([[0.4, 0.9, 0.9], [0.3, 0.8, 0.1], [0.1, 0.7, 0.2], [0.0, 0.1, 0.3]])
    found = tuned_thresholds(gold, chances)
    np.testing.assert_allclose(found, [0.2, 0.85, 0.5])


def test_rows_of_one_probability_are_not_cut_apart():
    gold, chances = np.array([[1], [0], [1]]), np.array([[0.2], [0.2], [0.1]])
    threshold = tuned_thresholds(gold, chances)[0]
    assert (chances[:, 0] >= threshold).tolist() == [True, True, True]


def test_neighbouring_numbers_can_be_cut_between():
    high = 0.25
    low = np.nextafter(high, 0)
    threshold = tuned_thresholds(np.array([[1], [0]]), np.array([[high], [low]]))[0]
    assert low < threshold <= high


def test_probabilities_that_are_all_0_decide_nothing():
    assert tuned_thresholds(np.array([[1], [0]]), np.zeros((2, 1))).tolist() == [0.5]
