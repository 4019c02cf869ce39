"""The metrics of scores: how predicted numbers go along with those that are right."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from tellapart.errors import DataError
from tellapart.evaluation.metrics import finite_scores


def regression_metrics(gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Computes all metrics of a task of scores.

    Args:
        gold: The right scores (N,).
        predicted: The predicted ones, (N,) or (N, 1), in the same unit.

    Returns:
        Pearson's correlation; Spearman's, which is that of the ranks, equal scores sharing the mean of theirs; the
        mean squared and the mean absolute error. A correlation is 0 where either side does not vary, for which it
        has no value.

    Raises:
        DataError: There are no rows.
        ModelError: A prediction is NaN or infinite.
    """
    gold = np.asarray(gold, dtype=np.float64)
    if len(gold) == 0:
        raise DataError("there are no rows to evaluate", "give a split that has labelled rows")
    predicted = finite_scores(predicted).reshape(len(gold))
    differences = predicted - gold
    return {
        "pearson_correlation": _correlation(gold, predicted),
        "spearman_correlation": _correlation(rankdata(gold), rankdata(predicted)),
        "mean_squared_error": float((differences**2).mean()),
        "mean_absolute_error": float(np.abs(differences).mean()),
    }


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's correlation of two columns (N,); 0 where it is undefined, of which SciPy would warn."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
