from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from tellapart.evaluation.class_frequencies import PRIOR_TEXTS, estimated_frequencies


def _naive(chances: np.ndarray, trained: np.ndarray, steps: int) -> np.ndarray:
    """Expectation maximisation text by text."""
    rows, classes = chances.shape
    found = list(trained)
    for _ in range(steps):
        sums = [PRIOR_TEXTS * classes * share for share in trained]
        for row in chances:
            moved = [row[k] * found[k] / trained[k] for k in range(classes)]
            for k in range(classes):
                sums[k] += moved[k] / sum(moved)
        found = [total / (rows + PRIOR_TEXTS * classes) for total in sums]
    return np.array(found)


@given(st.integers(0, 40), st.integers(2, 5), st.integers(0, 100))
def test_it_is_the_naive_loop(rows, classes, seed):
    random = np.random.default_rng(seed)
    chances = softmax(random.normal(size=(rows, classes)), axis=1)
    trained = random.dirichlet(np.full(classes, 5.0)) * 0.99 + 0.01 / classes
    found = estimated_frequencies(chances, trained)
    np.testing.assert_allclose(found, _naive(chances, trained, 400), atol=1e-4)
    assert found.sum() == pytest.approx(1)
    assert (found > 0).all()
    if not rows:
        np.testing.assert_allclose(found, trained)


def test_one_step_by_hand():
    # Two classes, trained half and half: one text that is certainly of the first, ten texts that count as prior.
    found = estimated_frequencies(np.array([[1.0, 0.0]]), np.array([0.5, 0.5]))
    np.testing.assert_allclose(found, [6 / 11, 5 / 11])


@pytest.mark.parametrize("true", [[0.8, 0.15, 0.05], [1 / 3, 1 / 3, 1 / 3], [0.02, 0.49, 0.49]])
def test_the_frequencies_of_a_sample_are_found(true):
    """Texts are drawn with other frequencies than those for which the probabilities hold."""
    random = np.random.default_rng(0)
    gold = random.choice(3, size=20_000, p=true)
    means = 1.5 * np.eye(3)
    vectors = means[gold] + random.normal(size=(20_000, 3))
    trained = np.array([0.5, 0.3, 0.2])
    # Bayes' rule for normal vectors around the means.
    chances = softmax(vectors @ means.T - 0.5 * (means**2).sum(1) + np.log(trained), axis=1)
    np.testing.assert_allclose(estimated_frequencies(chances, trained), true, atol=0.015)
    assert np.abs(chances.mean(0) - true).sum() > np.abs(estimated_frequencies(chances, trained) - true).sum()
