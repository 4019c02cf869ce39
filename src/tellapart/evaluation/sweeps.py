"""Results of a hyperparameter sweep: the content of `sweep.json` and its tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from tellapart.evaluation.metrics import METRICS, metric_label
from tellapart.evaluation.trials import TOLERANCE, Interval, summarise
from tellapart.recipes.spaces import SearchSpace

SCHEMA_VERSION = 1

_TIES_NAMED = 8

State = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True)
class Scores:
    """Validation metrics of one setting, one per seed.

    Args:
        scores: Seed to metric, of the finished seeds.
        seconds: Wall time of training and evaluation, summed over the seeds.
        mean: Mean metric; None without a finished seed.
        interval: Confidence interval of the mean by Student's t; None for fewer than three seeds.
    """

    scores: dict[int, float]
    seconds: float
    mean: float | None
    interval: Interval | None


@dataclass(frozen=True)
class SweepTrial(Scores):
    """One combination of values, run on every seed.

    Args:
        number: Index in the order of trials, from 0.
        parameters: Path to value.
        state: `complete`; `pruned`, stopped early because it was worse than the median; or `failed`.
        error: Why it failed, else None.
    """

    number: int
    parameters: dict[str, Any]
    state: State = "complete"
    error: str | None = None


@dataclass(frozen=True)
class SweepBaseline(Scores):
    """A method that the trials are compared with, on the same seeds and rows.

    Args:
        method: Its name.
    """

    method: str


@dataclass(frozen=True)
class SweepResult:
    """Results of a sweep.

    Args:
        source: Source of the data.
        split_sizes: Split name to rows, of the last seed.
        encoder: Folder, Hub name or registered name, of the recipe that the search started from.
        method: Its method.
        metric: Name of the validation metric in `METRICS`.
        confidence: Confidence level of all intervals, 0 to 1.
        seeds: Seeds of each trial.
        spaces: The search spaces.
        trials: All trials in order; at least one is complete.
        baseline: The method they are compared with, or None.
        environment: Versions, device and threads of the runs.
        schema_version: Version of the JSON form.
    """

    source: str
    split_sizes: dict[str, int]
    encoder: str
    method: str
    metric: str
    confidence: float
    seeds: tuple[int, ...]
    spaces: tuple[SearchSpace, ...]
    trials: tuple[SweepTrial, ...]
    baseline: SweepBaseline | None
    environment: dict[str, Any]
    schema_version: int = SCHEMA_VERSION

    @property
    def best(self) -> SweepTrial:
        """The complete trial with the best mean metric; the first of `tied` ones."""
        highest = max(map(self.gain, self.complete))
        return next(trial for trial in self.complete if self.gain(trial) >= highest - TOLERANCE)

    @property
    def tied(self) -> list[SweepTrial]:
        """The complete trials whose mean metric equals that of the best one, which comes first."""
        best = self.gain(self.best)
        return [trial for trial in self.complete if self.gain(trial) >= best - TOLERANCE]

    @property
    def complete(self) -> list[SweepTrial]:
        """The complete trials."""
        return [trial for trial in self.trials if trial.state == "complete"]

    def gain(self, trial: SweepTrial) -> float:
        """Returns a trial's mean metric, negated if lower is better."""
        assert trial.mean is not None
        return trial.mean if METRICS[self.metric].greater_is_better else -trial.mean

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form: dictionaries, lists, strings, numbers and None."""
        content = TypeAdapter(SweepResult).dump_python(self, mode="json")
        best = self.best
        content["best"] = {
            "number": best.number,
            "parameters": best.parameters,
            "mean": best.mean,
            "tied": [trial.number for trial in self.tied[1:]],
        }
        return content


def summary(
    scores: Mapping[int, float], seconds: float, confidence: float, metric: str | None = None
) -> dict[str, Any]:
    """Computes the fields of `Scores`.

    Args:
        scores: Seed to metric.
        seconds: Total wall time.
        confidence: Confidence level of the interval, between 0 and 1.
        metric: Name in `METRICS`, which bounds the interval; None for no bounds.
    """
    fields: dict[str, Any] = {"scores": dict(scores), "seconds": round(seconds, 3)}
    if not scores:
        return fields | {"mean": None, "interval": None}
    amount = summarise(list(scores.values()), confidence, metric)
    return fields | {"mean": amount.mean, "interval": amount.interval}


def space_names(spaces: Sequence[SearchSpace]) -> dict[str, str]:
    """Returns a short name for each path: its last part if unique, else the whole path."""
    ends = [space.path.rpartition(".")[2] for space in spaces]
    return {
        space.path: end if ends.count(end) == 1 else space.path
        for space, end in zip(spaces, ends, strict=True)
    }


def value_text(value: Any) -> str:
    """Formats a value: floats with four digits, strings without quotes, anything else as JSON."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def parameters_text(result: SweepResult, trial: SweepTrial) -> str:
    """Formats the values of a trial: `tau=3, weight=0.5`."""
    names = space_names(result.spaces)
    return ", ".join(f"{names[path]}={value_text(value)}" for path, value in trial.parameters.items())


