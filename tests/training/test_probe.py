from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from tellapart.training import probe as module
from tellapart.training.probe import fit_linear


def _vectors(classes: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, 120)
    return (random.normal(size=(classes, 6))[labels] + 0.5 * random.normal(size=(120, 6))).astype(
        np.float32
    ), labels


@pytest.mark.parametrize("classes", [2, 4])
def test_the_linear_layer_gives_the_regressions_probabilities(classes):
    vectors, labels = _vectors(classes)
    weight, bias = fit_linear(vectors, labels, classes, regularisation=3.0)
    scale = np.sqrt((vectors.astype(np.float64) ** 2).sum(1).mean())
    expected = (
        LogisticRegression(C=3.0, max_iter=1000).fit(vectors / scale, labels).predict_proba(vectors / scale)
    )
    np.testing.assert_allclose(softmax(vectors @ weight.T + bias, axis=1), expected, atol=1e-3)


def test_a_class_without_rows_is_never_predicted():
    vectors, labels = _vectors(3)
    labels = np.where(labels == 1, 3, labels)
    weight, bias = fit_linear(vectors, labels, 4)
    logits = vectors @ weight.T + bias
    assert 1 not in logits.argmax(1)
    assert (logits.argmax(1) == labels).mean() > 0.8


def test_one_class_alone_is_always_predicted():
    vectors, _ = _vectors(2)
    weight, bias = fit_linear(vectors, np.ones(len(vectors), int), 3)
    assert ((vectors @ weight.T + bias).argmax(1) == 1).all()


def test_labels_of_several_are_told_one_by_one_and_constant_ones_are_certain():
    vectors, labels = _vectors(3)
    gold = np.eye(3, dtype=np.float32)[labels]
    gold = np.concatenate([gold, np.ones((120, 1)), np.zeros((120, 1))], axis=1)
    weight, bias = fit_linear(vectors, gold, 5)
    predicted = vectors @ weight.T + bias > 0
    assert (predicted == gold).mean() > 0.9
    assert predicted[:, 3].all()
    assert not predicted[:, 4].any()


def test_the_regularisation_means_the_same_for_longer_vectors():
    vectors, labels = _vectors(3)
    weight, bias = fit_linear(vectors, labels, 3)
    longer_weight, longer_bias = fit_linear(vectors * 100, labels, 3)
    np.testing.assert_allclose(
        vectors @ weight.T + bias, 100 * vectors @ longer_weight.T + longer_bias, atol=1e-2
    )


def test_of_too_many_classes_the_nearest_mean_is_chosen(monkeypatch):
    monkeypatch.setattr(module, "MANY_CLASSES", 2)
    monkeypatch.setattr(module, "MOST_LOGITS", 120 * 3 - 1)
    vectors, labels = _vectors(3)
    labels = np.where(labels == 1, 3, labels)  # class 1 has no rows
    weight, bias = fit_linear(vectors, labels, 4)
    present = [0, 2, 3]
    means = np.stack([vectors[labels == one].mean(axis=0) for one in present])
    nearest = ((vectors[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (vectors @ weight.T + bias).argmax(1).tolist() == np.take(present, nearest).tolist()
    doubled = fit_linear(vectors, labels, 4, weights=np.where(np.arange(120) < 60, 2.0, 1.0))
    repeated = fit_linear(np.concatenate([vectors[:60], vectors]), np.append(labels[:60], labels), 4)
    means_of = [(one[0] / np.linalg.norm(one[0])) for one in (doubled, repeated)]
    np.testing.assert_allclose(*means_of, rtol=1e-4)


def test_many_classes_with_few_logits_are_regressed(monkeypatch):
    vectors, labels = _vectors(3)
    expected = fit_linear(vectors, labels, 3)
    monkeypatch.setattr(module, "MANY_CLASSES", 2)
    monkeypatch.setattr(module, "MOST_LOGITS", 120 * 3)
    np.testing.assert_array_equal(fit_linear(vectors, labels, 3)[0], expected[0])
