"""Runs a table cell by cell: finished cells are kept, failures are recorded, a budget may end the run early."""

from __future__ import annotations

import os
import statistics
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tellapart.data.benchmarks.registry import registered
from tellapart.errors import TellapartError, TellapartWarning, UserError
from tellapart.execution.engine import Budget, Engine, schedule
from tellapart.execution.places import Place
from tellapart.files import write_json, write_text
from tellapart.fitting.environment import environment
from tellapart.fitting.folder import claimed
from tellapart.reproduction.cells import (
    CellResult,
    describe_rows,
    finished_cell,
    forget_rows,
    lost_cell,
    one_sentence,
    run_cell,
    table_cells,
)
from tellapart.reproduction.figures import (
    CellFigures,
    ColumnData,
    ColumnResult,
    Reproduction,
    column_figures,
)
from tellapart.reproduction.label_distances import save_label_distances
from tellapart.reproduction.measures.base import Cell
from tellapart.reproduction.overwriting import check_replaceable, remove_cells
from tellapart.reproduction.pages import FAILED, reproduction_markdown, write_reproduction_report
from tellapart.reproduction.request import TableRequest
from tellapart.training.progress import RunsBar

CONFIDENCE = 0.95

NOT_ASKED, NOT_FITTING = "not asked for", "did not fit into the budget"


class _Table:
    """The cells of a table with the results so far.

    Args:
        request: What to run.
        folder: The folder of the table.
        quiet: Whether the cells show no progress.
        read: The columns whose data sets are read, and fetched if need be. Other columns are read only if the folder
            has trials of them.
        overwrite: Whether to ignore what is on disk.
    """

    def __init__(
        self,
        request: TableRequest,
        folder: Path,
        *,
        quiet: bool,
        read: Collection[str],
        overwrite: bool = False,
    ) -> None:
        self.request = request
        self.cells = table_cells(request, folder, quiet=quiet)
        self.results: dict[tuple[str, str, int], CellResult] = {}
        self.data: dict[str, ColumnData] = {}
        self.notes: list[str] = []
        for column in request.protocol.columns:
            cells = [cell for cell in self.cells if cell.column == column]
            on_disk = not overwrite and bool(cells) and cells[0].folder.is_dir()
            self.data[column] = self._read(column, cells if column in read or on_disk else ())

    def _read(self, column: str, cells: Sequence[Cell]) -> ColumnData:
        """Reads a column's data set and the cells on disk; if it cannot be read, all its cells fail."""
        published = self.request.protocol.columns[column].source
        known = registered().get(published or "")
        unread = ColumnData({}, None, known.overlap if known else None, known.note if known else "")
        if not cells:
            return unread
        try:
            rows = describe_rows(cells[0])
        except (TellapartError, OSError, ValueError) as error:
            for cell in cells:
                self.results[cell.row, column, cell.seed] = CellResult(error=one_sentence(error))
            return unread
        for cell in cells:
            self.results[cell.row, column, cell.seed] = finished_cell(cell, rows)
        source = cells[0].source
        if column in self.request.columns:
            sizes = ", ".join(f"{count:,} {name}" for name, count in rows.sizes.items())
            said = [f"{sizes} rows.", *rows.notes, *([rows.note] if rows.note else [])]
            self.notes += [f"{column}: {note}" for note in said]
        return ColumnData(
            rows.sizes,
            rows.fingerprint,
            rows.overlap,
            rows.note,
            source="" if source == published else source,
        )

    def warn_of_foreign_rows(self) -> None:
        """Warns if the user's settings replace data sets that the paper has figures on."""
        named = self.request.protocol.columns
        replaced = [named[column].name for column in self.request.columns if self.data[column].source]
        if replaced and self.request.protocol.figures:
            warnings.warn(
                f"the rows of {', '.join(replaced)} are others than the table's: the paper's figures beside yours "
                "are about other data.",
                TellapartWarning,
                stacklevel=3,
            )

    def result(self, row: str, column: str, seed: int) -> CellResult:
        """Returns the result of a cell, empty if it has not been run."""
        return self.results.get((row, column, seed), CellResult())

    def trial(self, cell: Cell) -> dict[str, Any] | None:
        """Returns the content of a cell's trial file; None if it has not finished."""
        return self.result(cell.row, cell.column, cell.seed).trial

    def requested(self) -> list[Cell]:
        """Returns the requested cells that tellapart itself runs."""
        rows = self.request.protocol.rows
        return [
            cell
            for cell in self.cells
            if self.request.includes(cell.row, cell.column) and not rows[cell.row].run_by
        ]

    def remaining(self) -> list[Cell]:
        """Returns the requested cells without a trial. Failed cells are tried again: their cause may be gone."""
        return [
            cell
            for cell in self.requested()
            if self.result(cell.row, cell.column, cell.seed).trial is None
            and self.data[cell.column].fingerprint is not None
        ]

    def finished(self) -> int:
        """Returns the number of requested cells with a trial."""
        return sum(self.trial(cell) is not None for cell in self.requested())

    def seconds(self, cell: Cell) -> float | None:
        """Returns the mean time of the same cell with other seeds; None if unknown."""
        results = [self.result(cell.row, cell.column, seed) for seed in self.request.seeds]
        known = [result.trial["seconds"] for result in results if result.trial is not None]
        return statistics.mean(known) if known else None

    def figures(self, column: str) -> dict[str, dict[str, CellFigures]]:
        """Returns the figures of a column: metric to row to figures."""
        rows = self.request.protocol.rows
        trials: dict[str, list[dict[str, Any]]] = {row: [] for row in rows}
        missing: dict[str, dict[int, str]] = {row: {} for row in rows}
        for row in rows:
            for seed in self.request.seeds:
                result = self.result(row, column, seed)
                if result.trial is not None:
                    trials[row].append(result.trial)
                elif result.error is not None:
                    missing[row][seed] = f"{FAILED}: {result.error}"
                else:
                    missing[row][seed] = self._reason(row, column)
        return column_figures(self.request.protocol, column, trials, missing, CONFIDENCE)

    def _reason(self, row: str, column: str) -> str:
        why_not, run_by = self.request.protocol.why_not(row, column), self.request.protocol.rows[row].run_by
        if why_not:
            return why_not
        if not self.request.includes(row, column):
            return NOT_ASKED
        return f"to be run by {run_by}" if run_by else NOT_FITTING

    def other_environments(self) -> tuple[dict[str, Any], ...]:
        """Returns the environments of trials that were run elsewhere."""
        here = environment()
        others: list[dict[str, Any]] = []
        for key in sorted(self.results):
            found = (self.results[key].trial or {}).get("environment", here)
            if found != here and found not in others:
                others.append(found)
        return tuple(others)


