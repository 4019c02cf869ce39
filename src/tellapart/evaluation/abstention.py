"""Abstention: confidence scores, thresholds for a precision or coverage, risk–coverage curves, out-of-scope rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, softmax

from tellapart.evaluation.metrics import finite_logits
from tellapart.recipes.decision import AbstainBy

IN_SCOPE_RECALL = 0.95
"""Share of the in-scope rows that are accepted where the false positive rate is measured."""

CURVE_POINTS = 100
"""Largest number of points of a stored risk–coverage curve."""

_ROUNDING = 1e-9  # of shares
_LOGIT_ROUNDING = (
    1e-6  # of scores: a folded temperature, another device or another batch changes float32 logits
)


@dataclass(frozen=True)
class Abstention:
    """The rule by which a single-label classifier abstains: texts whose score is below a threshold.

    Args:
        by: The score, see `confidence_scores`.
        threshold: The smallest accepted score.
    """

    by: AbstainBy
    threshold: float

    def accepts(self, logits: np.ndarray) -> np.ndarray:
        """Returns whether the model decides on each row, bool (N,).

        Args:
            logits: (N, K), calibrated.
        """
        return confidence_scores(logits, self.by) >= self.threshold


@dataclass(frozen=True)
class RiskCoverage:
    """Risk over coverage while the threshold falls from the highest score to the lowest.

    Args:
        area: Area under the curve: the mean over the rows of the risk at the coverage that just accepts the row
            (El-Yaniv and Wiener 2010; Geifman et al. 2019, arXiv 1805.08206). Smaller is better.
        points: At most `CURVE_POINTS` pairs of coverage and risk, the lowest coverage first; both are 0 to 1.
    """

    area: float
    points: list[tuple[float, float]]


def confidence_scores(logits: np.ndarray, by: AbstainBy) -> np.ndarray:
    """Computes the score by which texts are accepted; the higher, the more certain is the model.

    Args:
        logits: (N, K), calibrated.
        by: `probability`, the highest probability (Hendrycks and Gimpel 2017, arXiv 1610.02136); `margin`, the
            difference of the two highest probabilities; `energy`, the log of the sum of the exponentials of the
            logits (Liu et al. 2020, arXiv 2010.03759, the negative energy at temperature 1).

    Returns:
        float64 (N,).

    Raises:
        ModelError: A logit is not finite.
    """
    exact = finite_logits(logits)
    if by == "energy":
        return logsumexp(exact, axis=1)
    chances = softmax(exact, axis=1)
    first = chances.max(axis=1)
    if by == "probability":
        return first
    chances[np.arange(len(chances)), chances.argmax(axis=1)] = 0.0
    return first - chances.max(axis=1)


def precision_threshold(scores: np.ndarray, right: np.ndarray, precision: float) -> tuple[float, float]:
    """Finds the lowest threshold at which enough of the accepted rows are right.

    Args:
        scores: Confidence of each row (N,), N at least 1.
        right: Whether its prediction is right, bool (N,).
        precision: Share of the accepted rows to be right, 0 to 1.

    Returns:
        The threshold, and the share that it reaches. If no threshold reaches `precision`, those of the highest share;
        of several the one that accepts most rows.
    """
    accepted, wrong = _steps(scores, right)
    shares = (accepted - wrong) / accepted  # 1 - wrong / accepted can be one rounding below the share
    reaching = np.flatnonzero(shares >= min(precision, shares.max()) - _ROUNDING)
    place = reaching[-1]
    return _threshold(scores, accepted[place]), float(shares[place])


def coverage_threshold(scores: np.ndarray, coverage: float) -> float:
    """Finds the highest threshold that accepts at least a share of the rows.

    Args:
        scores: Confidence of each row (N,), N at least 1.
        coverage: Share of the rows to accept, above 0 and at most 1.
    """
    accepted, _ = _steps(scores, np.ones(len(scores), dtype=bool))
    enough = np.flatnonzero(accepted >= coverage * len(scores) - _ROUNDING)
    return _threshold(scores, accepted[enough[0]])


def risk_coverage(scores: np.ndarray, right: np.ndarray) -> RiskCoverage:
    """Computes the risk–coverage curve: the share of wrong predictions among the most confident rows.

    Args:
        scores: Confidence of each row (N,), N at least 1. Rows with equal scores are accepted together.
        right: Whether its prediction is right, bool (N,).
    """
    accepted, wrong = _steps(scores, right)
    risk, coverage = wrong / accepted, accepted / len(scores)
    area = risk @ np.diff(accepted, prepend=0) / len(scores)
    shown = np.unique(np.linspace(0, len(accepted) - 1, min(len(accepted), CURVE_POINTS)).astype(np.int64))
    points = zip(coverage[shown].round(6).tolist(), risk[shown].round(6).tolist(), strict=True)
    return RiskCoverage(float(area), list(points))


def selective_metrics(accepted: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Computes the share of accepted rows, and the share of these that is wrong (0 without any).

    Args:
        accepted: Whether the model decides on each row, bool (N,), N at least 1.
        right: Whether its prediction is right, bool (N,).
    """
    decided = int(accepted.sum())
    wrong = int((accepted & ~right).sum())
    return {"coverage": decided / len(accepted), "selective_risk": wrong / decided if decided else 0.0}


def out_of_scope_metrics(inside: np.ndarray, outside: np.ndarray) -> dict[str, float]:
    """Measures how well a score separates out-of-scope rows from rows of the classes.

    Args:
        inside: Confidence of rows of the classes (N,), N at least 1.
        outside: Confidence of out-of-scope rows (M,), M at least 1.

    Returns:
        `out_of_scope_auroc`, the probability that a row of the classes has the higher score; and `out_of_scope_fpr`,
        the share of out-of-scope rows that is accepted where `IN_SCOPE_RECALL` of the rows of the classes are.
    """
    from sklearn.metrics import (
        roc_auc_score,
        roc_curve,
    )  # not needed for predicting, which imports this module

    scores = np.concatenate([inside, outside])
    classes = np.repeat([1, 0], [len(inside), len(outside)])
    false_positives, recall, _ = roc_curve(classes, scores, drop_intermediate=False)
    place = np.searchsorted(recall, IN_SCOPE_RECALL - _ROUNDING)
    return {
        "out_of_scope_auroc": float(roc_auc_score(classes, scores)),
        "out_of_scope_fpr": float(false_positives[place]),
    }


def _steps(scores: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers of accepted and of wrong rows at each distinct score, the highest score first."""
    order = np.argsort(-np.asarray(scores), kind="stable")
    descending = np.asarray(scores)[order]
    last = np.flatnonzero(np.append(descending[:-1] > descending[1:], True))
    return last + 1, np.cumsum(~np.asarray(right, dtype=bool)[order])[last]


def _threshold(scores: np.ndarray, accepted: int) -> float:
    """Returns a threshold that accepts that many rows, and the same ones after logits are rounded differently.

    It lies between two scores, and somewhat below the lowest score if it accepts all rows.
    """
    descending = np.sort(np.asarray(scores, dtype=np.float64))[::-1]
    lowest = float(descending[accepted - 1])
    if accepted == len(descending):
        return lowest - _LOGIT_ROUNDING * max(1.0, abs(lowest))
    below = float(descending[accepted])
    middle = (lowest + below) / 2
    return middle if middle > below else lowest
