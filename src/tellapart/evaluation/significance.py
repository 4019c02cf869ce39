"""Significance tests: Holm's correction, Wilcoxon, McNemar, power, paired intervals.

Every test here is two-sided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from tellapart.errors import UserError

POWER = 0.8
"""Conventional power of a test for its minimum detectable difference."""

_DECIMALS = 12  # metrics are ratios of counts: smaller differences are rounding errors and count as ties
_EXACT_WITH_TIES = 13  # with at most so many differences, all 8,192 sign patterns are enumerated


@dataclass(frozen=True)
class Flips:
    """Rows on which exactly one of two models is correct, over one or several seeds.

    Args:
        gained: Rows that only the method predicts correctly, summed over the seeds.
        lost: Rows that only the baseline predicts correctly.
        texts_gained: Distinct texts gained under more seeds than lost.
        texts_lost: Distinct texts lost under more seeds than gained.
        p_value: McNemar's exact test on the distinct texts; each counts once, however many seeds tested it.
    """

    gained: int
    lost: int
    texts_gained: int
    texts_lost: int
    p_value: float


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusts the p-values of several tests to control the family-wise error rate.

    The i-th smallest of m, counted from 0, is multiplied by m − i; none becomes smaller than one before it, nor
    larger than 1 (Holm 1979, A Simple Sequentially Rejective Multiple Test Procedure).

    Args:
        p_values: One per test, in any order.

    Returns:
        The adjusted p-values in the same order, to be compared with the level of a single test.
    """
    raw = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(raw, kind="stable")
    scaled = raw[order] * np.arange(len(raw), 0, -1)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted.tolist()