@dataclass
class CellCounts:
    """Numbers of cells: `cells` is the sum of the three others.

    Args:
        cells: Requested cells that tellapart runs.
        finished: Cells with a trial on disk.
        failed: Cells that failed; they are tried again.
        left: Cells that have not been run.
    """

    cells: int = 0
    finished: int = 0
    failed: int = 0
    left: int = 0

    def count(self, result: CellResult) -> None:
        """Counts one more cell by its result."""
        self.cells += 1
        if result.trial is not None:
            self.finished += 1
        elif result.error is not None:
            self.failed += 1
        else:
            self.left += 1


@dataclass(frozen=True)
class TablePlan:
    """The cells of a request, counted per column and in total.

    Args:
        table: Name of the protocol.
        command: The command line that runs the request.
        columns: Key to counts, in the protocol's order.
        total: Over all columns.
    """

    table: str
    command: str
    columns: dict[str, CellCounts]
    total: CellCounts = field(default_factory=CellCounts)

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return asdict(self)


def table_plan(request: TableRequest, output: str | Path, *, overwrite: bool = False) -> TablePlan:
    """Counts the finished, failed and remaining cells. Nothing is run or written.

    Only data sets that the folder has trials of are read.

    Args:
        request: The table and what to run of it.
        output: The folder of the table.
        overwrite: Whether to count as if the folder were empty.
    """
    forget_rows()
    table = _Table(request, Path(output), quiet=True, read=(), overwrite=overwrite)
    plan = TablePlan(request.table, request.command, {column: CellCounts() for column in request.columns})
    for cell in table.requested():
        for counts in (plan.columns[cell.column], plan.total):
            counts.count(table.result(cell.row, cell.column, cell.seed))
    return plan


