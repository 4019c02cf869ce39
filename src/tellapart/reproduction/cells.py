"""The cells of a table: each a trial on disk, made where it is missing, and kept with its reason where it fails."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tellapart.errors import OutputError, TellapartError
from tellapart.files import replacing
from tellapart.reproduction.measures import MEASURES, Cell, ColumnRows

__all__ = [
    "Cell",
    "CellResult",
    "ColumnRows",
    "describe_rows",
    "failed_cell",
    "finished_cell",
    "forget_rows",
    "lost_cell",
    "one_sentence",
    "run_cell",
]


@dataclass(frozen=True)
class CellResult:
    """What became of a cell: the content of the trial's file, or why there is none."""

    trial: dict[str, Any] | None = None
    error: str | None = None


def forget_rows() -> None:
    """Has `describe_rows` read everything anew."""
    for measure in MEASURES.values():
        measure.forget()


def describe_rows(cell: Cell) -> ColumnRows:
    """Reads what a cell measures on, once a process.

    Raises:
        TellapartError: It cannot be used, or does not have the metrics of the column.
    """
    return MEASURES[cell.measures].describe(cell)


def finished_cell(cell: Cell, rows: ColumnRows) -> CellResult | None:
    """Returns what is on disk of a cell: its trial, else why it failed, else None.

    Args:
        cell: The cell.
        rows: What `describe_rows` gave for it.
    """
    trial = MEASURES[cell.measures].finished(cell, rows)
    if trial is not None:
        return CellResult(trial)
    failure = _failure_file(cell)
    if failure.is_file():
        return CellResult(error=json.loads(failure.read_text(encoding="utf-8"))["error"])
    return None


def run_cell(cell: Cell) -> CellResult:
    """Runs a cell, after the pre-training and all else that it needs, or takes from disk what was done before.

    Whatever fails is kept in a file beside the trials, until the cell is run again and does not.

    Raises:
        OutputError: Files cannot be written, which all other cells would meet too.
    """
    try:
        trial = MEASURES[cell.measures].run(cell)
    except OutputError:
        raise
    except Exception as error:  # one cell's failure is not that of the table
        return failed_cell(cell, one_sentence(error))
    _failure_file(cell).unlink(missing_ok=True)
    return CellResult(trial)


def failed_cell(cell: Cell, reason: str) -> CellResult:
    """Keeps why a cell failed.

    Raises:
        OutputError: The file cannot be written.
    """
    with replacing(_failure_file(cell)) as temporary:
        temporary.write_text(json.dumps({"error": reason}, ensure_ascii=False), encoding="utf-8")
    return CellResult(error=reason)


def lost_cell(cell: Cell) -> CellResult:
    """Keeps that a cell's process died without a word."""
    return failed_cell(
        cell, "its process died, perhaps for lack of memory: use a smaller encoder or batch size."
    )


def one_sentence(error: Exception) -> str:
    """Says in one sentence what went wrong."""
    sentence = str(error) if isinstance(error, TellapartError) else f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or "out of memory" in sentence.lower():
        return "the memory does not suffice: use a smaller encoder, batch size or length."
    return " ".join(sentence.split())


def _failure_file(cell: Cell) -> Path:
    return cell.trial_file.with_suffix(".failed.json")
