"""Linear probing: logistic or ridge regression on fixed vectors."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV

# Logit for labels that every row has, negated for labels that no row has; 1 - sigmoid(14) is below 1e-6.
_CERTAIN = 14.0

MANY_CLASSES, MOST_LOGITS = 1_000, 2**25
"""With more classes than the first, rows times classes may be the second at most for a logistic regression, which
computes all logits in every iteration."""

# Candidate penalties of ridge regression, for vectors of mean squared norm 1.
_PENALTIES = np.logspace(-4, 3, 15)


def fit_linear(
    vectors: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    regularisation: float = 1.0,
    seed: int = 0,
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Fits a multinomial logistic regression (L-BFGS), one binary regression per label, or a ridge regression.

    Beyond `MOST_LOGITS` the layer classifies by the nearest class mean, which takes one pass over the rows.

    Args:
        vectors: (N, d). They are scaled to a mean squared norm of 1 first, so that `regularisation` is comparable
            between encoders; the scale is folded into the weights.
        labels: Class ids (N,), multi-hot (N, K), or targets, float (N,).
        classes: K; 1 for regression.
        regularisation: scikit-learn's C; larger means less regularisation. Ridge regression chooses its penalty by
            leave-one-out cross-validation instead.
        seed: Of the solver.
        weights: Weight of each row (N,); None if all are 1.

    Returns:
        Weights (K, d) and biases (K,) of a linear layer on the unscaled vectors, float32.
    """
    scale = float(np.sqrt(np.mean(np.sum(vectors.astype(np.float64) ** 2, axis=1)))) or 1.0
    scaled = vectors / scale
    if labels.ndim == 2:
        rows = [
            _fit_binary(scaled, labels[:, index] > 0.5, regularisation, seed, weights)
            for index in range(classes)
        ]
        weight, bias = np.stack([row[0] for row in rows]), np.array([row[1] for row in rows])
    elif np.issubdtype(labels.dtype, np.floating):
        weight, bias = _fit_numbers(scaled, labels, weights)
    else:
        weight, bias = _fit_classes(scaled, labels, classes, regularisation, seed, weights)
    return (weight / scale).astype(np.float32), bias.astype(np.float32)


def _regression(regularisation: float, seed: int) -> LogisticRegression:
    return LogisticRegression(C=regularisation, max_iter=1000, random_state=seed)


def _fit_classes(
    vectors: np.ndarray,
    labels: np.ndarray,
    classes: int,
    regularisation: float,
    seed: int,
    weights: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    present = np.unique(labels)
    weight, bias = np.zeros((classes, vectors.shape[1])), np.full(classes, -_CERTAIN)
    if len(present) == 1:
        bias[present] = _CERTAIN
        return weight, bias
    if len(present) > MANY_CLASSES and len(present) * len(vectors) > MOST_LOGITS:
        weight[present], bias[present] = _class_means(vectors, labels, present, weights)
        bias[bias == -_CERTAIN] = bias[present].min() - _CERTAIN
        return weight, bias
    model = _regression(regularisation, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes")  # few rows per class are meant
        model.fit(vectors, labels, weights)
    if len(present) == 2:  # scikit-learn has one row for two classes: split it symmetrically
        weight[present] = np.vstack([-model.coef_, model.coef_]) / 2
        bias[present] = np.concatenate([-model.intercept_, model.intercept_]) / 2
    else:
        weight[present], bias[present] = model.coef_, model.intercept_
    return weight, bias


def _class_means(
    vectors: np.ndarray, labels: np.ndarray, present: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Fits a linear discriminant whose classes share one variance: the class with the nearest mean is chosen."""
    place = np.searchsorted(present, labels)
    each = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64)
    rows = csr_array((each, (place, np.arange(len(labels)))), shape=(len(present), len(labels)))
    sums = np.asarray(rows.sum(axis=1))
    means = (rows @ vectors.astype(np.float64)) / np.where(sums > 0, sums, 1.0)[:, None]
    squares = float(each @ ((vectors - means[place]) ** 2).sum(axis=1))
    # Summed over the directions, not their mean: directions depend on each other, and as if they did not, almost all
    # probabilities would be 0 or 1.
    variance = squares / max(each.sum() - len(present), 1.0) or 1.0
    return means / variance, -(means**2).sum(axis=1) / (2 * variance)


def _fit_numbers(
    vectors: np.ndarray, numbers: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    model = RidgeCV(alphas=_PENALTIES)
    model.fit(vectors.astype(np.float64), numbers.astype(np.float64), weights)
    return model.coef_[None, :], np.array([model.intercept_])


def _fit_binary(
    vectors: np.ndarray, positive: np.ndarray, regularisation: float, seed: int, weights: np.ndarray | None
) -> tuple[np.ndarray, float]:
    if positive.all() or not positive.any():
        return np.zeros(vectors.shape[1]), _CERTAIN if positive.all() else -_CERTAIN
    model = _regression(regularisation, seed).fit(vectors, positive, weights)
    return model.coef_[0], float(model.intercept_[0])
