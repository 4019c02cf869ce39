"""The trials of a sweep as an Optuna study in a SQLite file, from which a killed sweep continues."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tellapart.errors import MissingDependencyError, OutputError, TellapartError, UserError
from tellapart.evaluation.sweeps import SweepTrial, summary
from tellapart.recipes.spaces import SearchSpace, combinations

if TYPE_CHECKING:
    import optuna

TRIALS = 20  # of ranges, if the user names no number
_GRID, _SAMPLED = "grid", "sampled"


@dataclass(frozen=True)
class OpenTrial:
    """A combination of values to be run next.

    Args:
        number: Its place in the order of the trials, from 0.
        parameters: Path to value.
        handle: Optuna's trial, for intermediate scores and pruning.
    """

    number: int
    parameters: dict[str, Any]
    handle: optuna.Trial


class SweepStudy:
    """Proposes combinations of values and records their scores.

    Lists, and ranges with no more values than trials, are tried exhaustively in seeded random order. Other ranges
    are searched by Optuna's tree-structured Parzen estimator (Bergstra et al. 2011, Algorithms for Hyper-Parameter
    Optimization, §4). Its draws depend only on the seed and the finished trials, so a resumed search draws the same.

    Args:
        study: Optuna's study.
        spaces: The search spaces.
        trials: Number of combinations; None for all of a grid, else 20.
        seed: Seed of the order and the draws.
    """

    def __init__(
        self, study: optuna.Study, spaces: Sequence[SearchSpace], trials: int | None, seed: int
    ) -> None:
        self.study, self.spaces, self.seed = study, spaces, seed
        size = math.prod(space.size for space in spaces)
        if "kind" not in study.user_attrs:  # kept, so that other --trials on resuming change no order
            listed = all(space.values is not None for space in spaces)
            study.set_user_attr("kind", _GRID if listed or size <= (trials or TRIALS) else _SAMPLED)
        self.grid: list[dict[str, Any]] | None = None
        self.trials = trials or TRIALS
        if study.user_attrs["kind"] == _GRID:
            rows = combinations(spaces)
            self.grid = [rows[index] for index in np.random.default_rng(seed).permutation(len(rows))]
            self.trials = min(trials or len(rows), len(rows))
        self._release_lost()

    @property
    def finished(self) -> int:
        """The number of combinations that are not left."""
        return min(self.trials, len(self._places()))

    def open_trials(
        self, *, at_once: bool = False, repeated: Callable[[dict[str, Any]], None] | None = None
    ) -> Iterator[OpenTrial]:
        """Yields the remaining combinations.

        Args:
            at_once: Whether several run at the same time; else each must be finished before the next is requested.
                The draws then depend on which are finished.
            repeated: Called with values that are drawn again: they count as a trial and have the score of the first.
        """
        while len(places := [*self._places(), *self._running()]) < self.trials:
            handle = self._ask(places, at_once)
            if self._repeated(handle):
                if repeated is not None:
                    repeated(self._values(handle.params))
            else:
                number = sum("repeats" not in place.user_attrs for place in places)
                yield OpenTrial(number, self._values(handle.params), handle)

    def complete(self, trial: OpenTrial, scores: dict[int, float], seconds: float) -> float:
        """Records a completed trial.

        Args:
            trial: The trial.
            scores: Seed to score.
            seconds: Wall time.

        Returns:
            The mean score, which is compared.
        """
        self._record(trial, scores, seconds)
        score = float(np.mean(list(scores.values())))
        self.study.tell(trial.handle, score)
        return score

    def prune(self, trial: OpenTrial, scores: dict[int, float], seconds: float) -> None:
        """Records a pruned trial with the scores of its finished seeds."""
        from optuna.trial import TrialState

        self._record(trial, scores, seconds)
        self.study.tell(trial.handle, state=TrialState.PRUNED)

    def fail(self, trial: OpenTrial, error: TellapartError, scores: dict[int, float], seconds: float) -> None:
        """Records a failed trial and its error."""
        from optuna.trial import TrialState

        self._record(trial, scores, seconds)
        trial.handle.set_user_attr("error", [error.cause, error.remedy])
        self.study.tell(trial.handle, state=TrialState.FAIL)

    def results(self, confidence: float, metric: str | None = None) -> tuple[SweepTrial, ...]:
        """Returns the finished trials in order.

        Args:
            confidence: Confidence level of the intervals, between 0 and 1.
            metric: Name in `METRICS`, which bounds the intervals; None for no bounds.
        """
        from optuna.trial import TrialState

        states: dict[Any, Any] = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}
        kept = [trial for trial in self._places() if "repeats" not in trial.user_attrs]
        return tuple(
            SweepTrial(
                **summary(
                    {int(seed): score for seed, score in trial.user_attrs["scores"].items()},
                    trial.user_attrs["seconds"],
                    confidence,
                    metric,
                ),
                number=number,
                parameters=self._values(trial.params),
                state=states.get(trial.state, "failed"),
                error="{}: {}.".format(*trial.user_attrs["error"]) if "error" in trial.user_attrs else None,
            )
            for number, trial in enumerate(kept)
        )

    def check_any_complete(self) -> None:
        """Checks that at least one trial is complete.

        Raises:
            UserError: None is; the message has the first trial's error.
        """
        places = self._places()
        if not any(place.state.name == "COMPLETE" for place in places):
            cause, remedy = next(place.user_attrs["error"] for place in places if "error" in place.user_attrs)
            raise UserError(f"no trial could be finished, the first because {cause}", remedy)

    def _places(self) -> list[optuna.trial.FrozenTrial]:
        """The finished trials, without interrupted ones."""
        return [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state.is_finished() and not (trial.state.name == "FAIL" and not _has_outcome(trial))
        ]

    def _running(self) -> list[optuna.trial.FrozenTrial]:
        from optuna.trial import TrialState

        return self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _release_lost(self) -> None:
        """Marks trials of a killed process as failed and queues their values again."""
        from optuna.trial import TrialState

        for trial in self._running():
            self.study.tell(trial.number, state=TrialState.FAIL)
            if self.grid is None and not _has_outcome(trial) and len(trial.params) == len(self.spaces):
                self.study.enqueue_trial(trial.params)

    def _ask(self, places: Sequence[optuna.trial.FrozenTrial], at_once: bool) -> optuna.Trial:
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        # One generator per position, so that a resumed search draws the same.
        seed = int(np.random.SeedSequence([self.seed, len(places)]).generate_state(1)[0])
        # Trials that run count as bad ones: others at the same time are drawn elsewhere.
        self.study.sampler = TPESampler(seed=seed, constant_liar=True) if at_once else TPESampler(seed=seed)
        if self.grid is not None and not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self.study.enqueue_trial(self._untried(places))
        return self.study.ask({space.path: _distribution(space) for space in self.spaces})

    def _untried(self, places: Sequence[optuna.trial.FrozenTrial]) -> dict[str, Any]:
        """The first combination of the grid that no trial has; several at a time may finish in any order."""
        assert self.grid is not None
        tried = Counter(json.dumps(place.params, sort_keys=True) for place in places)
        for row in self.grid:
            choices = {path: _choice(value) for path, value in row.items()}
            key = json.dumps(choices, sort_keys=True)
            if not tried[key]:
                return choices
            tried[key] -= 1  # values that are equal are combinations of their own
        raise AssertionError("more trials than combinations")

    def _repeated(self, handle: optuna.Trial) -> bool:
        """Ends a trial with already tried values at their score instead of training again."""
        from optuna.trial import TrialState

        before = next((place for place in self._places() if place.params == handle.params), None)
        if before is None:
            return False
        handle.set_user_attr("repeats", before.number)
        if before.state == TrialState.COMPLETE:
            self.study.tell(handle, before.value)
        else:
            self.study.tell(handle, state=TrialState.FAIL)
        return True

    def _record(self, trial: OpenTrial, scores: dict[int, float], seconds: float) -> None:
        trial.handle.set_user_attr("scores", {str(seed): score for seed, score in scores.items()})
        trial.handle.set_user_attr("seconds", seconds)

    def _values(self, choices: dict[str, Any]) -> dict[str, Any]:
        """Converts Optuna's choices into recipe values."""
        values = {}
        for space in self.spaces:
            choice = choices[space.path]
            if space.values is not None:
                choice = space.values[[_choice(value) for value in space.values].index(choice)]
            values[space.path] = choice
        return values


