"""Statistics of repeated runs: means with intervals, and differences over paired seeds.

Two methods that ran on the same seeds saw the same split, the same order of batches and the same initial
weights of the head. The difference within a seed is therefore much less noisy than the metrics themselves,
so the differences are tested. The intervals cover other seeds on the same evaluated rows, not other rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from scipy import stats

from tellapart.errors import UserError
from tellapart.evaluation.metrics import METRICS, Metric
from tellapart.evaluation.significance import POWER, holm, minimum_detectable_difference, wilcoxon_p_value

Interval = tuple[float, float]

FEWEST_SEEDS = 3
"""Seeds below which there are no intervals: Student's t of two runs is 12.7 times their standard error."""

TOLERANCE = 1e-12
"""Metrics are ratios of counts: smaller differences are rounding errors."""


@dataclass(frozen=True)
class TrialSummary:
    """Summary statistics of one method over its seeds.

    Args:
        mean: Mean metric.
        standard_deviation: Sample standard deviation (n − 1); None for one run.
        interval: Confidence interval of the mean by Student's t, within the bounds of the metric; None for fewer
            than three runs.
        trimmed_mean: Mean without the best and the worst run, as in the negative supervision paper; None for fewer
            than three runs.
        trials: Number of runs.
    """

    mean: float
    standard_deviation: float | None
    interval: Interval | None
    trimmed_mean: float | None
    trials: int


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Difference between a method and a baseline over paired seeds.

    Args:
        difference: Mean of method − baseline.
        standard_deviation: Standard deviation of the differences (n − 1); None for one pair.
        interval: Confidence interval of the difference by Student's t, within the bounds of the metric; None for
            fewer than three pairs. For constant differences it has zero width.
        p_value: Two-sided paired t test; None for one pair. For constant differences, where t is
            undefined, `permutation_p_value`.
        permutation_p_value: Two-sided sign-flip test: exact up to 13 pairs, with 9,999 draws beyond. It
            assumes less than the t test, but cannot go below 2 / 2ⁿ with n pairs. None for one pair.
        wilcoxon_p_value: Two-sided signed-rank test, see `tellapart.evaluation.significance`; with the same
            bound. None for one pair.
        adjusted_p_value: `p_value` after Holm's correction for `comparisons`; None for one pair.
        comparisons: Number of methods compared with the baseline.
        minimum_detectable_difference: The smallest true difference that the t test detects with a power of 0.8 at
            the level (1 − `confidence`) / `comparisons`; None for one pair or constant differences.
        wins: Seeds on which the method is better.
        ties: Seeds on which both are equal.
        losses: Seeds on which the method is worse.
        trials: Number of pairs.
        confidence: Confidence level of the interval, 0 to 1.
        error_reduction: Share of the baseline's errors that the method avoids, over the same seeds: difference /
            (best value − the baseline's mean), as in the paper on true negatives, footnote 10. Negative if the method
            is worse; None if the metric is not known or the baseline has no errors.
    """

    difference: float
    standard_deviation: float | None
    interval: Interval | None
    p_value: float | None
    permutation_p_value: float | None
    wilcoxon_p_value: float | None
    adjusted_p_value: float | None
    comparisons: int
    minimum_detectable_difference: float | None
    wins: int
    ties: int
    losses: int
    trials: int
    confidence: float
    error_reduction: float | None = None


def summarise(metrics: Sequence[float], confidence: float = 0.95, metric: str | None = None) -> TrialSummary:
    """Computes summary statistics of one method.

    Args:
        metrics: The metric of each run.
        confidence: Confidence level of the interval, between 0 and 1.
        metric: Its name in `METRICS`, which bounds the interval; None for no bounds.

    Raises:
        UserError: There are no runs, or `confidence` is not between 0 and 1.
    """
    values = np.asarray(metrics, dtype=np.float64)
    if len(values) == 0:
        raise UserError("there are no trials to summarise", "let at least one trial finish")
    return TrialSummary(
        mean=float(values.mean()),
        standard_deviation=_standard_deviation(values),
        interval=_mean_interval(values, confidence, _UNBOUNDED if metric is None else METRICS[metric].bounds),
        trimmed_mean=float(np.sort(values)[1:-1].mean()) if len(values) > 2 else None,
        trials=len(values),
    )


def paired_difference(
    baseline: Mapping[int, float],
    method: Mapping[int, float],
    confidence: float = 0.95,
    greater_is_better: bool = True,
    metric: str | None = None,
) -> PairedDifference:
    """Computes the paired difference of two methods.

    Args:
        baseline: Seed to metric.
        method: Seed to metric, for the same seeds.
        confidence: Confidence level of the interval, between 0 and 1.
        greater_is_better: Direction of the metric, which defines a win; `metric` overrides it.
        metric: Its name in `METRICS`: the direction, the bounds of the interval and the error reduction. None for an
            interval without bounds and no error reduction.

    Raises:
        UserError: The seeds are not the same, there are none, or `confidence` is not between 0 and 1.
    """
    if not baseline or set(baseline) != set(method):
        raise UserError(
            f"the trials are not paired: seeds {sorted(baseline)} against {sorted(method)}",
            "run both methods with the same seeds",
        )
    seeds = sorted(baseline)
    differences = np.array([method[seed] - baseline[seed] for seed in seeds], dtype=np.float64)
    differences[np.abs(differences) < TOLERANCE] = 0.0
    if np.ptp(differences) < TOLERANCE:
        differences[:] = differences[0]
    kind = Metric("", greater_is_better, bounds=_UNBOUNDED) if metric is None else METRICS[metric]
    low, high = kind.bounds
    gains = differences if kind.greater_is_better else -differences
    p_value = _t_p_value(differences)
    deviation = _standard_deviation(differences)
    return PairedDifference(
        difference=float(differences.mean()),
        standard_deviation=deviation,
        interval=_mean_interval(differences, confidence, (low - high, high - low)),
        p_value=p_value,
        permutation_p_value=_sign_flip_p_value(differences),
        wilcoxon_p_value=wilcoxon_p_value(differences),
        adjusted_p_value=p_value,
        comparisons=1,
        minimum_detectable_difference=_detectable(deviation, len(differences), 1 - confidence),
        wins=int((gains > 0).sum()),
        ties=int((gains == 0).sum()),
        losses=int((gains < 0).sum()),
        trials=len(seeds),
        confidence=confidence,
        error_reduction=_error_reduction(float(np.mean(list(baseline.values()))), float(gains.mean()), kind),
    )


Difference = TypeVar("Difference", bound=PairedDifference)


def corrected(pairs: Sequence[Difference]) -> list[Difference]:
    """Applies Holm's correction to the differences of several methods from one baseline.

    It keeps the probability of any false positive at 1 − `confidence`. The intervals are not adjusted.

    Args:
        pairs: One per method; those of a single seed have no p-value and are not counted.
    """
    tested = [pair for pair in pairs if pair.p_value is not None]
    adjusted = iter(holm([pair.p_value for pair in tested if pair.p_value is not None]))
    result = []
    for pair in pairs:
        if pair.p_value is not None:
            level = (1 - pair.confidence) / len(tested)
            pair = replace(
                pair,
                adjusted_p_value=next(adjusted),
                comparisons=len(tested),
                minimum_detectable_difference=_detectable(pair.standard_deviation, pair.trials, level),
            )
        result.append(pair)
    return result


def verdict(pair: PairedDifference, metric: str = "accuracy") -> str:
    """Formats the conclusion that the paired seeds support, in one sentence.

    "Better" and "worse" require three seeds and an adjusted p-value below 1 − `confidence`. For a single comparison
    this is equivalent to a t interval that excludes 0.

    Args:
        pair: From `paired_difference`.
        metric: The metric's name in `METRICS`, for its unit and its direction.
    """
    kind = METRICS[metric]
    unit = " points" if kind.percentage else ""
    change = kind.display(pair.difference, signed=True) + unit
    if pair.trials == 1:
        return f"{change} on one seed, which cannot show a difference"
    if pair.ties == pair.trials:
        return f"the same metric on all {pair.trials} seeds"
    if pair.interval is None or pair.p_value is None or pair.adjusted_p_value is None:
        return f"{change} on {pair.trials} seeds, too few to show a difference: take {FEWEST_SEEDS} or more"
    low, high = pair.interval
    several = f", Holm-adjusted p = {pair.adjusted_p_value:.2g} for {pair.comparisons} comparisons"
    adjusted = several if pair.comparisons > 1 else ""
    if low == high:
        return f"{change} on each of {pair.trials} seeds (sign-flip p = {pair.p_value:.2g}{adjusted})"
    level = f"{100 * pair.confidence:g} % interval"
    if pair.adjusted_p_value >= 1 - pair.confidence:
        spread = f"{kind.display(low, signed=True)} to {kind.display(high, signed=True)}"
        detectable = ""
        if pair.minimum_detectable_difference is not None:
            detectable = (
                f"; detectable with power {POWER:g}: {kind.display(pair.minimum_detectable_difference)}{unit}"
            )
        return f"no difference that {pair.trials} seeds could show: {change} ({level} {spread}{adjusted}{detectable})"
    word = "better" if (pair.difference > 0) == kind.greater_is_better else "worse"
    nearer, farther = sorted((abs(low), abs(high)))
    spread = f"{kind.display(nearer)} to {kind.display(farther)}"
    size = kind.display(abs(pair.difference)) + unit
    return f"{word} by {size} ({level} {spread}, {pair.trials} paired seeds{adjusted})"


_UNBOUNDED: Interval = (-np.inf, np.inf)


def _mean_interval(values: np.ndarray, confidence: float, bounds: Interval) -> Interval | None:
    if not 0 < confidence < 1:
        raise UserError(f"the confidence is {confidence}", "give a number between 0 and 1, such as 0.95")
    if len(values) < FEWEST_SEEDS:
        return None
    mean = float(values.mean())
    if np.ptp(values) == 0:
        return mean, mean
    half_width = float(stats.t.ppf((1 + confidence) / 2, df=len(values) - 1) * stats.sem(values))
    return max(mean - half_width, bounds[0]), min(mean + half_width, bounds[1])


def _error_reduction(baseline: float, gain: float, kind: Metric) -> float | None:
    """Returns the gain as a share of the distance between the baseline's mean and the best value."""
    errors = abs(kind.best - baseline)
    return gain / errors if np.isfinite(errors) and errors > TOLERANCE else None


def _standard_deviation(values: np.ndarray) -> float | None:
    if len(values) < 2:
        return None
    return float(values.std(ddof=1)) if np.ptp(values) else 0.0


def _detectable(deviation: float | None, trials: int, significance: float) -> float | None:
    if deviation is None:
        return None
    return minimum_detectable_difference(deviation, trials, significance=significance)


def _t_p_value(differences: np.ndarray) -> float | None:
    if np.ptp(differences) == 0:
        return _sign_flip_p_value(differences)
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def _sign_flip_p_value(differences: np.ndarray) -> float | None:
    if len(differences) < 2:
        return None
    test = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=9999,
        rng=np.random.default_rng(0),
    )
    return float(test.pvalue)
