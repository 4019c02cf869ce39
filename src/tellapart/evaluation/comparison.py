"""Comparison of methods over paired seeds: the content of `comparison.json`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from tellapart.errors import DataError, UserError, damaged
from tellapart.evaluation.confusions import Confusions, as_confusions, cells, pair_sums, values_at
from tellapart.evaluation.significance import Flips, pooled_mcnemar
from tellapart.evaluation.trials import (
    Interval,
    PairedDifference,
    corrected,
    paired_difference,
    summarise,
)

SCHEMA_VERSION = 2

PAIRS_SHOWN = 10
"""Maximum number of class pairs of each kind in a comparison."""


@dataclass(frozen=True)
class Trial:
    """One seed run of one method.

    Args:
        seed: The seed.
        score: The comparison's metric on the evaluated rows; None if the run failed.
        metrics: All metrics of the run.
        seconds: Wall time of training and evaluation.
        error: Why the run failed, else None.
        seen_rows: Evaluated rows whose text is also in train, see `tellapart.evaluation.task.unseen_rows`.
        unseen_score: The metric on the other rows; None if no row or every row is seen.
    """

    seed: int
    score: float | None
    metrics: dict[str, float]
    seconds: float
    error: str | None = None
    seen_rows: int = 0
    unseen_score: float | None = None


@dataclass(frozen=True)
class MetricSummary:
    """Summary statistics of one metric over the finished runs of a method; None as in `MethodResult`."""

    mean: float
    standard_deviation: float | None
    interval: Interval | None


@dataclass(frozen=True)
class MethodResult:
    """The seed runs of one method and their summary statistics, None if no run finished.

    Args:
        trials: One per seed, in their order.
        mean: Mean metric of the finished runs.
        standard_deviation: Sample standard deviation; None for one run.
        interval: Confidence interval of the mean; None for fewer than three runs.
        trimmed_mean: Mean without the best and the worst run; None for fewer than three.
        seconds: Mean wall time of a finished run.
        metrics: Every metric of the runs by name, such as P@1 and MRR where MAP is compared.
    """

    trials: tuple[Trial, ...]
    mean: float | None = None
    standard_deviation: float | None = None
    interval: Interval | None = None
    trimmed_mean: float | None = None
    seconds: float | None = None
    metrics: dict[str, MetricSummary] = field(default_factory=dict)

    @property
    def scores(self) -> dict[int, float]:
        """Seed to metric, of the finished runs."""
        return {trial.seed: trial.score for trial in self.trials if trial.score is not None}


@dataclass(frozen=True, kw_only=True)
class MethodPair(PairedDifference):
    """The difference between two methods over the seeds that both finished.

    P-values are adjusted for the number of pairs with the same `baseline`.

    Args:
        baseline: The earlier of the two methods.
        method: The later one.
        flips: Rows on which exactly one of them is correct; None if predictions are missing.
    """

    baseline: str
    method: str
    flips: Flips | None = None


@dataclass(frozen=True)
class ConfusablePair:
    """Two classes and how often each method confuses them.

    Args:
        a: The first class.
        b: The second class.
        errors: Method to rows of a predicted as b plus rows of b predicted as a, mean over its seeds.
    """

    a: str
    b: str
    errors: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """Results of a comparison.

    Args:
        source: Source of the data.
        split_sizes: Split name to rows.
        encoder: Folder, Hub name or registered name.
        metric: Name of the compared metric in `METRICS`.
        confidence: Confidence level of all intervals, 0 to 1.
        seeds: The same for all methods.
        methods: Method name to its results; the first is the baseline.
        pairs: The difference for each two methods that share finished seeds, the earlier as baseline.
        confusable_pairs: The ten class pairs that the baseline confuses most; then at most ten pairs that
            another method confuses as often.
        environment: Versions, device and threads of the runs.
        notes: Sentences on what the methods do not share.
        schema_version: Version of the JSON form.
    """

    source: str
    split_sizes: dict[str, int]
    encoder: str
    metric: str
    confidence: float
    seeds: tuple[int, ...]
    methods: dict[str, MethodResult]
    pairs: tuple[MethodPair, ...]
    confusable_pairs: tuple[ConfusablePair, ...]
    environment: dict[str, Any]
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    @property
    def baseline(self) -> str:
        """The method that the others are compared with: the first."""
        return next(iter(self.methods))

    def pair(self, method: str) -> MethodPair | None:
        """Returns the difference of a method to the baseline, or None for the baseline itself."""
        return next(
            (pair for pair in self.pairs if (pair.baseline, pair.method) == (self.baseline, method)), None
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form: dictionaries, lists, strings, numbers and None."""
        return TypeAdapter(Comparison).dump_python(self, mode="json")

    @classmethod
    def from_dict(cls, content: Any) -> Comparison:
        """Reads the JSON form; fields that schema version 1 lacks are computed from its seed runs.

        Raises:
            DataError: It is not a comparison, or one of another schema version.
        """
        version = content.get("schema_version") if isinstance(content, dict) else None
        if version not in (1, SCHEMA_VERSION):
            raise DataError(
                f"this is not a comparison of schema version {SCHEMA_VERSION} (found: {version})",
                "give a comparison.json that this version of tellapart wrote",
            )
        try:
            if version == 1:
                content = {**content, "pairs": [], "schema_version": SCHEMA_VERSION}
            comparison = TypeAdapter(Comparison).validate_python(content)
        except ValidationError as error:
            raise damaged("comparison", error, "run the comparison again") from error
        if version == 1:
            pairs = _method_pairs(comparison.methods, comparison.metric, comparison.confidence)
            return replace(comparison, pairs=pairs)
        return comparison


