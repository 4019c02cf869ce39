"""Calibration error, reliability bins and temperature scaling."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from tellapart.errors import DataError, TellapartWarning

CALIBRATION_BINS = 15

# Bounds of the search for a temperature.
_LOWEST, _HIGHEST = 1e-3, 1e3


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions whose confidence lies in one bin.

    Args:
        confidence: Mean confidence, 0 to 1.
        accuracy: Share of correct predictions, 0 to 1.
        count: Number of predictions, at least 1.
    """

    confidence: float
    accuracy: float
    count: int


def reliability_bins(
    confidence: np.ndarray, correct: np.ndarray, bins: int = CALIBRATION_BINS
) -> list[ReliabilityBin]:
    """Groups predictions into confidence bins of equal width.

    Args:
        confidence: Predicted probability of being correct, 0 to 1, (N,).
        correct: Whether each prediction is correct, bool (N,).
        bins: Number of bins; empty ones are left out.
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
    """Computes the expected calibration error with 15 bins, Guo et al. 2017 (arXiv 1706.04599), Eq. 3.

    Args:
        confidence: As for `reliability_bins`, at least one.
        correct: As for `reliability_bins`.
    """
    found = reliability_bins(confidence, correct)
    gaps = sum(part.count * abs(part.accuracy - part.confidence) for part in found)
    return float(gaps / sum(part.count for part in found))


def fit_temperature(gold: np.ndarray, logits: np.ndarray) -> float:
    """Fits the temperature T that maximises the likelihood of the gold labels under logits / T.

    Guo et al. 2017, On Calibration of Modern Neural Networks, §4.2. In multi-label tasks one T is fitted to the
    binary likelihoods of all labels. Predicted classes do not change.

    Args:
        gold: Class ids (N,), or multi-hot (N, K).
        logits: (N, K).

    Returns:
        T above 0; a T above 1 means that the model was overconfident. 1, with a warning, where the likelihood has no
        maximum, because all rows are predicted correctly, or worse than chance.

    Raises:
        DataError: There are no rows.
    """
    exact = np.asarray(logits, dtype=np.float64)
    if len(exact) == 0:
        raise DataError("there are no rows to fit a temperature on", "give validation rows")
    sureness = _sureness(np.asarray(gold), exact)
    if sureness.mean() <= 0 or _margins(np.asarray(gold), exact).min() >= 0:
        warnings.warn(
            "No temperature fits the validation rows: the model predicts all of them correctly, or no better than "
            "chance. Probabilities stay as they are; validate on more rows.",
            TellapartWarning,
            stacklevel=2,
        )
        return 1.0
    from scipy.optimize import minimize_scalar  # only now: few runs fit a temperature

    # The likelihood is concave in 1/T, so it has a single maximum, also in log T.
    found = minimize_scalar(
        lambda log_temperature: negative_log_likelihood(gold, exact * np.exp(-log_temperature)),
        bounds=(np.log(_LOWEST), np.log(_HIGHEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def _sureness(gold: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Returns the derivative of each decision's log likelihood with respect to 1/T, at 1/T = 0."""
    if gold.ndim == 2:
        return np.where(gold > 0.5, logits, -logits) / 2
    return logits[np.arange(len(gold)), gold] - logits.mean(axis=1)


def _margins(gold: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Returns each gold decision's margin; if none is negative, the likelihood grows with 1/T without bound."""
    if gold.ndim == 2:
        return np.where(gold > 0.5, logits, -logits)
    others = logits.copy()
    others[np.arange(len(gold)), gold] = -np.inf
    return logits[np.arange(len(gold)), gold] - others.max(axis=1)


def negative_log_likelihood(gold: np.ndarray, logits: np.ndarray) -> float:
    """Computes the mean negative log probability of the gold classes, or of all binary label decisions.

    Args:
        gold: Class ids (N,), or multi-hot (N, K).
        logits: (N, K).
    """
    gold = np.asarray(gold)
    if gold.ndim == 1:
        return float(-log_softmax(logits, axis=1)[np.arange(len(gold)), gold].mean())
    # -log sigmoid of the signed logit; logaddexp does not overflow.
    return float(np.logaddexp(0.0, np.where(gold > 0.5, -logits, logits)).mean())
