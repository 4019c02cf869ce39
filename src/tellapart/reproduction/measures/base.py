"""Shared parts of all kinds of cells: the cell itself, fingerprints, trial files, pre-training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock

from tellapart.errors import RecipeError, did_you_mean
from tellapart.files import file_stem, path_component, read_kept, write_text
from tellapart.fitting.environment import environment
from tellapart.fitting.fingerprints import Fingerprint, changed_values, model_contents
from tellapart.fitting.trials import TRIALS
from tellapart.pretraining.recipe import PretrainRecipe
from tellapart.recipes import Recipe
from tellapart.reproduction.measures.settings import Measurement
from tellapart.reproduction.protocols import MODELS, PRETRAINING, SUBMISSIONS, DrawnRows

PRETRAINED = "pretrained"
"""Stands for a row's encoder in fingerprints if the table pre-trains it."""


@dataclass(frozen=True)
class Cell:
    """One row on one column with one seed.

    Args:
        measures: Kind of cell, a key of `tellapart.reproduction.cells.MEASURES`.
        row: Key of the row.
        column: Key of the column.
        recipe: A `Recipe` whose `method` is the row for `classification`, else a `Measurement`.
        table: Folder of the table.
        metrics: Names of the metrics; the first is the trial's score.
        evaluated: The published split to evaluate on, `test` or `validation`.
        choices: Alternatives, each as `path=value` changes, to select from on the validation rows.
        choice_seed: Seed of that selection, which all seeds of a row and column share.
        pretraining: The pre-training run of the encoder; None if it is used as published.
        quiet: Whether to show no progress.
        drawn: Rows that are drawn in place of the published splits; None to keep these.
        split_seed: Seed of the splits in all trials; None for the seed of the recipe.
        submission: GLUE task whose test rows are predicted for GLUE's server; None for none.
        model_folders: The models that it starts from which are folders of the command's machine.
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
    drawn: DrawnRows | None = None
    split_seed: int | None = None
    submission: str | None = None
    model_folders: tuple[str, ...] = ()

    @property
    def seed(self) -> int:
        """The random seed."""
        return self.recipe.seed

    @property
    def source(self) -> str:
        """The data set, as the recipe names it."""
        source = self.recipe.data.source if isinstance(self.recipe, Recipe) else self.recipe.source
        return source or ""

    @property
    def metric(self) -> str:
        """The metric that becomes the trial's score."""
        return self.metrics[0]

    @property
    def folder(self) -> Path:
        """The folder of the column's trials."""
        return self.table / path_component(self.column) / TRIALS

    @property
    def trial_file(self) -> Path:
        """The file of the trial."""
        return self.folder / f"{file_stem(self.row)}-seed{self.seed}.json"

    @property
    def pretraining_folder(self) -> Path:
        """The folder of the encoder's pre-training run."""
        return self.table / PRETRAINING / path_component(self.row)

    @property
    def model_folder(self) -> Path:
        """The folder of a model that several columns or tables evaluate."""
        return self.table / MODELS / path_component(f"{self.row}-seed{self.seed}")

    @property
    def submission_folder(self) -> Path:
        """The folder of the row's and the seed's files for GLUE's server."""
        return self.table / SUBMISSIONS / f"{self.row}-seed{self.seed}"


@dataclass(frozen=True)
class ColumnRows:
    """The data set of a column, which is the same for all rows and seeds.

    Args:
        source: Its source.
        sizes: Split name to number of rows.
        fingerprint: SHA-256 of all rows.
        overlap: Number of evaluated rows that are also in train; None if unknown.
        note: Known problems that distort results.
        notes: Remarks from reading it.
    """

    source: str
    sizes: dict[str, int]
    fingerprint: str
    overlap: int | None = None
    note: str = ""
    notes: tuple[str, ...] = ()


class Measure(Protocol):
    """Interface of the modules of this package, one per kind of cell."""

    def describe(self, cell: Cell) -> ColumnRows:
        """Reads a cell's data set, cached per process; it is the same for all cells of a column.

        Raises:
            TellapartError: It cannot be used, or does not have the metrics of the column.
        """

    def finished(self, cell: Cell, rows: ColumnRows) -> dict[str, Any] | None:
        """Returns the content of a cell's trial, if it was run with the same settings on the same rows."""

    def run(self, cell: Cell) -> dict[str, Any]:
        """Runs a cell and whatever it depends on, writes its trial, and returns the trial's content.

        Raises:
            TellapartError: It cannot be run, or the file cannot be written.
        """

    def forget(self) -> None:
        """Clears the cache of `describe`."""