def reproduce(
    request: TableRequest,
    output: str | Path,
    *,
    budget: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    place: Place | None = None,
    announce: Callable[[Sequence[str]], None] | None = None,
) -> Reproduction:
    """Runs the cells of a table and writes `<table>.json`, `<table>.md` and `<table>.html`.

    All methods and data sets are run with the first seed before any is run with the second, so that comparisons are
    complete early. Each finished cell is a file in `<column>/trials`, the same file that
    `tellapart.runs.compare.compare` writes with the output `<output>/<column>`: either one reuses it. On several GPUs
    cells run in parallel, one per device.

    Args:
        request: The table and what to run of it.
        output: The folder to write.
        budget: Seconds after which no cell is started; nor is one that would end later, judged by its time with other
            seeds. None for no limit. 0 runs nothing and writes the page of the finished cells.
        resume: Whether to keep what the folder holds.
        overwrite: Whether to remove the table's cells that it holds.
        quiet: Whether to show no progress.
        place: Where cells run; by default in this process, or one per GPU where there are several. The nodes of a
            cluster must see the folder under the same path.
        announce: Called with the notes on the data sets before the first cell begins.

    Returns:
        All results, with the reasons of cells that failed or were not run.

    Raises:
        UserError: The folder is in use, or `overwrite` would delete results that cannot be computed again.
        OutputError: The results cannot be written.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("a table is run by one process", "start it without torchrun or accelerate launch")
    output = Path(output)
    place = place or Place()
    forget_rows()
    replaced = overwrite and output.is_dir()
    if replaced:
        cells = table_cells(request, output, quiet=True)
        check_replaceable(cells, request, encoders=place.on is None)  # a cluster has encoders of its own
    with (
        place.engine() as engine,
        claimed(output, resume=resume or replaced) as folder,
        engine,  # closed before the folder is released
    ):
        if replaced:
            remove_cells(folder, request)
        # Progress bars of several workers would overwrite each other.
        table = _Table(request, folder, quiet=quiet or engine.isolated, read=request.columns)
        table.warn_of_foreign_rows()
        if announce is not None:
            announce([*table.notes, *engine.notes])
        _run(table, Budget(budget), engine, quiet)
        result = Reproduction(
            table=request.table,
            protocol=request.protocol,
            command=request.command,
            encoders=request.encoders,
            settings=request.settings,
            seeds=request.seeds,
            confidence=CONFIDENCE,
            columns={
                column: ColumnResult(data, table.figures(column)) for column, data in table.data.items()
            },
            environment=environment(),
            other_environments=table.other_environments(),
            pictures=save_label_distances(request.protocol, table.cells, table.trial),
        )
        _write(folder, result)
        return result


def _run(table: _Table, budget: Budget, engine: Engine, quiet: bool) -> None:
    cells, finished = table.remaining(), table.finished()
    here = None if engine.shares_files else str(Path.cwd())
    runs = schedule(
        cells,
        run_cell,
        engine,
        lost=lost_cell,
        fits=lambda cell: budget.fits(table.seconds(cell)),
        arguments=lambda cell: (cell, here),
    )
    with RunsBar(finished + len(cells), finished, quiet=quiet) as bar:
        for cell, result in runs:
            if result is not None:
                table.results[cell.row, cell.column, cell.seed] = result
            bar.finish(f"{cell.column} {_outcome(cell, result)}")


def _outcome(cell: Cell, result: CellResult | None) -> str:
    name = f"{cell.row} seed {cell.seed}: "
    if result is None:
        return name + NOT_FITTING
    if result.trial is None:
        return name + f"{FAILED}: {result.error}"
    return (
        name + f"{cell.metric} {result.trial['metrics'][cell.metric]:.4f} in {result.trial['seconds']:.0f} s"
    )


def _write(folder: Path, result: Reproduction) -> None:
    write_json(folder / f"{result.table}.json", result.to_dict())
    write_text(folder / f"{result.table}.md", reproduction_markdown(result))
    write_reproduction_report(folder / f"{result.table}.html", result)
