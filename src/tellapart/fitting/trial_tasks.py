"""Seed runs in other processes: what travels there, what comes back, and what is said of those that failed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from tellapart.data.examples import TextData
from tellapart.encoders.resolve import check_folders, model_folders
from tellapart.errors import ModelError, OutputError, TellapartError, TrackerError, UserError, shortened
from tellapart.execution.engine import Engine, schedule
from tellapart.fitting.self_training import Pretrainer
from tellapart.fitting.trials import TRIALS, run_trial, write_trial
from tellapart.recipes import Recipe

Value = TypeVar("Value")
Failure = tuple[str, tuple[str, str]]
"""The name of a run that failed, with cause and remedy."""


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """What a task in another process came to.

    Args:
        value: Its result; None if it failed.
        error: Cause and remedy of a failure; None if it succeeded.
        notes: What it would have announced.
        expected: Whether the failure is a result of the task's settings, and another try would fail in the same way.
    """

    value: Value | None
    error: tuple[str, str] | None = None
    notes: list[str] = field(default_factory=list)
    expected: bool = True


def encoder_folders(*recipes: Recipe) -> tuple[str, ...]:
    """Returns the encoders of recipes that are folders of this machine."""
    trained = [one.encoder for one in recipes if one.encoder.name != "tfidf"]
    return model_folders(name for encoder in trained for name in (encoder.name, encoder.second))


def outcome_of(
    run: Callable[[Callable[[Sequence[str]], None]], Value], directory: str, folders: Sequence[str] = ()
) -> Outcome[Value]:
    """Runs a task in the caller's working directory, where that is there, and returns what it came to.

    A failure is returned and ends no other task.

    Args:
        run: The task, called with a function that takes its notes.
        directory: The working directory of the command.
        folders: The encoders that are folders on the machine of the command; they must be here too.

    Raises:
        OutputError: Files cannot be written, which would stop all other tasks too.
        TrackerError: The tracker cannot be started, likewise.
    """
    notes: list[str] = []
    with contextlib.suppress(OSError):
        os.chdir(directory)
    try:
        check_folders(folders)
    except ModelError as error:  # a fault of the machine, not of the settings
        return Outcome(None, (error.cause, error.remedy), expected=False)
    try:
        return Outcome(run(notes.extend), notes=notes)
    except (OutputError, TrackerError):
        raise
    except TellapartError as error:
        return Outcome(None, (error.cause, error.remedy), notes)
    except (torch.OutOfMemoryError, MemoryError):
        return Outcome(None, ("memory ran out", "lower the batch size or --max-length"), notes)
    except Exception as error:  # of a library or a device: the other tasks go on
        cause = shortened(f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}", 300)
        return Outcome(
            None, (cause, "run it in one process with --debug to see where"), notes, expected=False
        )


@dataclass(frozen=True)
class TrialTask:
    """A seed run as it travels to another process.

    Args:
        recipe: The method, with its seed.
        data: The rows as `split_data` prepared them for that seed.
        metric: Name of the metric stored as `score`.
        folder: The folder of the comparison; None where the other process does not see it.
        directory: The working directory of the command.
        folders: From `encoder_folders`.
        pretrainer: Pre-trains the encoder, for `self_training.pretrain`.
        track: Experiment tracker.
    """

    recipe: Recipe
    data: TextData
    metric: str
    folder: Path | None
    directory: str
    folders: tuple[str, ...] = ()
    pretrainer: Pretrainer | None = None
    track: str | None = None


def run_task(task: TrialTask) -> Outcome[dict[str, Any]]:
    """Runs a seed run without showing progress; its outcome has the content of the trial file."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if task.folder is None else task.folder

        def trained(announce: Callable[[Sequence[str]], None]) -> dict[str, Any]:
            return run_trial(
                task.recipe,
                task.data,
                folder / TRIALS,
                task.metric,
                True,
                pretrainer=task.pretrainer,
                announce=announce,
                track=task.track,
            )

        return outcome_of(trained, task.directory, task.folders)


def run_elsewhere(
    recipes: Iterable[Recipe],
    task_of: Callable[[Recipe], TrialTask],
    engine: Engine,
    folder: Path,
) -> Iterator[tuple[Recipe, Outcome[dict[str, Any]]]]:
    """Runs seed runs on an engine of other processes; each is a trial file once it is yielded.

    Args:
        recipes: The methods, each with its seed.
        task_of: Returns the seed run of a recipe with its rows; called when it starts.
        engine: Where they run.
        folder: The folder of the comparison, in which this process writes what comes from elsewhere.

    Yields:
        The recipe of a run and its outcome.

    Raises:
        UserError: Runs have failed, after all others are finished; the message has the first reason.
    """
    failures: list[Failure] = []
    runs = 0
    for recipe, outcome in schedule(
        recipes, run_task, engine, lost=lost_task, arguments=lambda recipe: (task_of(recipe),)
    ):
        assert outcome is not None
        runs += 1
        if outcome.error is not None:
            failures.append((f"{recipe.method}, seed {recipe.seed}", outcome.error))
        elif not engine.shares_files:
            assert outcome.value is not None
            write_trial(outcome.value, recipe, folder / TRIALS)
        yield recipe, outcome
    check_none_failed(failures, runs)


def check_none_failed(failures: Sequence[Failure], runs: int) -> None:
    """Names what failed among runs that are all finished.

    Args:
        failures: The runs that failed.
        runs: The number of all that ran.

    Raises:
        UserError: There are some; the message has the first reason.
    """
    if failures:
        first, (cause, remedy) = failures[0]
        raise UserError(
            f"{len(failures)} of {runs} runs failed, the first ({first}) because {cause}",
            f"{remedy}, and go on with --resume",
        )


def lost_task(_task: object, reason: str) -> Outcome[Any]:
    """Returns the outcome of a task that an engine lost, for `schedule`."""
    cause, _, remedy = reason.partition(": ")
    return Outcome(None, (cause, remedy or "look at the machine"), expected=False)
