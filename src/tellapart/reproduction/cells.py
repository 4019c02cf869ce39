"""The cells of a table: lists them, finds their results on disk, runs them, and keeps the reason of a failure."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tellapart.encoders.resolve import check_folders, model_folders
from tellapart.errors import OutputError, TellapartError
from tellapart.files import read_kept, write_text
from tellapart.fitting.folder import LOCK
from tellapart.fitting.trial_tasks import encoder_folders
from tellapart.pretraining.recipe import NEW, PretrainRecipe
from tellapart.recipes import Recipe
from tellapart.reproduction.measures import classification, corrections, question_answering, robustness
from tellapart.reproduction.measures.base import Cell, ColumnRows, Measure
from tellapart.reproduction.measures.settings import Measurement
from tellapart.reproduction.request import TableRequest

MEASURES: dict[str, Measure] = {
    "classification": classification,
    "corrections": corrections,
    "spans": question_answering,
    "robustness": robustness,
}
"""Value of `measures` in a protocol to the module that runs such cells."""


@dataclass(frozen=True)
class CellResult:
    """The content of the trial's file, or the reason of the failure; neither before the cell was run."""

    trial: dict[str, Any] | None = None
    error: str | None = None


def table_cells(request: TableRequest, folder: Path, *, quiet: bool) -> list[Cell]:
    """Returns every cell of the table that can be run, requested or not; all cells of a seed before the next seed."""
    protocol = request.protocol
    return [
        _cell(request, row, column, seed, folder, quiet=quiet)
        for seed in request.seeds
        for column in protocol.columns
        for row in protocol.rows
        if not protocol.why_not(row, column)
    ]


def _cell(request: TableRequest, row: str, column: str, seed: int, folder: Path, *, quiet: bool) -> Cell:
    protocol, its_column = request.protocol, request.protocol.columns[column]
    recipe, pretraining = request.recipe(row, column, seed), request.pretraining(row)
    return Cell(
        measures=protocol.measures,
        row=row,
        column=column,
        recipe=recipe,
        table=folder,
        metrics=tuple(its_column.metrics),
        evaluated=its_column.evaluated,
        choices=request.choices(row),
        choice_seed=request.seeds[0],
        pretraining=pretraining,
        quiet=quiet,
        drawn=its_column.drawn,
        split_seed=protocol.split_seed,
        submission=its_column.submission,
        model_folders=_model_folders(recipe, pretraining),
    )


def _model_folders(recipe: Recipe | Measurement, pretraining: PretrainRecipe | None) -> tuple[str, ...]:
    """The models that a cell starts from which are folders of this machine."""
    if pretraining is not None:
        return model_folders(name for name in (pretraining.encoder, pretraining.generator) if name != NEW)
    return encoder_folders(recipe) if isinstance(recipe, Recipe) else model_folders([recipe.encoder])


def forget_rows() -> None:
    """Clears the caches of `describe_rows`."""
    for measure in MEASURES.values():
        measure.forget()


def describe_rows(cell: Cell) -> ColumnRows:
    """Reads the data set of a cell; cached per process.

    Raises:
        TellapartError: It cannot be used, or does not have the metrics of the column.
    """
    return MEASURES[cell.measures].describe(cell)


def finished_cell(cell: Cell, rows: ColumnRows) -> CellResult:
    """Returns what is on disk of a cell: its trial, else the reason of its failure, else an empty result.

    Args:
        cell: The cell.
        rows: Result of `describe_rows` for the cell.
    """
    trial = MEASURES[cell.measures].finished(cell, rows)
    if trial is not None:
        return CellResult(trial)
    failure = read_kept(_failure_file(cell))
    return CellResult() if failure is None else CellResult(error=failure["error"])


def run_cell(cell: Cell, directory: str | None = None) -> CellResult:
    """Runs a cell and whatever it depends on, such as pre-training, or returns its finished trial.

    A failure is kept in a file beside the trials until a later run of the cell succeeds.

    Args:
        cell: The cell.
        directory: On another machine, the working directory of the command; the folder of the table must be there.

    Raises:
        OutputError: Files cannot be written, which would stop all other cells too.
    """
    if directory is not None:
        with contextlib.suppress(OSError):
            os.chdir(directory)
        if not (cell.table / LOCK).exists():
            return CellResult(
                error=f"{socket.gethostname()} does not see {Path(directory) / cell.table}: use an --output that all "
                "nodes share."
            )
    try:
        check_folders(cell.model_folders)
        trial = MEASURES[cell.measures].run(cell)
    except OutputError:
        raise
    except Exception as error:  # one failing cell must not end the table
        return failed_cell(cell, one_sentence(error))
    _failure_file(cell).unlink(missing_ok=True)
    return CellResult(trial)


def failed_cell(cell: Cell, reason: str) -> CellResult:
    """Writes the reason of a failure.

    Raises:
        OutputError: The file cannot be written.
    """
    write_text(_failure_file(cell), json.dumps({"error": reason}, ensure_ascii=False))
    return CellResult(error=reason)


def lost_cell(cell: Cell, reason: str) -> CellResult:
    """Writes the failure of a cell whose process or machine was lost."""
    return failed_cell(cell, f"{reason}.")


def one_sentence(error: Exception) -> str:
    """Returns an error's message on one line; the same sentence for all kinds of memory shortage."""
    sentence = str(error) if isinstance(error, TellapartError) else f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or "out of memory" in sentence.lower():
        return "not enough memory: use a smaller encoder, batch size or length."
    return " ".join(sentence.split())


def _failure_file(cell: Cell) -> Path:
    return cell.trial_file.with_suffix(".failed.json")
