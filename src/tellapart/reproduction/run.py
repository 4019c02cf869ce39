"""A table run again, cell by cell: what is on disk counts, what fails is named, what does not fit waits."""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tellapart.data.benchmarks.registry import registered
from tellapart.errors import TellapartError, UserError
from tellapart.files import replacing
from tellapart.fitting.environment import environment
from tellapart.fitting.folder import claim_folder
from tellapart.reproduction.cells import (
    Cell,
    CellResult,
    describe_rows,
    finished_cell,
    forget_rows,
    lost_cell,
    one_sentence,
    run_cell,
)
from tellapart.reproduction.figures import (
    CellFigures,
    ColumnData,
    ColumnResult,
    Reproduction,
    column_figures,
)
from tellapart.reproduction.pages import reproduction_markdown, write_reproduction_report
from tellapart.reproduction.protocols import (
    RESERVED,
    Protocol,
    cell_choices,
    cell_measurement,
    cell_pretraining,
    cell_recipe,
)
from tellapart.reproduction.request import TableRequest, table_request
from tellapart.reproduction.scheduling import Budget, executors, schedule, visible_devices
from tellapart.reproduction.tables import FAILED

CONFIDENCE = 0.95

NOT_ASKED, NOT_FITTING = "not asked for", "did not fit into the budget"


@dataclass
class _Found:
    """What there is of every cell so far."""

    results: dict[tuple[str, str, int], CellResult] = field(default_factory=dict)

    def seconds(self, cell: Cell) -> float | None:
        """What the same cell took with other seeds; None where that is unknown."""
        known = [
            result.trial["seconds"]
            for (row, column, _), result in self.results.items()
            if (row, column) == (cell.row, cell.column) and result.trial is not None
        ]
        return statistics.mean(known) if known else None


