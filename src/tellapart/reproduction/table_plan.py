"""What it would take to run a table: its cells, what is on disk of them, and the work of the rest. Nothing is run."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tellapart.data.benchmarks.registry import local_folder, registered
from tellapart.encoders.sizes import parameters_a_token
from tellapart.errors import TellapartError
from tellapart.fitting.environment import environment
from tellapart.pretraining.recipe import NEW, PretrainRecipe
from tellapart.recipes import EncoderRecipe, Recipe, with_values
from tellapart.reproduction.cells import (
    Cell,
    forget_rows,
    one_sentence,
)
from tellapart.reproduction.measures import MEASURES
from tellapart.reproduction.measures.base import needs_pretraining
from tellapart.reproduction.measures.classification import needs_choice, rows_of
from tellapart.reproduction.protocols import Protocol
from tellapart.reproduction.request import TableRequest, table_request
from tellapart.reproduction.run import run_by_others, table_cells
from tellapart.reproduction.table_work import (
    TFIDF,
    Work,
    choice_work,
    pretraining_work,
    split_counts,
    trial_work,
)

PETA = 1e15

# What has to be the same for a time to say something about this machine.
_MACHINE = ("processor", "cores", "threads", "device")


@dataclass
class PartPlan:
    """A part of a table: its cells, and the work of those that are left.

    Args:
        to_run: Cells, or pre-training runs, that are left.
        there: Cells that are on disk, finished.
        impossible: Reason to cells that cannot be run, or are not by tellapart.
        training_texts: Texts that the cells left train on, once for every epoch, choices included; of
            pre-training its sequences.
        scored_texts: Texts that they pass forward only.
        petaflop: Their floating point operations in units of 10^15, with every text as long as it may be.
        uncounted: Reason to cells, or pre-training runs, left whose texts and operations are not in these sums.
        seconds: What the cells left that are timed will take, by what the same cells took with other seeds on this
            machine.
        timed: How many of the cells left that is.
    """

    to_run: int = 0
    there: int = 0
    impossible: Counter[str] = field(default_factory=Counter)
    training_texts: int = 0
    scored_texts: int = 0
    petaflop: float = 0.0
    uncounted: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    timed: int = 0

    def add(self, work: Work) -> None:
        """Adds work to the sums."""
        self.training_texts += work.training_texts
        self.scored_texts += work.scored_texts
        self.petaflop += work.operations / PETA

    def merge(self, other: PartPlan) -> None:
        """Adds another part of the table, all but the number of its runs and cells."""
        self.training_texts += other.training_texts
        self.scored_texts += other.scored_texts
        self.petaflop += other.petaflop
        self.uncounted += other.uncounted
        self.seconds += other.seconds
        self.timed += other.timed

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return vars(self) | {"impossible": dict(self.impossible), "uncounted": dict(self.uncounted)}


@dataclass(frozen=True)
class TablePlan:
    """What it would take to run a table, or the rest of it.

    Args:
        table: The protocol's name.
        command: What runs it.
        encoders: Role to encoder.
        seeds: One a trial.
        columns: Key to the plan of the column, in the protocol's order.
        pretraining: Of the pre-training runs of rows, which all columns use; None where no row has one.
    """

    table: str
    command: str
    encoders: dict[str, str]
    seeds: tuple[int, ...]
    columns: dict[str, PartPlan]
    pretraining: PartPlan | None

    @property
    def total(self) -> PartPlan:
        """All columns, and in the texts and operations the pre-training too."""
        total = PartPlan()
        for part in self.columns.values():
            total.merge(part)
            total.to_run += part.to_run
            total.there += part.there
            total.impossible += part.impossible
        if self.pretraining is not None:
            total.merge(self.pretraining)
        return total

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return {
            "table": self.table,
            "command": self.command,
            "encoders": self.encoders,
            "seeds": list(self.seeds),
            "columns": {column: part.to_dict() for column, part in self.columns.items()},
            "pretraining": None if self.pretraining is None else self.pretraining.to_dict(),
            "total": self.total.to_dict(),
        }


def table_plan(
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
    overwrite: bool = False,
) -> TablePlan:
    """Counts the cells of a table and their work. Nothing is run, fetched or written.

    The rows of a set that is registered are counted by the registry, those of a file or folder of the user's by
    reading it; what would have to be fetched first is left out of the sums and named. Epochs count to the last: a
    training that stops early does less.

    Args:
        table: The protocol's name.
        protocol: The protocol.
        output: The folder that the table would be written to. What it holds is done, unless it is to be overwritten.
        rows: As for `tellapart.reproduction.run.reproduce`, and so all that follow.
        columns: Keys of the sets.
        encoders: Role to encoder.
        trials: Seeds of each cell.
        seed: The first seed.
        settings: `path=value` changes.
        overwrite: Whether what the folder holds would be thrown away.

    Raises:
        RecipeError: A row, a column, a role or a setting is unknown, or nothing can be run.
    """
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
    forget_rows()
    cells = [
        cell
        for cell in table_cells(asked, Path(output), quiet=True)
        if cell.row in asked.rows and cell.column in asked.columns
    ]
    left: list[Cell] = []
    parts = {}
    for column in asked.columns:
        part, its_left = _column(asked, column, [cell for cell in cells if cell.column == column], overwrite)
        parts[column] = part
        left += its_left
    return TablePlan(
        table=table,
        command=asked.command,
        encoders=asked.encoders,
        seeds=asked.seeds,
        columns=parts,
        pretraining=_pretraining(cells, left, overwrite),
    )


def _column(
    asked: TableRequest, column: str, cells: Sequence[Cell], overwrite: bool
) -> tuple[PartPlan, list[Cell]]:
    """Plans a column; returns which of its cells are left, too."""
    part = PartPlan()
    for row in asked.rows:
        if why_not := asked.protocol.why_not(row, column):
            part.impossible[why_not] += len(asked.seeds)
    left: list[Cell] = []
    seconds: dict[str, list[float]] = {}
    for cell in cells:
        trial = None if overwrite else MEASURES[cell.measures].on_disk(cell)
        if trial is not None:
            part.there += 1
            if _is_of_this_machine(trial):
                seconds.setdefault(cell.row, []).append(trial["seconds"])
        elif others := run_by_others(asked.protocol, cell.row):
            part.impossible[others] += 1
        else:
            left.append(cell)
    part.to_run = len(left)
    timed = [seconds[cell.row] for cell in left if cell.row in seconds]
    part.seconds, part.timed = sum(map(statistics.mean, timed)), len(timed)
    choosing = {cell.row: cell for cell in left if cell.choices and (overwrite or needs_choice(cell))}
    for cell in left:
        work, unknown = _cell_work(cell, choosing=choosing.get(cell.row) is cell)
        if work is None:
            part.uncounted[unknown] += 1
        else:
            part.add(work)
    return part, left


def _cell_work(cell: Cell, *, choosing: bool) -> tuple[Work | None, str]:
    """The work of a cell, with its choice if that is its to make; or None and what is not known."""
    if not isinstance(cell.recipe, Recipe):
        return None, f"the work of {cell.measures} is not counted"
    sizes, classes, unknown = _sizes(cell)
    if sizes is None:
        return None, unknown
    parameters, unknown = _parameters(cell.recipe.encoder)
    if parameters is None:
        return None, unknown
    counts = split_counts(sizes, classes, cell.recipe.data)
    work = trial_work(cell.recipe, counts, parameters)
    if choosing:
        for alternative in cell.choices:
            work += choice_work(with_values(cell.recipe, alternative), counts, parameters)
    return work, ""


def _sizes(cell: Cell) -> tuple[dict[str, int] | None, int, str]:
    """Rows a split and the number of classes; or None, 0 and why they are not known."""
    source = cell.source
    if Path(source).expanduser().exists() or local_folder(source) is not None:
        try:
            rows = rows_of(cell)
        except (TellapartError, OSError, ValueError) as error:
            return None, 0, one_sentence(error)
        return {name: len(split) for name, split in rows.splits.items()}, len(rows.labels), ""
    known = registered().get(source)
    if known is None or not known.sizes:
        return None, 0, f"how many rows {source} has is not known before it is fetched"
    if cell.evaluated == "test":
        return dict(known.sizes), known.classes, ""
    if "validation" not in known.sizes:
        return None, 0, f"{source} has no validation rows"
    return {"train": known.sizes["train"], "test": known.sizes["validation"]}, known.classes, ""


def _parameters(encoder: EncoderRecipe) -> tuple[int | None, str]:
    """The parameters that a token passes through, of both encoders where there are two; or None and why not."""
    if encoder.name == TFIDF:
        return 0, ""
    total = 0
    for name in filter(None, [encoder.name, encoder.second]):
        one = parameters_a_token(name, encoder.embedding_size)
        if one is None:
            return None, f"the size of {name} is not known before it is fetched"
        total += one
    return total, ""


def _pretraining(cells: Sequence[Cell], left: Sequence[Cell], overwrite: bool) -> PartPlan | None:
    """Plans the pre-training that the cells left wait for, once a row; None where no row has any."""
    having = {cell.row: cell for cell in cells if cell.pretraining is not None}
    if not having:
        return None
    part = PartPlan()
    waiting = {cell.row for cell in left}
    for row, cell in having.items():
        if row not in waiting or not (overwrite or needs_pretraining(cell)):
            part.there += 1
            continue
        part.to_run += 1
        assert cell.pretraining is not None
        work, unknown = _pretraining_work(cell.pretraining)
        if work is None:
            part.uncounted[unknown] += 1
        else:
            part.add(work)
    return part


def _pretraining_work(recipe: PretrainRecipe) -> tuple[Work | None, str]:
    """The work of a pre-training run; or None and what is not known."""
    if recipe.encoder == NEW:
        return None, "the size of a new encoder is not counted"
    names = [recipe.encoder]
    if recipe.objective == "electra":
        if recipe.generator is None:
            return None, "the size of a generator that is not named is not counted"
        names.append(recipe.generator)
    sizes = []
    for name in names:
        parameters, unknown = _parameters(EncoderRecipe(name=name))
        if parameters is None:
            return None, unknown
        sizes.append(parameters)
    work = pretraining_work(recipe, *sizes)
    return work, "" if work else "how many steps pre-training takes depends on its texts"


def _is_of_this_machine(trial: Mapping[str, Any]) -> bool:
    here, there = environment(), trial.get("environment", {})
    return all(there.get(key) == here[key] for key in _MACHINE)
