"""What all kinds of cells share: what they know of themselves, how they are kept, what comes before them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock

from tellapart.errors import RecipeError, did_you_mean
from tellapart.files import replacing
from tellapart.fitting.environment import environment
from tellapart.fitting.trials import TRIALS
from tellapart.pretraining.recipe import PretrainRecipe
from tellapart.recipes import Recipe
from tellapart.reproduction.measurements import Measurement
from tellapart.reproduction.protocol_schema import MODELS, PRETRAINING

PRETRAINED = "pretrained"
"""What stands for the encoder of a row in a fingerprint, where it is one that the table makes."""


@dataclass(frozen=True)
class Cell:
    """One row on one column with one seed.

    Args:
        measures: What kind of cell it is, a key of `tellapart.reproduction.measures.MEASURES`.
        row: The key of the row.
        column: The key of the column.
        recipe: What is run: a `Recipe`, whose `method` is the row, for `classification`, else a `Measurement`.
        table: The folder of the table.
        metrics: What is measured, the first being the trial's score.
        evaluated: The published split to measure on, `test` or `validation`.
        choices: Alternatives, each as `path=value` changes, among which the validation rows choose.
        choice_seed: That of the choice, which all seeds of a row and column share.
        pretraining: The run that the encoder comes from; None where it is taken as it is.
        quiet: Whether to show no progress.
    """

    measures: str
    row: str
    column: str
    recipe: Recipe | Measurement
    table: Path
    metrics: tuple[str, ...]
    evaluated: str
    choices: Sequence[Sequence[str]]
    choice_seed: int
    pretraining: PretrainRecipe | None
    quiet: bool

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.recipe.seed

    @property
    def source(self) -> str:
        """What it is measured on, as the recipe names it."""
        source = self.recipe.data.source if isinstance(self.recipe, Recipe) else self.recipe.source
        return source or ""

    @property
    def metric(self) -> str:
        """The name in `METRICS` of what becomes the score."""
        return self.metrics[0]

    @property
    def folder(self) -> Path:
        """Where the trials of this column are kept."""
        return self.table / self.column / TRIALS

    @property
    def trial_file(self) -> Path:
        """Where its trial is kept."""
        return self.folder / f"{self.row}-seed{self.seed}.json"

    @property
    def pretraining_folder(self) -> Path:
        """Where the run is, or will be, that the encoder comes from."""
        return self.table / PRETRAINING / self.row

    @property
    def model_folder(self) -> Path:
        """Where a model is, or will be, that several columns or tables measure."""
        return self.table / MODELS / f"{self.row}-seed{self.seed}"


@dataclass(frozen=True)
class ColumnRows:
    """What a column measures on, whatever the row and the seed.

    Args:
        source: Where it comes from.
        sizes: Split name to rows.
        fingerprint: SHA-256 of all of them.
        overlap: How many of those that are measured on were learnt from too; None where that is not known.
        note: What is known to distort results.
    """

    source: str
    sizes: dict[str, int]
    fingerprint: str
    overlap: int | None = None
    note: str = ""


class Measure(Protocol):
    """A module of this package, for one kind of cells."""

    def describe(self, cell: Cell) -> ColumnRows:
        """Reads what a cell measures on, once a process; it is the same for all cells of its column.

        Raises:
            TellapartError: It cannot be used, or does not have the metrics of the column.
        """
        ...

    def finished(self, cell: Cell, rows: ColumnRows) -> dict[str, Any] | None:
        """Returns the content of a cell's trial, if it was finished with these very settings on these rows."""
        ...

    def on_disk(self, cell: Cell) -> dict[str, Any] | None:
        """Returns the content of a cell's trial with these settings, without a look at the rows."""
        ...

    def run(self, cell: Cell) -> dict[str, Any]:
        """Runs a cell after all that it needs, writes its trial, and returns the content of that.

        Raises:
            TellapartError: It cannot be run, or the file not be written.
        """
        ...

    def forget(self) -> None:
        """Has `describe` read everything anew."""
        ...


def check_metrics(cell: Cell, known: Sequence[str]) -> None:
    """Refuses a metric that a kind of cells does not have.

    Raises:
        RecipeError: There is one.
    """
    for name in cell.metrics:
        if name not in known:
            raise RecipeError(
                f'what {cell.measures} measures has no metric "{name}"{did_you_mean(name, known)}',
                "use one of " + ", ".join(known),
            )