def build_comparison(
    trials: Mapping[str, Sequence[Trial]],
    confusions: Mapping[str, Sequence[Any]],
    *,
    class_names: Sequence[str],
    metric: str,
    source: str,
    split_sizes: Mapping[str, int],
    encoder: str,
    environment: Mapping[str, Any],
    confidence: float = 0.95,
    correct: Mapping[str, Mapping[int, np.ndarray]] = MappingProxyType({}),
    texts: Mapping[int, np.ndarray] = MappingProxyType({}),
    notes: Sequence[str] = (),
) -> Comparison:
    """Builds a comparison from the results of all seed runs.

    Args:
        trials: Method to its trials, the baseline first. Failed trials count for nothing but are kept.
        confusions: Method to one confusion matrix (K, K; rows are gold; dense or sparse) a finished trial.
        class_names: The K classes.
        metric: Name of the compared metric in `METRICS`.
        source: Source of the data.
        split_sizes: Split name to rows.
        encoder: Folder, Hub name or registered name.
        environment: Versions, device and threads of the runs; JSON values.
        confidence: Confidence level of the intervals, between 0 and 1.
        correct: Method to seed to whether each evaluated row is correct, bool (N,); runs may be missing.
        texts: Seed to the text id of each evaluated row, int (N,); equal texts have equal ids.
        notes: Sentences on what the methods do not share.

    Raises:
        UserError: There is no method, or two methods ran with different seeds.
    """
    seeds_by_method = {name: tuple(trial.seed for trial in runs) for name, runs in trials.items()}
    if len({frozenset(seeds) for seeds in seeds_by_method.values()}) != 1:
        raise UserError(
            f"the methods have no seeds in common to be compared by: {seeds_by_method}",
            "run every method with the same seeds",
        )
    methods = {name: _method_result(runs, confidence, metric) for name, runs in trials.items()}
    return Comparison(
        source=source,
        split_sizes=dict(split_sizes),
        encoder=encoder,
        metric=metric,
        confidence=confidence,
        seeds=next(iter(seeds_by_method.values())),
        methods=methods,
        pairs=_method_pairs(methods, metric, confidence, correct, texts),
        confusable_pairs=_confusable_pairs(confusions, class_names),
        environment=dict(environment),
        notes=tuple(notes),
    )


def _method_result(trials: Sequence[Trial], confidence: float, metric: str) -> MethodResult:
    finished = [trial for trial in trials if trial.score is not None]
    if not finished:
        return MethodResult(tuple(trials))
    summary = summarise([trial.score for trial in finished if trial.score is not None], confidence, metric)
    return MethodResult(
        trials=tuple(trials),
        mean=summary.mean,
        standard_deviation=summary.standard_deviation,
        interval=summary.interval,
        trimmed_mean=summary.trimmed_mean,
        seconds=float(np.mean([trial.seconds for trial in finished])),
        metrics={name: _metric_summary(finished, name, confidence) for name in _shared_metrics(finished)},
    )