def check_metrics(cell: Cell, known: Sequence[str]) -> None:
    """Checks that this kind of cell has the requested metrics.

    Raises:
        RecipeError: A metric is unknown.
    """
    for name in cell.metrics:
        if name not in known:
            raise RecipeError(
                f'a table that measures {cell.measures} has no metric "{name}"{did_you_mean(name, known)}',
                "use one of " + ", ".join(known),
            )


def fingerprint(cell: Cell, rows: ColumnRows) -> str:
    """Returns the SHA-256 of everything that determines a cell's result: settings, pre-training and data."""
    return hashlib.sha256((settings_fingerprint(cell) + rows.fingerprint).encode()).hexdigest()


def settings_fingerprint(cell: Cell) -> str:
    """Returns the SHA-256 of a cell's settings and pre-training; not for cells of classifiers."""
    recipe = cell.recipe.model_dump(mode="json")
    if cell.pretraining is not None:
        recipe["encoder"] = PRETRAINED
    content = [cell.measures, recipe, pretraining_fingerprint(cell), cell.evaluated]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def pretraining_fingerprint(cell: Cell) -> str:
    """Returns the SHA-256 of the pre-training recipe; empty without pre-training."""
    return "" if cell.pretraining is None else hashlib.sha256(cell.pretraining.to_yaml().encode()).hexdigest()


def finished(cell: Cell, rows: ColumnRows) -> dict[str, Any] | None:
    """Reads a cell's trial if it has the same settings; see `Measure.finished`. Not for cells of classifiers.

    Raises:
        RecipeError: The settings are the same, but the data, the encoder or the code have changed.
    """
    kept = read_kept(cell.trial_file)
    if kept is None:
        return None
    if "inputs" not in kept:
        return kept if kept.get("fingerprint") == fingerprint(cell, rows) else None
    before, now = Fingerprint.model_validate(kept["inputs"]), _inputs(cell, rows)
    if now.other_settings(before):
        return None
    now.check(before, f"the trial {cell.trial_file}")
    return kept


def _inputs(cell: Cell, rows: ColumnRows) -> Fingerprint:
    """The fingerprint of a cell; that of a pre-trained encoder is the recipe of its pre-training."""
    settings = changed_values(cell.recipe)
    settings |= {"measures": cell.measures, "evaluated": cell.evaluated}
    named = {
        "encoder": getattr(cell.recipe, "encoder", None),
        "wordnet": getattr(cell.recipe, "wordnet", None),
    }
    if cell.pretraining is not None:
        settings |= {"encoder": PRETRAINED, "pretraining": pretraining_fingerprint(cell)}
        del named["encoder"]
    contents = {"source": {"rows": rows.fingerprint}} | model_contents(named)
    return Fingerprint(kind="cell", settings=settings, contents=contents)


def write_trial(
    cell: Cell, rows: ColumnRows, metrics: Mapping[str, float], *, seconds: float, **more: Any
) -> dict[str, Any]:
    """Writes the file of a trial, whole or not at all.

    Args:
        cell: The cell.
        rows: Its data set.
        metrics: Metric to value.
        seconds: Wall time.
        more: Further JSON values.

    Returns:
        The content of the file, with the keys that all kinds of cells have.

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
        "settings": settings_fingerprint(cell),
        "fingerprint": fingerprint(cell, rows),
        "inputs": _inputs(cell, rows).model_dump(),
    }
    write_text(cell.trial_file, json.dumps(trial, ensure_ascii=False))
    return trial


def pretrain_row(cell: Cell) -> Path:
    """Pre-trains the encoder of a row, unless a run with the same recipe has finished there.

    Returns:
        The folder of the run.

    Raises:
        TellapartError: The run fails.
    """
    from tellapart.pretraining.run import pretrain

    assert cell.pretraining is not None
    folder, recipe = cell.pretraining_folder, cell.pretraining
    written = folder.with_suffix(".yaml")
    with locked(folder):
        same = written.is_file() and written.read_text(encoding="utf-8") == recipe.to_yaml()
        if not (same and (folder / "metrics.json").is_file()):
            write_text(written, recipe.to_yaml())
            pretrain(recipe, folder, resume=same, overwrite=not same, quiet=cell.quiet)
    return folder


def locked(path: Path) -> FileLock:
    """Returns a lock file beside a path: another process must not do the same work at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_name(f".{path.name}.lock"))
