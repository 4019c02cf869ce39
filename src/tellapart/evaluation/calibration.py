"""Whether probabilities mean what they say, and one number that makes them: the temperature."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from tellapart.errors import DataError, TellapartWarning

CALIBRATION_BINS = 15

# Where the search for a temperature begins and ends.
_LOWEST, _HIGHEST = 1e-3, 1e3


@dataclass(frozen=True)
class ReliabilityBin:
    """The predictions whose confidence lies in one bin.

    Args:
        confidence: Their mean confidence, 0 to 1.
        accuracy: The share of them that is right, 0 to 1.
        count: How many they are, 1 or more.
    """

    confidence: float
    accuracy: float
    count: int


def reliability_bins(
    confidence: np.ndarray, correct: np.ndarray, bins: int = CALIBRATION_BINS
) -> list[ReliabilityBin]:
    """Sorts predictions into bins of equal width by their confidence.

    Args:
        confidence: What the model says its chances of being right are, 0 to 1, (N,).
        correct: Whether it is right, bool (N,).
        bins: How many bins there are; those without a prediction are left out.
    """
    places = np.minimum((np.asarray(confidence) * bins).astype(np.int64), bins - 1)
    counts = np.bincount(places, minlength=bins)
    confidences = np.bincount(places, weights=confidence, minlength=bins)
    hits = np.bincount(places, weights=np.asarray(correct, dtype=np.float64), minlength=bins)
    return [
        ReliabilityBin(
            float(confidences[place] / counts[place]), float(hits[place] / counts[place]), int(counts[place])
        )
        for place in np.flatnonzero(counts)
    ]


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error, Guo et al. 2017 (arXiv 1706.04599), Eq. 3, with 15 bins of equal width.

    Args:
        confidence: As for `reliability_bins`, of one prediction or more.
        correct: As for `reliability_bins`.
    """
    found = reliability_bins(confidence, correct)
    gaps = sum(part.count * abs(part.accuracy - part.confidence) for part in found)
    return float(gaps / sum(part.count for part in found))


def fit_temperature(gold: np.ndarray, logits: np.ndarray) -> float:
    """Finds T such that the logits divided by T give the gold labels the highest likelihood.

    Guo et al. 2017, On Calibration of Modern Neural Networks, §4.2. For several labels a row it is the likelihood
    of all decisions on a label, under one T. Dividing changes no order: the same class is predicted.

    Args:
        gold: Class ids (N,), or multi-hot (N, K).
        logits: (N, K).

    Returns:
        T above 0; above 1 the model was too sure. 1, with a warning, where likelihood grows without end: all rows
        are predicted rightly, or worse than by chance.

    Raises:
        DataError: There are no rows.
    """
    exact = np.asarray(logits, dtype=np.float64)
    if len(exact) == 0:
        raise DataError("there are no rows to fit a temperature on", "give validation rows")
    sureness = _sureness(np.asarray(gold), exact)
    if sureness.mean() <= 0 or _margins(np.asarray(gold), exact).min() >= 0:
        warnings.warn(
            "No temperature fits the validation rows: the model is right on all of them, or no better than "
            "chance. Probabilities stay as they are; validate on more rows.",
            TellapartWarning,
            stacklevel=2,
        )
        return 1.0
    # The likelihood is concave in 1/T, so that there is one maximum, in log T as well.
    found = minimize_scalar(
        lambda log_temperature: negative_log_likelihood(gold, exact * np.exp(-log_temperature)),
        bounds=(np.log(_LOWEST), np.log(_HIGHEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def _sureness(gold: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """How the log likelihood of each decision grows with 1/T where that is 0."""
    if gold.ndim == 2:
        return np.where(gold > 0.5, logits, -logits) / 2
    return logits[np.arange(len(gold)), gold] - logits.mean(axis=1)


def _margins(gold: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """How far each decision is on the right side: where none is below 0, likelihood grows with 1/T for ever."""
    if gold.ndim == 2:
        return np.where(gold > 0.5, logits, -logits)
    others = logits.copy()
    others[np.arange(len(gold)), gold] = -np.inf
    return logits[np.arange(len(gold)), gold] - others.max(axis=1)


def negative_log_likelihood(gold: np.ndarray, logits: np.ndarray) -> float:
    """Mean negative log probability of the gold labels: of a row's class, or of each decision on a label.

    Args:
        gold: Class ids (N,), or multi-hot (N, K).
        logits: (N, K).
    """
    gold = np.asarray(gold)
    if gold.ndim == 1:
        return float(-log_softmax(logits, axis=1)[np.arange(len(gold)), gold].mean())
    # -log of the sigmoid of the logit's side that is right; logaddexp does not overflow.
    return float(np.logaddexp(0.0, np.where(gold > 0.5, -logits, logits)).mean())
