"""Removes the earlier results of a table, after checking that those that are asked for can be computed again."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tellapart.errors import TellapartError, UserError
from tellapart.files import file_stem
from tellapart.fitting.folder import claim_folder
from tellapart.fitting.loading import check_model
from tellapart.fitting.resolve import check_encoders
from tellapart.pretraining.recipe import PretrainRecipe
from tellapart.pretraining.setup import check_models
from tellapart.pretraining.texts import open_texts
from tellapart.recipes import Recipe
from tellapart.reproduction.cells import describe_rows
from tellapart.reproduction.measures.base import Cell
from tellapart.reproduction.protocols import RESERVED, SUBMISSIONS
from tellapart.reproduction.request import TableRequest


def check_replaceable(cells: Sequence[Cell], request: TableRequest, *, encoders: bool = True) -> None:
    """Checks that no earlier result is deleted that cannot be computed again.

    A data set or an encoder that is not there is no error of a table: its cells fail, and the others run. It is one
    where the folder has a result of such a cell, or has results and no cell can run.

    Args:
        cells: The cells of the table, all requested ones among them.
        request: What is asked for.
        encoders: Whether the encoders must be on this machine.

    Raises:
        UserError: A result would be lost.
    """
    kept = {(cell.row, cell.column) for cell in cells if _has_results(cell)}
    if not kept:
        return
    asked = {
        (cell.row, cell.column): cell
        for cell in cells
        if request.includes(cell.row, cell.column)
        and not request.protocol.rows[cell.row].run_by
        and cell.seed == request.seeds[0]
    }
    rows = {column: _rows_error(cell) for (_, column), cell in asked.items()}
    refused = {
        key: error
        for key, cell in asked.items()
        if (error := rows[cell.column] or _model_error(cell, encoders=encoders))
    }
    lost = refused.keys() if len(refused) == len(asked) else refused.keys() & kept
    for row, column in asked:
        if (row, column) in lost:
            error = refused[row, column]
            raise UserError(
                f"--overwrite would delete earlier results, but {row} on {column} cannot be run, because "
                f"{error.cause}",
                f"{error.remedy}, or choose another --output",
            )


def remove_cells(output: Path, request: TableRequest) -> None:
    """Removes the files of the table's cells and nothing else."""
    for column in request.protocol.columns:
        claim_folder(output / column, resume=False, overwrite=True)
    for name in RESERVED:
        shared = output / name
        for made in sorted(shared.iterdir()) if shared.is_dir() else ():
            # A folder is named after a row, or after a row and a seed.
            if made.is_dir() and {made.name, made.name.rpartition("-seed")[0]} & request.protocol.rows.keys():
                if name == SUBMISSIONS:
                    shutil.rmtree(made)
                else:
                    claim_folder(made, resume=False, overwrite=True)


def _has_results(cell: Cell) -> bool:
    """Whether a cell has results for at least one seed."""
    found = cell.folder.glob(f"{file_stem(cell.row)}-seed*.json")
    return any(not file.name.endswith(".failed.json") for file in found)


def _rows_error(cell: Cell) -> TellapartError | None:
    """Returns why the data set of a cell cannot be used; None if it can."""
    try:
        describe_rows(cell)
    except TellapartError as error:
        return error
    except (OSError, ValueError) as error:
        return UserError(" ".join(str(error).split()), "look at the file")
    return None


def _model_error(cell: Cell, *, encoders: bool) -> TellapartError | None:
    """Returns why a cell's encoder, or the texts of its pre-training, cannot be used; None if they are there."""
    try:
        if cell.pretraining is not None:
            _check_pretraining(cell.pretraining, encoders=encoders)
        elif not encoders:
            return None
        elif isinstance(cell.recipe, Recipe):
            check_encoders(cell.recipe)
        else:
            check_model(cell.recipe.encoder, trained=False)
    except TellapartError as error:
        return error
    return None


def _check_pretraining(recipe: PretrainRecipe, *, encoders: bool) -> None:
    if recipe.texts is not None:
        open_texts(recipe.texts, text=recipe.text)
    if encoders:
        check_models(recipe)