@contextlib.contextmanager
def open_study(file: Path, *, greater_is_better: bool, prune: bool) -> Iterator[optuna.Study]:
    """Opens the study in a SQLite file, creating it if needed.

    Args:
        file: The file.
        greater_is_better: The direction of the metric.
        prune: Whether trials below the median of earlier ones stop early, once five are complete.

    Raises:
        MissingDependencyError: Optuna is not installed.
        UserError: The file is unreadable.
        OutputError: It cannot be written.
    """
    optuna = import_optuna()
    from sqlalchemy.exc import DatabaseError

    shown = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    there, storage = file.is_file(), None
    try:
        # Opened here: in a URL, characters such as ? and { would not be the file's name.
        connect = functools.partial(sqlite3.connect, file.resolve(), check_same_thread=False)
        storage = optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs={"creator": connect})
        study = optuna.create_study(
            study_name="sweep",
            storage=storage,
            direction="maximize" if greater_is_better else "minimize",
            pruner=optuna.pruners.MedianPruner() if prune else optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        yield study
    except (DatabaseError, optuna.exceptions.StorageInternalError) as error:
        if there and storage is None:
            raise UserError(
                f"{file} is not a readable study",
                "choose another --output, or replace it with --overwrite",
            ) from error
        raise OutputError(
            f"{file} could not be written", "free some disk space, or choose another --output"
        ) from error
    finally:
        optuna.logging.set_verbosity(shown)
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


def import_optuna() -> Any:
    """Imports Optuna.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise MissingDependencyError("optuna", "sweep", "a sweep") from None
    return optuna


def _has_outcome(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether a trial has a recorded error or repeats another, rather than being interrupted."""
    return "error" in trial.user_attrs or "repeats" in trial.user_attrs


def _distribution(space: SearchSpace) -> optuna.distributions.BaseDistribution:
    from optuna import distributions

    if space.values is not None:
        return distributions.CategoricalDistribution([_choice(value) for value in space.values])
    low: Any = space.low
    high: Any = space.high
    step: Any = space.step
    if type(low) is int:
        return distributions.IntDistribution(low, high, log=space.log, step=step)
    return distributions.FloatDistribution(low, high, log=space.log, step=step)


def _choice(value: Any) -> Any:
    """Converts a listed value for Optuna: lists and sections as JSON."""
    return (
        value if isinstance(value, str | int | float | bool | None) else json.dumps(value, ensure_ascii=False)
    )