def shown_trials(result: SweepResult) -> list[SweepTrial]:
    """Returns the trials in table order: by value if one key was searched, else the best first."""
    if len(result.spaces) > 1:
        done = sorted(result.complete, key=lambda trial: -result.gain(trial))
        return done + [trial for trial in result.trials if trial.state != "complete"]
    space = result.spaces[0]
    if space.values is None:
        return sorted(result.trials, key=lambda trial: trial.parameters[space.path])
    order = list(space.values)
    return sorted(result.trials, key=lambda trial: order.index(trial.parameters[space.path]))


def sweep_rows(result: SweepResult) -> list[list[str]]:
    """Returns the table of trials; the first row is the header."""
    metric, names = METRICS[result.metric], space_names(result.spaces)
    header = [*names.values(), metric_label(result.metric), f"{100 * result.confidence:g} % interval"]
    if result.baseline is not None:
        header.append(f"vs {result.baseline.method}")
    rows, tied = [[*header, "state", "seconds"]], result.tied
    for trial in shown_trials(result):
        row = [value_text(trial.parameters[path]) for path in names]
        row.append("" if trial.mean is None else metric.display(trial.mean))
        row.append(metric.display_interval(trial.interval))
        if result.baseline is not None:
            change = _change(result, trial)
            row.append("" if change is None else metric.display(change, signed=True))
        best = "best" if len(tied) == 1 else "tied best"
        state = best if any(trial is one for one in tied) else trial.state
        rows.append([*row, state, f"{trial.seconds:.1f}"])
    return rows


def sweep_sentences(result: SweepResult) -> list[str]:
    """Summarises the trials: the best, the baseline, and the number pruned or failed."""
    metric, best = METRICS[result.metric], result.best
    assert best.mean is not None
    seeds = f"{len(result.seeds)} seed" + ("s" if len(result.seeds) > 1 else "")
    found = f"{metric_label(result.metric)} {metric.display(best.mean)} on the validation rows, {seeds}"
    sentences = [_tie_sentence(result, found) or f"best: {parameters_text(result, best)}: {found}"]
    if result.baseline is not None and result.baseline.mean is not None:
        change = _change(result, best)
        sentences.append(
            f"{result.baseline.method}: {metric.display(result.baseline.mean)}"
            + (
                ""
                if change is None
                else f"; the best differs from it by {metric.display(change, signed=True)}"
            )
        )
    for state, words in (("pruned", "stopped early, below the median of the others"), ("failed", "failed")):
        number = sum(trial.state == state for trial in result.trials)
        if number:
            sentences.append(f"{number} of {len(result.trials)} trials {words}")
    return sentences


def _tie_sentence(result: SweepResult, found: str) -> str:
    """Returns that several trials are best, and which of them counts as the best one; empty for a single winner."""
    tied = result.tied
    if len(tied) == 1:
        return ""
    named = "; ".join(parameters_text(result, trial) for trial in tied[:_TIES_NAMED])
    more = f"; and {len(tied) - _TIES_NAMED} more" if len(tied) > _TIES_NAMED else ""
    return (
        f"no single best: {len(tied)} of {len(result.complete)} complete trials tie at {found}: {named}{more}; "
        f"the recipe has the first of them, {parameters_text(result, tied[0])}"
    )


def best_so_far(result: SweepResult) -> list[tuple[int, float]]:
    """Returns the running best mean metric of the complete trials, as (trial number, metric)."""
    done = result.complete
    gains = np.maximum.accumulate([result.gain(trial) for trial in done])
    sign = 1 if METRICS[result.metric].greater_is_better else -1
    return [(trial.number, float(sign * gain)) for trial, gain in zip(done, gains, strict=True)]


def _change(result: SweepResult, trial: SweepTrial) -> float | None:
    """Returns the mean difference from the baseline; None if the trial lacks some of its seeds."""
    baseline = result.baseline
    if baseline is None or baseline.mean is None or trial.mean is None:
        return None
    return trial.mean - baseline.mean if trial.scores.keys() == baseline.scores.keys() else None