def wilcoxon_p_value(differences: Sequence[float] | np.ndarray) -> float | None:
    """Wilcoxon's signed-rank test of differences against a median of 0.

    Exact up to 50 differences, with ties up to 13; beyond that, by the normal approximation.
    Differences of 0 are left out (Wilcoxon 1945, Individual Comparisons by Ranking Methods).

    Args:
        differences: One per pair.

    Returns:
        The p-value; 1 if all differences are 0, None for fewer than two.
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2:
        return None
    values = np.round(values, _DECIMALS)
    values = values[values != 0]
    if len(values) == 0:
        return 1.0
    ranks = stats.rankdata(np.abs(values))
    if len(values) <= _EXACT_WITH_TIES and len(np.unique(ranks)) < len(ranks):
        # The same p-value as SciPy's PermutationMethod, but vectorized: 0.1 s instead of 5 s for 13 differences.
        signed = (ranks * np.sign(values),)
        test = stats.permutation_test(
            signed, np.sum, permutation_type="samples", vectorized=True, n_resamples=np.inf
        )
        return float(test.pvalue)
    return float(stats.wilcoxon(values).pvalue)


def minimum_detectable_difference(
    standard_deviation: float, trials: int, *, significance: float = 0.05, power: float = POWER
) -> float | None:
    """Computes the smallest true difference that a paired t test detects with a given power.

    The power of the test is that of the noncentral t distribution at δ·√n / s (Cohen 1988, Statistical Power
    Analysis for the Behavioral Sciences, ch. 2); the probability of rejecting in the wrong direction is
    ignored. With few pairs, the result is as imprecise as s.

    Args:
        standard_deviation: s of the paired differences.
        trials: Number of pairs, n.
        significance: Level of the test; divide it by the number of comparisons if there are several.
        power: Probability of detection.

    Returns:
        δ, in the unit of s; None for fewer than two pairs or constant differences, for which t is undefined.

    Raises:
        UserError: `power` does not lie between `significance` and 1.
    """
    if not 0 < significance < power < 1:
        raise UserError(
            f"a power of {power} at a significance of {significance} is not possible",
            "give a power between the significance and 1, such as 0.8",
        )
    if trials < 2 or standard_deviation <= 0:
        return None
    freedom = trials - 1
    critical = stats.t.isf(significance / 2, freedom)

    def lacking(noncentrality: float) -> float:
        return float(stats.nct.sf(critical, freedom, noncentrality)) - power

    highest = 1.0
    while lacking(highest) < 0:
        highest *= 2
    noncentrality = optimize.brentq(lacking, 0.0, highest, xtol=1e-10)
    return float(noncentrality * standard_deviation / np.sqrt(trials))


def mcnemar(baseline: np.ndarray, method: np.ndarray) -> Flips:
    """McNemar's exact test of two models on the same rows.

    Only rows on which exactly one model is correct count; under the null hypothesis either model is equally likely
    to be the correct one (McNemar 1947, Note on the Sampling Error of the Difference Between Correlated Proportions).

    Args:
        baseline: Whether the baseline predicts each row correctly, bool (N,).
        method: The same for the other model on the same rows.
    """
    return pooled_mcnemar({0: baseline}, {0: method}, {0: np.arange(len(baseline))})


def pooled_mcnemar(
    baseline: Mapping[int, np.ndarray], method: Mapping[int, np.ndarray], texts: Mapping[int, np.ndarray]
) -> Flips:
    """McNemar's exact test over several seeds.

    A text tested under several seeds counts once: as gained if it was gained under more seeds than lost, as lost if
    it was the other way round.

    Args:
        baseline: Seed to whether the baseline predicts each row correctly, bool (N,).
        method: The same for the other model on the same seeds and rows.
        texts: Seed to the text id of each row, int (N,); equal texts have equal ids.
    """
    gained = lost = 0
    net: np.ndarray = np.zeros(1 + max(int(numbers.max(initial=-1)) for numbers in texts.values()), np.int64)
    for seed, numbers in texts.items():
        before, after = np.asarray(baseline[seed], dtype=bool), np.asarray(method[seed], dtype=bool)
        gained += int((after & ~before).sum())
        lost += int((before & ~after).sum())
        np.add.at(net, numbers, after.astype(np.int64) - before)
    up, down = int((net > 0).sum()), int((net < 0).sum())
    p_value = float(stats.binomtest(up, up + down).pvalue) if up + down else 1.0
    return Flips(gained, lost, up, down, p_value)


def paired_share_interval(
    before: np.ndarray, after: np.ndarray, confidence: float = 0.95
) -> tuple[float, float]:
    """Computes a confidence interval of the difference of two paired proportions, after − before.

    Newcombe 1998 (Improved Confidence Intervals for the Difference Between Binomial Proportions Based on Paired
    Data), method 10: Wilson's intervals of both proportions, combined using their correlation. It stays within −1
    and 1, and has a positive width even if no row changes.

    Args:
        before: Whether each row is correct, bool (N,), at least one row.
        after: The same after the change.
        confidence: Between 0 and 1.
    """
    before, after = np.asarray(before, dtype=bool), np.asarray(after, dtype=bool)
    rows = len(before)
    share, later = before.mean(), after.mean()
    low, high = _wilson(int(before.sum()), rows, confidence)
    later_low, later_high = _wilson(int(after.sum()), rows, confidence)
    correlation = _continuity_corrected_correlation(before, after)

    def reach(one: float, other: float) -> float:
        return float(np.sqrt(max(one**2 - 2 * correlation * one * other + other**2, 0.0)))

    difference = float(later - share)
    return difference - reach(later - later_low, high - share), difference + reach(
        later_high - later, share - low
    )


def _wilson(hits: int, rows: int, confidence: float) -> tuple[float, float]:
    interval = stats.binomtest(hits, rows).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def _continuity_corrected_correlation(before: np.ndarray, after: np.ndarray) -> float:
    both, first = int((before & after).sum()), int((before & ~after).sum())
    second, neither = int((~before & after).sum()), int((~before & ~after).sum())
    margins = float(both + first) * (second + neither) * (both + second) * (first + neither)
    if margins == 0:
        return 0.0
    product = float(both * neither - first * second)
    if product > 0:
        product = max(product - len(before) / 2, 0.0)
    return product / float(np.sqrt(margins))
