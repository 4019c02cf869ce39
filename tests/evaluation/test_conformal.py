from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin

from tellapart.errors import MissingDependencyError
from tellapart.evaluation.conformal import fewest_rows, fit_sets


def _rows(seed: int, count: int, classes: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Gold classes and probabilities of an overconfident model: classes in look-alike pairs, some rows hopeless."""
    random = np.random.default_rng(seed)
    gold = random.integers(0, classes, count)
    logits = random.normal(0, 1, (count, classes))
    certainty = random.gamma(4.0, 1.5, count)
    logits[np.arange(count), gold] += certainty
    logits[np.arange(count), gold ^ 1] += certainty * random.uniform(0, 1.2, count)
    return gold, softmax(2 * logits, axis=1)


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_sets_contain_the_right_class_within_two_points_of_what_was_asked_over_five_seeds(coverage):
    found = []
    for seed in range(5):
        gold, chances = _rows(seed, 12_000)
        sets = fit_sets(gold[:2000], chances[:2000], coverage)
        members = sets.members(chances[2000:])
        found.append(members[np.arange(10_000), gold[2000:]].mean())
        assert 0.5 < members.sum(axis=1).mean() < 4
    assert np.abs(np.array(found) - coverage).max() < 0.02


class _Known(ClassifierMixin, BaseEstimator):
    """Takes probabilities as features, for MAPIE."""

    def __init__(self, classes: int = 40) -> None:
        self.classes = classes

    def fit(self, X, y=None):
        self.classes_ = np.arange(self.classes)
        self.n_features_in_ = self.classes
        return self

    def predict_proba(self, X):
        return X

    def predict(self, X):
        return X.argmax(axis=1)


def test_sets_are_those_of_mapie():
    from mapie.classification import SplitConformalClassifier

    gold, chances = _rows(0, 1500)
    known = SplitConformalClassifier(_Known().fit(None), confidence_level=0.9, conformity_score="lac")
    _, expected = known.conformalize(chances[:500], gold[:500]).predict_set(chances[500:])
    found = fit_sets(gold[:500], chances[:500], 0.9).members(chances[500:])
    np.testing.assert_array_equal(found, expected[:, :, 0])


def test_with_the_fewest_rows_the_least_likely_gold_class_decides():
    gold, chances = _rows(1, 200)
    for coverage, fewest in {0.5: 1, 0.8: 4, 0.9: 9, 0.95: 19}.items():
        assert fewest_rows(coverage) == fewest
        sets = fit_sets(gold[:fewest], chances[:fewest], coverage)
        least = chances[np.arange(fewest), gold[:fewest]].min()
        assert sets.threshold == pytest.approx(least, rel=2e-6, abs=2e-8)
        assert sets.threshold < least


@pytest.mark.parametrize("temperature", [0.7, 1.9])
def test_the_row_at_the_threshold_stays_in_its_set_when_a_temperature_is_folded(temperature):
    random = np.random.default_rng(2)
    for classes in (2, 60):
        logits = random.normal(0, 3, (9, classes)).astype(np.float32)
        gold = random.integers(0, classes, 9)
        sets = fit_sets(gold, softmax((logits / temperature).astype(np.float64), axis=1), 0.9)
        folded = (logits * np.float32(1 / temperature)).astype(np.float64)
        assert sets.members(softmax(folded, axis=1))[np.arange(9), gold].all()


def test_a_missing_mapie_is_one_sentence(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"needs the package mapie.*conformal"):
        fit_sets(np.array([0]), np.array([[1.0]]), 0.5)