def fingerprint(cell: Cell, rows: ColumnRows) -> str:
    """Returns the SHA-256 of all that decides what comes out of a cell: settings, pre-training and rows."""
    return hashlib.sha256((settings_mark(cell) + rows.fingerprint).encode()).hexdigest()


def settings_mark(cell: Cell) -> str:
    """Returns the SHA-256 of the settings of a cell that is not one of classifiers, and of its pre-training."""
    recipe = cell.recipe.model_dump(mode="json")
    if cell.pretraining is not None:
        recipe["encoder"] = PRETRAINED
    content = [cell.measures, recipe, pretraining_mark(cell), cell.evaluated]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def pretraining_mark(cell: Cell) -> str:
    """Returns the SHA-256 of the recipe that the encoder comes from; empty where there is none."""
    return "" if cell.pretraining is None else hashlib.sha256(cell.pretraining.to_yaml().encode()).hexdigest()


def finished(cell: Cell, rows: ColumnRows) -> dict[str, Any] | None:
    """Returns what is on disk of a cell that is not one of classifiers, as `Measure.finished` says."""
    return kept_trial(cell, fingerprint(cell, rows))


def kept_trial(cell: Cell, mark: str) -> dict[str, Any] | None:
    """Reads a trial from its file, if it has this fingerprint."""
    if not cell.trial_file.is_file():
        return None
    kept = json.loads(cell.trial_file.read_text(encoding="utf-8"))
    return kept if kept.get("fingerprint") == mark else None


def on_disk(cell: Cell) -> dict[str, Any] | None:
    """Returns what is on disk of a cell that is not one of classifiers, as `Measure.on_disk` says."""
    if not cell.trial_file.is_file():
        return None
    kept = json.loads(cell.trial_file.read_text(encoding="utf-8"))
    return kept if kept.get("settings") == settings_mark(cell) else None


def keep_trial(
    cell: Cell, metrics: Mapping[str, float], mark: str, *, seconds: float, **more: Any
) -> dict[str, Any]:
    """Writes the file of a trial, whole or not at all.

    Args:
        cell: The cell.
        metrics: All that was measured.
        mark: Its fingerprint.
        seconds: What it took.
        more: What else belongs to it; JSON values.

    Returns:
        The content of the file, with the keys that all kinds have.

    Raises:
        OutputError: It cannot be written.
    """
    trial = {
        "method": cell.row,
        "seed": cell.seed,
        "score": metrics[cell.metric],
        "metrics": dict(metrics),
        "seconds": round(seconds, 3),
        "unseen": None,
        "seen_rows": 0,
        "unseen_score": None,
        **more,
        "environment": environment(),
        "settings": settings_mark(cell),
        "fingerprint": mark,
    }
    with replacing(cell.trial_file) as temporary:
        temporary.write_text(json.dumps(trial, ensure_ascii=False), encoding="utf-8")
    return trial


def pretrain_row(cell: Cell) -> Path:
    """Makes the encoder of a row, unless a run with the same recipe has finished there.

    Returns:
        The folder of the run.

    Raises:
        TellapartError: The run cannot be made.
    """
    from tellapart.pretraining.run import pretrain

    assert cell.pretraining is not None
    folder, recipe = cell.pretraining_folder, cell.pretraining
    with alone(folder):
        if needs_pretraining(cell):
            same = _same_pretraining(recipe, folder)
            with replacing(folder.with_suffix(".yaml")) as temporary:
                temporary.write_text(recipe.to_yaml(), encoding="utf-8")
            pretrain(recipe, folder, resume=same, overwrite=not same, quiet=cell.quiet)
    return folder


def needs_pretraining(cell: Cell) -> bool:
    """Whether the encoder of a cell has yet to be pre-trained."""
    if cell.pretraining is None:
        return False
    finished = (cell.pretraining_folder / "metrics.json").is_file()
    return not (finished and _same_pretraining(cell.pretraining, cell.pretraining_folder))


def _same_pretraining(recipe: PretrainRecipe, folder: Path) -> bool:
    asked = folder.with_suffix(".yaml")
    return asked.is_file() and asked.read_text(encoding="utf-8") == recipe.to_yaml()


def alone(path: Path) -> FileLock:
    """Holds back another process that is about to do the same work, on another device."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_name(f".{path.name}.lock"))
