"""From which probability on a label is predicted, where a row can have several."""

from __future__ import annotations

import numpy as np

DEFAULT_THRESHOLD = 0.5


def tuned_thresholds(gold: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """Finds, for each label by itself, the threshold with the highest F1.

    Only cuts between two probabilities that occur matter. Of several cuts that are as good, the one nearest to
    one half is taken, and of all thresholds that make the same cut one half itself or the middle. Labels without a
    positive row keep one half: nothing can be said about them.

    Lipton et al. 2014 (arXiv 1402.1892) on why one half is not where F1 is highest.

    Args:
        gold: Multi-hot (N, K).
        chances: Probabilities (N, K), 0 to 1.

    Returns:
        float64 (K,), above 0 and at most 1; a label is predicted from its threshold on.
    """
    columns = zip(np.asarray(gold).T, np.asarray(chances, dtype=np.float64).T, strict=True)
    return np.array([_best_threshold(positive > 0.5, chance) for positive, chance in columns])


def _best_threshold(positive: np.ndarray, chance: np.ndarray) -> float:
    if not positive.any():
        return DEFAULT_THRESHOLD
    order = np.argsort(-chance, kind="stable")
    sorted_chance = chance[order]
    hits = np.cumsum(positive[order])
    predicted = np.arange(1, len(chance) + 1)
    f1 = 2 * hits / (predicted + positive.sum())
    # A cut after row n predicts the first n rows; rows of one probability stay together.
    below = np.append(sorted_chance[1:], 0.0)
    possible = sorted_chance > below
    if not possible.any() or f1[possible].max() == 0:  # no threshold finds a positive row
        return DEFAULT_THRESHOLD
    best = np.flatnonzero(possible & (f1 >= f1[possible].max() - 1e-12))
    thresholds = [_inside(below[cut], sorted_chance[cut]) for cut in best]
    return min(thresholds, key=lambda threshold: abs(threshold - DEFAULT_THRESHOLD))


def _inside(low: float, high: float) -> float:
    """A threshold above `low` and at most `high`."""
    if low < DEFAULT_THRESHOLD <= high:
        return DEFAULT_THRESHOLD
    middle = float((low + high) / 2)
    return middle if middle > low else float(high)