def reproduce(
    table: str,
    protocol: Protocol,
    output: str | Path,
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    encoders: Mapping[str, str] | None = None,
    trials: int | None = None,
    seed: int = 0,
    settings: Sequence[str] = (),
    budget: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    jobs: int = 1,
    workers: Sequence[Executor] | None = None,
) -> Reproduction:
    """Runs the cells of a table and writes `<table>.json`, `<table>.md` and `<table>.html`.

    Every method and set is run with the first seed before any with the second: comparisons are complete early. Each
    finished cell is a file in `<column>/trials`, the same that `tellapart.runs.compare.compare` writes with the
    output `<output>/<column>`: whichever was there first counts. On several GPUs cells run side by side, one a
    device.

    Args:
        table: The protocol's name, as `tellapart.reproduction.protocols.load_protocol` gives it.
        protocol: The protocol.
        output: The folder to write.
        rows: Keys of the methods to run; by default all.
        columns: Keys of the sets; by default all.
        encoders: Role to encoder, in place of the protocol's.
        trials: Seeds of each cell; by default the protocol's number.
        seed: The first seed.
        settings: `path=value` changes, for the rows that know the path; `pretraining.<key>=value` for pre-training.
        budget: Seconds, after which no cell begins, nor one that would not end before, by what it took with other
            seeds; None for no limit. 0 runs nothing and writes the page of what is there.
        resume: Whether to keep what the folder holds.
        overwrite: Whether to throw away the table's cells that it holds.
        quiet: Whether to show no progress.
        jobs: Cells that run side by side on a CPU, each in a process with a share of the cores.
        workers: Who runs the cells; by default a process a GPU, this process where there are no two.

    Returns:
        What was found; cells that failed or did not run are there with the reason.

    Raises:
        RecipeError: A row, a column, a role or a setting is unknown, or nothing can be run.
        UserError: The folder is in use.
        OutputError: The results cannot be written.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("a table is run by one process", "start it without torchrun or accelerate launch")
    asked = table_request(
        table,
        protocol,
        rows=rows,
        columns=columns,
        encoders=encoders or {},
        trials=trials,
        seed=seed,
        settings=settings,
    )
    own = executors(visible_devices(), jobs) if workers is None else workers
    folder = _claimed(Path(output), asked, resume=resume, overwrite=overwrite)
    forget_rows()
    cells = table_cells(asked, folder, quiet=quiet or len(own) > 1)  # bars of several would mix
    found = _Found()
    data = {
        column: _column_data(asked, column, [cell for cell in cells if cell.column == column], found)
        for column in protocol.columns
    }
    open_cells = [
        cell
        for cell in cells
        if cell.row in asked.rows
        and cell.column in asked.columns
        and not protocol.rows[cell.row].run_by
        and _to_run(found.results.get((cell.row, cell.column, cell.seed)))
        and data[cell.column].fingerprint is not None
    ]
    try:
        _run(open_cells, found, Budget(budget), own, quiet)
    finally:
        if workers is None:
            for worker in own:
                worker.shutdown(wait=True, cancel_futures=True)
    result = Reproduction(
        table=table,
        protocol=protocol,
        command=asked.command,
        encoders=asked.encoders,
        settings=asked.settings,
        seeds=asked.seeds,
        confidence=CONFIDENCE,
        columns={column: ColumnResult(data[column], _figures(asked, column, found)) for column in data},
        environment=environment(),
        other_environments=_other_environments(found),
    )
    _write(folder, result)
    return result


def _claimed(output: Path, asked: TableRequest, *, resume: bool, overwrite: bool) -> Path:
    """The folder, if it may be written; with `overwrite` only what tables write is removed from it."""
    if overwrite and output.is_dir():
        for column in asked.protocol.columns:
            claim_folder(output / column, resume=False, overwrite=True)
        for shared in (output / name for name in RESERVED):
            for made in sorted(shared.iterdir()) if shared.is_dir() else ():
                if made.is_dir() and any(_is_of(made.name, row) for row in asked.protocol.rows):
                    claim_folder(made, resume=False, overwrite=True)
        return output
    return claim_folder(output, resume=resume, overwrite=False)


def _is_of(name: str, row: str) -> bool:
    """Whether a folder has the name of a row, or of its model with a seed."""
    return name == row or name.rpartition("-seed")[0] == row


def table_cells(asked: TableRequest, folder: Path, *, quiet: bool) -> list[Cell]:
    """Returns every cell that can be run, asked for or not, the first seed of all before the second of any."""
    given: dict[str, Any] = {"encoders": asked.encoders, "settings": asked.settings}
    protocol = asked.protocol
    described = cell_recipe if protocol.measures == "classification" else cell_measurement
    return [
        Cell(
            measures=protocol.measures,
            row=row,
            column=column,
            recipe=described(protocol, row, column, seed=seed, **given),
            table=folder,
            metrics=tuple(protocol.columns[column].metrics),
            evaluated=protocol.columns[column].evaluated,
            choices=cell_choices(protocol, row),
            choice_seed=asked.seeds[0],
            pretraining=cell_pretraining(protocol, row, **given),
            quiet=quiet,
        )
        for seed in asked.seeds
        for column in protocol.columns
        for row in protocol.rows
        if not protocol.why_not(row, column)
    ]


def _column_data(asked: TableRequest, column: str, cells: Sequence[Cell], found: _Found) -> ColumnData:
    """Reads the rows of a column and what is on disk of its cells; what cannot be read fails each of these."""
    published = asked.protocol.columns[column].source
    known = registered().get(published or "")
    unread = ColumnData({}, None, known.overlap if known else None, known.note if known else "")
    # A set that nobody asked for is not fetched, unless there are trials on it to show.
    if not cells or (column not in asked.columns and not cells[0].folder.is_dir()):
        return unread
    try:
        rows = describe_rows(cells[0])
    except (TellapartError, OSError, ValueError) as error:
        for cell in cells:
            found.results[cell.row, column, cell.seed] = CellResult(error=one_sentence(error))
        return unread
    for cell in cells:
        result = finished_cell(cell, rows)
        if result is not None:
            found.results[cell.row, column, cell.seed] = result
    source = cells[0].source
    return ColumnData(
        rows.sizes, rows.fingerprint, rows.overlap, rows.note, source="" if source == published else source
    )


def _to_run(result: CellResult | None) -> bool:
    """What failed before is tried again: a set or an encoder may be there now."""
    return result is None or result.trial is None


def _run(
    cells: Sequence[Cell],
    found: _Found,
    budget: Budget,
    workers: Sequence[Executor],
    quiet: bool,
) -> None:
    runs = schedule(
        cells,
        run_cell,
        workers,
        fits=lambda cell: budget.fits(found.seconds(cell)),
        lost=lost_cell,
    )
    for number, (cell, result) in enumerate(runs, start=1):
        if result is not None:
            found.results[cell.row, cell.column, cell.seed] = result
        if not quiet:
            print(f"{number}/{len(cells)} {cell.column} {_outcome(cell, result)}", file=sys.stderr)


def _outcome(cell: Cell, result: CellResult | None) -> str:
    name = f"{cell.row} seed {cell.seed}: "
    if result is None:
        return name + NOT_FITTING
    if result.trial is None:
        return name + f"{FAILED}: {result.error}"
    return (
        name + f"{cell.metric} {result.trial['metrics'][cell.metric]:.4f} in {result.trial['seconds']:.0f} s"
    )


def _figures(asked: TableRequest, column: str, found: _Found) -> dict[str, dict[str, CellFigures]]:
    protocol = asked.protocol
    trials: dict[str, list[dict[str, Any]]] = {row: [] for row in protocol.rows}
    missing: dict[str, dict[int, str]] = {row: {} for row in protocol.rows}
    for row in protocol.rows:
        for seed in asked.seeds:
            result = found.results.get((row, column, seed))
            if result is not None and result.trial is not None:
                trials[row].append(result.trial)
            elif result is not None and result.error is not None:
                missing[row][seed] = f"{FAILED}: {result.error}"
            else:
                missing[row][seed] = _reason(asked, row, column)
    return column_figures(protocol, column, trials, missing, CONFIDENCE)


def _reason(asked: TableRequest, row: str, column: str) -> str:
    why_not = asked.protocol.why_not(row, column)
    if why_not:
        return why_not
    if row not in asked.rows or column not in asked.columns:
        return NOT_ASKED
    return run_by_others(asked.protocol, row) or NOT_FITTING


def run_by_others(protocol: Protocol, row: str) -> str:
    """Says what runs a row in place of tellapart; empty where nothing does."""
    run_by = protocol.rows[row].run_by
    return f"to be run by {run_by}" if run_by else ""


def _other_environments(found: _Found) -> tuple[dict[str, Any], ...]:
    here = environment()
    others: list[dict[str, Any]] = []
    for key in sorted(found.results):
        trial = found.results[key].trial or {}
        made_in = trial.get("environment", here)
        if made_in != here and made_in not in others:
            others.append(made_in)
    return tuple(others)


def _write(folder: Path, result: Reproduction) -> None:
    with replacing(folder / f"{result.table}.json") as temporary:
        text = json.dumps(result.to_dict(), indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    with replacing(folder / f"{result.table}.md") as temporary:
        temporary.write_text(reproduction_markdown(result), encoding="utf-8")
    write_reproduction_report(folder / f"{result.table}.html", result)
