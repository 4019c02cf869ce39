"""A table that was run again: what the paper found in each cell beside what was found here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tellapart.errors import DataError
from tellapart.evaluation.metrics import METRICS
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
    """What a row changes against another one, corrected for all such differences in its column.

    Args:
        baseline: The key of the other row.
        method: The key of the row.
    """

    baseline: str
    method: str


@dataclass(frozen=True)
class CellFigures:
    """One row in one column by one metric.

    Args:
        paper: What the paper has, in its unit; None where it has nothing.
        scores: Seed to score, of the finished trials.
        missing: Seed to the reason, of the others.
        mean: Mean of the scores; None where there is none, as for all that follow.
        trimmed_mean: Mean without the best and the worst; None for fewer than three.
        standard_deviation: Of the sample; None for one score.
        interval: Confidence interval of the mean; None for one score.
        difference: To the row's baseline, over the seeds that both finished; None for the baseline itself.
        verdict: What that shows, in a sentence; empty where there is no difference.
        seen_rows: Evaluated rows whose text is also in train, the most of any trial.
        unseen_mean: Mean score on the other rows; None where there are no seen rows, or only such.
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
    """The rows that a column stands for.

    Args:
        split_sizes: Split name to rows, as the source has them; empty where it could not be read.
        fingerprint: SHA-256 of all rows, see `tellapart.data.fingerprints`.
        known_overlap: Test texts that are known to be in train too; None where nobody has counted.
        note: What is known to distort results.
        source: What the rows come from, where it is not what the column names.
    """

    split_sizes: dict[str, int]
    fingerprint: str | None = None
    known_overlap: int | None = None
    note: str = ""
    source: str = ""


@dataclass(frozen=True)
class ColumnResult:
    """A column: its rows, and metric to row to figures."""

    data: ColumnData
    metrics: dict[str, dict[str, CellFigures]]


@dataclass(frozen=True)
class Reproduction:
    """Everything that was found for a table.

    Args:
        table: The protocol's name.
        protocol: The protocol.
        command: What makes it again.
        encoders: Role to encoder, as they were used.
        settings: The user's changes.
        seeds: One a trial.
        confidence: Of all intervals, 0 to 1.
        columns: Key to what was found, in the protocol's order.
        environment: Versions, device and threads of the run that wrote this.
        other_environments: Those of trials that were made elsewhere.
        schema_version: Of the JSON form.
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
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form: dictionaries, lists, strings, numbers and None."""
        return TypeAdapter(Reproduction).dump_python(self, mode="json")

    @classmethod
    def from_dict(cls, content: Any) -> Reproduction:
        """Reads the JSON form.

        Raises:
            DataError: It is none, or one of another schema version.
        """
        version = content.get("schema_version") if isinstance(content, dict) else None
        if version != SCHEMA_VERSION:
            raise DataError(
                f"this is no reproduction of schema version {SCHEMA_VERSION} (found: {version})",
                "give the JSON that this version of tellapart wrote",
            )
        try:
            return TypeAdapter(Reproduction).validate_python(content)
        except ValidationError as error:
            place = ".".join(map(str, error.errors()[0]["loc"]))
            raise DataError(
                f"the reproduction is damaged at {place} ({error.errors()[0]['msg']})", "make it again"
            ) from error


def column_figures(
    protocol: Protocol,
    column: str,
    trials: Mapping[str, Sequence[Mapping[str, Any]]],
    missing: Mapping[str, Mapping[int, str]],
    confidence: float = 0.95,
) -> dict[str, dict[str, CellFigures]]:
    """Turns the trials of a column into its figures.

    Args:
        protocol: The table.
        column: A key of its columns.
        trials: Row to the contents of its trials' files, in the order of the seeds.
        missing: Row to seed to the reason why there is no trial.
        confidence: Of the intervals, between 0 and 1.

    Returns:
        Metric to row to figures; every row of the protocol is there.
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
    figures = {}
    for row in protocol.rows:
        pair = differences.get(row)
        given: dict[str, Any] = {
            "paper": protocol.figure(row, column, metric),
            "missing": dict(missing.get(row, {})),
        }
        figures[row] = CellFigures(
            **given,
            scores=scores[row],
            difference=pair,
            verdict=verdict(pair, metric) if pair else "",
            **_summary(trials.get(row, ()), metric, confidence),
        )
    return figures


def _difference(
    baseline: str, row: str, scores: Mapping[str, Mapping[int, float]], metric: str, confidence: float
) -> RowDifference:
    shared = scores[baseline].keys() & scores[row].keys()
    paired = paired_difference(
        {seed: scores[baseline][seed] for seed in shared},
        {seed: scores[row][seed] for seed in shared},
        confidence,
        METRICS[metric].greater_is_better,
    )
    return RowDifference(baseline=baseline, method=row, **asdict(paired))


def _summary(trials: Sequence[Mapping[str, Any]], metric: str, confidence: float) -> dict[str, Any]:
    if not trials:
        return {}
    summary = summarise([trial["metrics"][metric] for trial in trials], confidence)
    unseen = [trial["unseen"][metric] for trial in trials if metric in (trial.get("unseen") or {})]
    return {
        "mean": summary.mean,
        "trimmed_mean": summary.trimmed_mean,
        "standard_deviation": summary.standard_deviation,
        "interval": summary.interval,
        "seen_rows": max(trial.get("seen_rows", 0) for trial in trials),
        "unseen_mean": sum(unseen) / len(unseen) if unseen else None,
        "seconds": sum(trial["seconds"] for trial in trials) / len(trials),
    }
