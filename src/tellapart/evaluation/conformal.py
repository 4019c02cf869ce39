"""Conformal prediction sets: classes that contain the right one with a chosen probability."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass

import numpy as np

from tellapart.errors import MissingDependencyError


@dataclass(frozen=True)
class ConformalSets:
    """A calibrated rule for prediction sets: all classes whose probability reaches a threshold.

    Least ambiguous set-valued classifiers, Sadinle, Lei and Wasserman 2019 (arXiv 1609.00451).

    Args:
        coverage: Share of the texts whose set is meant to contain the right class, above 0 and below 1.
        threshold: The smallest probability of a class in a set.
    """

    coverage: float
    threshold: float

    def members(self, probabilities: np.ndarray) -> np.ndarray:
        """Returns which classes are in each set, bool (N, K); a set can be empty.

        Args:
            probabilities: (N, K).
        """
        return np.asarray(probabilities) >= self.threshold


def fit_sets(gold: np.ndarray, probabilities: np.ndarray, coverage: float) -> ConformalSets:
    """Calibrates prediction sets on rows that the model was not trained on, by split conformal prediction.

    If these and the later rows are drawn alike, sets contain the right class with a probability of at least
    `coverage` and, without ties, at most `coverage` + 1 / (N + 1), on average over the draws of the N rows.

    Args:
        gold: Class ids (N,), N at least `fewest_rows(coverage)`.
        probabilities: (N, K).
        coverage: Share of the texts whose set is meant to contain the right class.

    Raises:
        MissingDependencyError: MAPIE is not installed.
    """
    check_mapie()
    from mapie.conformity_scores import LACConformityScore

    score = LACConformityScore()
    found = score.get_conformity_scores(gold, np.asarray(probabilities, dtype=np.float64), y_enc=gold)
    quantile = score.get_conformity_score_quantiles(found, np.array([1 - coverage]), cv="prefit")
    threshold = float(1 - quantile[0])
    # It is the probability of a row, which must reach it also after its logits are rounded differently.
    return ConformalSets(coverage, max(0.0, threshold - max(1e-8, 1e-6 * threshold)))


def fewest_rows(coverage: float) -> int:
    """Returns the number of rows below which no threshold has the coverage: the quantile would be beyond them all."""
    return math.ceil(coverage / (1 - coverage) - 1e-9)


def check_mapie() -> None:
    """Checks that MAPIE is installed.

    Raises:
        MissingDependencyError: It is not.
    """
    if importlib.util.find_spec("mapie") is None:
        raise MissingDependencyError("mapie", "conformal", "calibrating prediction sets")
