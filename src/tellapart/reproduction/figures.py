"""Results of a reproduced table: the paper's figure and ours for each cell, with intervals and tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tellapart.errors import DataError, damaged
from tellapart.evaluation.trials import (
    Interval,
    PairedDifference,
    corrected,
    paired_difference,
    summarise,
    verdict,
)
from tellapart.reproduction.protocols import Protocol

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class RowDifference(PairedDifference):
    """Difference of a row to its baseline, corrected for all such differences in the column.

    Args:
        baseline: Key of the baseline row.
        method: Key of the row.
    """

    baseline: str
    method: str


@dataclass(frozen=True)
class CellFigures:
    """Figures of one row in one column for one metric.

    Args:
        paper: The paper's figure in its unit; None if it has none.
        scores: Seed to score of the finished trials.
        missing: Seed to reason for the other trials.
        mean: Mean score; None without scores, as are the following.
        trimmed_mean: Mean without the best and the worst; None for fewer than three scores.
        standard_deviation: Sample standard deviation; None for one score.
        interval: Confidence interval of the mean; None for fewer than three scores.
        difference: Difference to the row's baseline over the seeds that both finished; None for the baseline itself.
        verdict: The conclusion from the difference in a sentence; empty without a difference.
        seen_rows: Number of evaluated rows whose text is also in train; the maximum over the trials.
        unseen_mean: Mean score on the other rows; None if no rows, or all rows, are seen.
        seconds: Mean wall time of a trial.
    """

    paper: float | None
    scores: dict[int, float]
    missing: dict[int, str]
    mean: float | None = None
    trimmed_mean: float | None = None
    standard_deviation: float | None = None
    interval: Interval | None = None
    difference: RowDifference | None = None
    verdict: str = ""
    seen_rows: int = 0
    unseen_mean: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class ColumnData:
    """The data set of a column.

    Args:
        split_sizes: Split name to number of rows; empty if it could not be read.
        fingerprint: SHA-256 of all rows, see `tellapart.data.fingerprints`.
        known_overlap: Number of test texts that are also in train; None if not counted.
        note: Known problems that distort results.
        source: The source, if it differs from the column's.
    """

    split_sizes: dict[str, int]
    fingerprint: str | None = None
    known_overlap: int | None = None
    note: str = ""
    source: str = ""


@dataclass(frozen=True)
class ColumnResult:
    """A column: its data set, and metric to row to figures."""

    data: ColumnData
    metrics: dict[str, dict[str, CellFigures]]


@dataclass(frozen=True)
class Reproduction:
    """All results of a table.

    Args:
        table: Name of the protocol.
        protocol: The protocol.
        command: The command that reproduces it.
        encoders: Role to encoder.
        settings: The user's changes.
        seeds: One per trial.
        confidence: Confidence level of all intervals, 0 to 1.
        columns: Key to results, in the protocol's order.
        environment: Versions, device and threads of the last run.
        other_environments: Environments of trials that were run elsewhere.
        pictures: Files beside the page, by title: label distances as heat maps.
        schema_version: Version of the JSON form.
    """

    table: str
    protocol: Protocol
    command: str
    encoders: dict[str, str]
    settings: tuple[str, ...]
    seeds: tuple[int, ...]
    confidence: float
    columns: dict[str, ColumnResult]
    environment: dict[str, Any]
    other_environments: tuple[dict[str, Any], ...] = ()
    pictures: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form: dictionaries, lists, strings, numbers and None."""
        return TypeAdapter(Reproduction).dump_python(self, mode="json")

    @classmethod
    def from_dict(cls, content: Any) -> Reproduction:
        """Reads the JSON form.

        Raises:
            DataError: It is not a reproduction, or has another schema version.
        """
        version = content.get("schema_version") if isinstance(content, dict) else None
        if version != SCHEMA_VERSION:
            raise DataError(
                f"this is not a reproduction of schema version {SCHEMA_VERSION} (found: {version})",
                "use JSON written by this version of tellapart",
            )
        try:
            return TypeAdapter(Reproduction).validate_python(content)
        except ValidationError as error:
            raise damaged("reproduction", error, "run the table again") from error


def column_figures(
    protocol: Protocol,
    column: str,
    trials: Mapping[str, Sequence[Mapping[str, Any]]],
    missing: Mapping[str, Mapping[int, str]],
    confidence: float = 0.95,
) -> dict[str, dict[str, CellFigures]]:
    """Computes the figures of a column from its trials.

    Args:
        protocol: The table.
        column: Key of the column.
        trials: Row to the contents of its trials' files, in the order of the seeds.
        missing: Row to seed to the reason why there is no trial.
        confidence: Confidence level of the intervals, between 0 and 1.

    Returns:
        Metric to row to figures, for every row of the protocol.
    """
    return {
        metric: _figures(protocol, column, metric, trials, missing, confidence)
        for metric in protocol.columns[column].metrics
    }


def _figures(
    protocol: Protocol,
    column: str,
    metric: str,
    trials: Mapping[str, Sequence[Mapping[str, Any]]],
    missing: Mapping[str, Mapping[int, str]],
    confidence: float,
) -> dict[str, CellFigures]:
    scores = {
        row: {trial["seed"]: trial["metrics"][metric] for trial in trials.get(row, ())}
        for row in protocol.rows
    }
    pairs = corrected(
        [
            _difference(protocol.baseline_of(row), row, scores, metric, confidence)
            for row in protocol.rows
            if scores[row].keys() & scores[protocol.baseline_of(row)].keys()
            and row != protocol.baseline_of(row)
        ]
    )
    differences = {pair.method: pair for pair in pairs}
    return {
        row: CellFigures(
            paper=protocol.figure(row, column, metric),
            missing=dict(missing.get(row, {})),
            scores=scores[row],
            difference=differences.get(row),
            verdict=verdict(differences[row], metric) if row in differences else "",
            **_summary(trials.get(row, ()), metric, confidence),
        )
        for row in protocol.rows
    }


def _difference(
    baseline: str, row: str, scores: Mapping[str, Mapping[int, float]], metric: str, confidence: float
) -> RowDifference:
    shared = scores[baseline].keys() & scores[row].keys()
    paired = paired_difference(
        {seed: scores[baseline][seed] for seed in shared},
        {seed: scores[row][seed] for seed in shared},
        confidence,
        metric=metric,
    )
    return RowDifference(baseline=baseline, method=row, **asdict(paired))


def _summary(trials: Sequence[Mapping[str, Any]], metric: str, confidence: float) -> dict[str, Any]:
    if not trials:
        return {}
    summary = summarise([trial["metrics"][metric] for trial in trials], confidence, metric)
    seen_rows = max(trial.get("seen_rows", 0) for trial in trials)
    # A trial without such a row counts with its score: the mean is over all seeds.
    others = [trial.get("unseen") if trial.get("seen_rows", 0) else trial["metrics"] for trial in trials]
    unseen = [metrics[metric] for metrics in others if seen_rows and metrics and metric in metrics]
    return {
        "mean": summary.mean,
        "trimmed_mean": summary.trimmed_mean,
        "standard_deviation": summary.standard_deviation,
        "interval": summary.interval,
        "seen_rows": seen_rows,
        "unseen_mean": sum(unseen) / len(unseen) if unseen else None,
        "seconds": sum(trial["seconds"] for trial in trials) / len(trials),
    }
