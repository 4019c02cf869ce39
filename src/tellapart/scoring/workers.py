"""Scores units in other processes, each of which keeps the model that it has loaded."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tellapart.errors import RecipeError, UserError
from tellapart.execution.engine import Engine, schedule
from tellapart.fitting.folder import LOCK
from tellapart.scoring.scorer import PartScorer, PartSummary, ScoringOptions
from tellapart.scoring.units import Unit


@dataclass(frozen=True)
class WorkerRequest:
    """What the workers of a run share; can be pickled.

    Args:
        model: A run folder, a plain checkpoint, or an export.
        options: What is read and written.
        weights: The type of the weights that the run was begun with.
        directory: The working directory of the command.
    """

    model: str
    options: ScoringOptions
    weights: str
    directory: str


_kept: tuple[WorkerRequest, PartScorer] | None = None


def score_in_worker(request: WorkerRequest, unit: Unit) -> PartSummary:
    """Scores a unit in the process that it is called in, which loads the model for its first unit.

    Raises:
        UserError: The process does not see the folder of the parts, or scores with weights of another type.
        UserError: As for `PartScorer`.
        OutputError: The part cannot be written.
    """
    global _kept
    with contextlib.suppress(OSError):
        os.chdir(request.directory)
    folder = Path(unit.output).parent
    if not (folder / LOCK).exists():
        raise UserError(
            f"{socket.gethostname()} does not see the folder {Path(request.directory) / folder}",
            "use an --output that all nodes share, and input files that they see under the same path",
        )
    if _kept is None or _kept[0] != request:
        _kept = None  # before another model is loaded
        scorer = PartScorer(request.model, request.options)
        _check_weights(scorer, request.weights)
        _kept = request, scorer
    return _kept[1](unit)


def _check_weights(scorer: PartScorer, weights: str) -> None:
    """Checks that this machine has the model in the precision of the run; some run no model in bfloat16."""
    if scorer.weights != weights:
        raise RecipeError(
            f"{socket.gethostname()} cannot score with weights in {weights}, as the run does "
            f"(there they are {scorer.weights})",
            "leave that machine out, or begin again with --precision fp32 --overwrite",
        )


def scored_by_workers(engine: Engine, request: WorkerRequest, units: Iterable[Unit]) -> Iterator[PartSummary]:
    """Yields a summary of each unit when its part is written, in any order; units are requested one by one.

    Raises:
        UserError: As for `score_in_worker`; or a unit's process died, or no engine is left.
        OutputError: A part cannot be written.
    """
    for unit, summary in schedule(
        units, score_in_worker, engine, lost=_lost, arguments=lambda unit: (request, unit)
    ):
        del unit
        assert summary is not None
        yield summary


def _lost(unit: Unit, reason: str) -> PartSummary:
    cause, _, remedy = reason.partition(": ")
    raise UserError(
        f"the part {Path(unit.output).name} could not be scored because {cause}",
        f"{remedy or 'look at the machine'}, and go on with --resume",
    )
