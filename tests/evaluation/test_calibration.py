from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

from tellapart.errors import DataError, TellapartWarning
from tellapart.evaluation.calibration import (
    ReliabilityBin,
    calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability_bins,
)


def _classes(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that mean what they say: gold classes are drawn from their softmax."""
    random = np.random.default_rng(seed)
    logits = 2 * random.normal(size=(rows, 4))
    draws = random.random((rows, 1))
    return (softmax(logits, axis=1).cumsum(1) < draws).sum(1), logits


def _labels(rows: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    logits = 2 * random.normal(size=(rows, 3))
    return (random.random((rows, 3)) < expit(logits)).astype(np.float32), logits


@pytest.mark.parametrize("task", [_classes, _labels], ids=["one label", "several labels"])
@pytest.mark.parametrize("wrong", [0.4, 1.0, 3.0])
def test_the_factor_by_which_a_model_is_too_sure_is_found(task, wrong):
    gold, logits = task(20_000)
    assert fit_temperature(gold, logits * wrong) == pytest.approx(wrong, rel=0.04)


@pytest.mark.parametrize("task", [_classes, _labels], ids=["one label", "several labels"])
def test_no_other_temperature_is_likelier(task):
    gold, logits = task(60)
    found = fit_temperature(gold, logits.astype(np.float32))
    tried = [negative_log_likelihood(gold, logits / t) for t in np.geomspace(0.05, 20, 400)]
    assert negative_log_likelihood(gold, logits / found) <= min(tried) + 1e-9


def test_the_likelihood_is_that_of_the_gold_labels():
    logits = np.array([[1.0, 0.0], [2.0, -1.0]])
    chances = softmax(logits, axis=1)
    assert negative_log_likelihood(np.array([0, 1]), logits) == pytest.approx(
        -np.log([chances[0, 0], chances[1, 1]]).mean()
    )
    several = np.log([expit(1.0), 1 - expit(0.0), expit(2.0), expit(-1.0)])
    assert negative_log_likelihood(np.array([[1, 0], [1, 1]]), logits) == pytest.approx(-several.mean())
    assert negative_log_likelihood(np.array([[0.0]]), np.array([[1000.0]])) == pytest.approx(1000)


@pytest.mark.parametrize("sign", [1, -1], ids=["all right", "all wrong"])
def test_where_likelihood_has_no_end_the_probabilities_stay_and_a_note_says_so(sign):
    gold = np.array([0, 1, 0, 1])
    with pytest.warns(TellapartWarning, match="predicts all of them correctly, or no better than chance"):
        assert fit_temperature(gold, sign * 4 * np.eye(2)[gold]) == 1.0


def test_without_rows_there_is_nothing_to_fit():
    with pytest.raises(DataError, match="no rows"):
        fit_temperature(np.array([], dtype=int), np.zeros((0, 3)))


def test_bins_hold_their_mean_confidence_and_accuracy():
    found = reliability_bins(np.array([0.05, 0.31, 0.35, 1.0]), np.array([False, True, False, True]), bins=10)
    assert found == [
        ReliabilityBin(0.05, 0.0, 1),
        ReliabilityBin(pytest.approx(0.33), 0.5, 2),
        ReliabilityBin(1.0, 1.0, 1),
    ]


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_the_calibration_error_is_that_of_a_loop_over_the_bins(predictions):
    error = 0.0
    for number in range(15):
        inside = [(c, hit) for c, hit in predictions if min(int(c * 15), 14) == number]
        if inside:
            confidence, accuracy = np.mean([c for c, _ in inside]), np.mean([hit for _, hit in inside])
            error += len(inside) / len(predictions) * abs(confidence - accuracy)
    confidences, hits = map(np.array, zip(*predictions, strict=True))
    assert calibration_error(confidences, hits) == pytest.approx(error, abs=1e-12)


def test_a_temperature_lowers_the_calibration_error_of_a_model_that_is_too_sure():
    gold, logits = _classes(5000)
    sure = 3 * logits

    def error(scores: np.ndarray) -> float:
        return calibration_error(softmax(scores, axis=1).max(1), scores.argmax(1) == gold)

    assert error(sure / fit_temperature(gold, sure)) < 0.2 * error(sure)