def _shared_metrics(finished: Sequence[Trial]) -> list[str]:
    """Returns the metrics that all runs have, in the order of the first one."""
    return [name for name in finished[0].metrics if all(name in trial.metrics for trial in finished)]


def _metric_summary(finished: Sequence[Trial], metric: str, confidence: float) -> MetricSummary:
    summary = summarise([trial.metrics[metric] for trial in finished], confidence, metric)
    return MetricSummary(summary.mean, summary.standard_deviation, summary.interval)


def _method_pairs(
    methods: Mapping[str, MethodResult],
    metric: str,
    confidence: float,
    correct: Mapping[str, Mapping[int, np.ndarray]] = MappingProxyType({}),
    texts: Mapping[int, np.ndarray] = MappingProxyType({}),
) -> tuple[MethodPair, ...]:
    pairs: list[MethodPair] = []
    names = list(methods)
    for place, baseline in enumerate(names):
        against_it = []
        for method in names[place + 1 :]:
            before, after = methods[baseline].scores, methods[method].scores
            shared = before.keys() & after.keys()
            if shared:
                paired = paired_difference(
                    {seed: before[seed] for seed in shared},
                    {seed: after[seed] for seed in shared},
                    confidence,
                    metric=metric,
                )
                flips = _flips(correct.get(baseline, {}), correct.get(method, {}), texts, shared)
                against_it.append(MethodPair(baseline=baseline, method=method, flips=flips, **asdict(paired)))
        pairs += corrected(against_it)
    return tuple(pairs)


def _flips(
    before: Mapping[int, np.ndarray],
    after: Mapping[int, np.ndarray],
    texts: Mapping[int, np.ndarray],
    seeds: Collection[int],
) -> Flips | None:
    """Returns None unless the rows of all seeds are known; a partial count would be misleading."""
    if not all(seed in before and seed in after and seed in texts for seed in seeds):
        return None
    return pooled_mcnemar(before, after, {seed: texts[seed] for seed in seeds})


def _confusable_pairs(
    confusions: Mapping[str, Sequence[Any]], class_names: Sequence[str]
) -> tuple[ConfusablePair, ...]:
    errors = {method: _pair_errors(matrices) for method, matrices in confusions.items() if len(matrices)}
    if not errors:
        return ()
    before = next(iter(errors.values()))
    shown = _worst_pairs(before)
    worst_after = before
    for other in errors.values():
        worst_after = as_confusions(worst_after.maximum(other))
    bad = _errors_of(before, shown[-1:])[0] if shown else 0.0
    became = _worst_pairs(as_confusions(worst_after - before))
    shown += [pair for pair, most in zip(became, _errors_of(worst_after, became), strict=True) if most >= bad]
    listed = list(dict.fromkeys(shown))
    columns = {method: _errors_of(mean, listed) for method, mean in errors.items()}
    return tuple(
        ConfusablePair(class_names[a], class_names[b], {method: own[row] for method, own in columns.items()})
        for row, (a, b) in enumerate(listed)
    )


def _pair_errors(matrices: Sequence[Any]) -> Confusions:
    """Returns the mean errors per run of each class pair, both directions summed above the diagonal (K, K)."""
    first, *others = map(as_confusions, matrices)
    return pair_sums(as_confusions(sum(others, first) / len(matrices)))


def _errors_of(errors: Confusions, pairs: Sequence[tuple[int, int]]) -> list[float]:
    first, second = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return [float(one) for one in values_at(errors, first, second)]


def _worst_pairs(errors: Confusions) -> list[tuple[int, int]]:
    """Returns the ids of the pairs with the most errors, of equal ones the first by id."""
    first, second, counts = cells(errors)
    worst = np.argsort(-counts, kind="stable")[:PAIRS_SHOWN]
    return [(int(first[row]), int(second[row])) for row in worst if counts[row] > 0]
