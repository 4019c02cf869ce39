"""The cells of a table: each a trial on disk, made where it is missing, and kept with its reason where it fails."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from tellapart.data.examples import TextData
from tellapart.errors import DataError, OutputError, TellapartError
from tellapart.evaluation.metrics import METRICS
from tellapart.evaluation.task import task_metrics
from tellapart.files import replacing
from tellapart.recipes import Recipe, with_values
from tellapart.recipes.pretraining import PretrainRecipe
from tellapart.runs.fitting import fit
from tellapart.runs.rows import read_rows, split_data
from tellapart.runs.trials import finished_trial, run_trial, trial_file


@dataclass(frozen=True)
class Cell:
    """One method on one set with one seed.

    Args:
        row: The key of the method.
        column: The key of the set.
        recipe: What is run; its `method` is the row.
        folder: Where the trials of this set are kept.
        metric: The name in `METRICS` of what becomes the score.
        evaluated: The published split to compare on, `test` or `validation`.
        choices: Alternatives, each as `path=value` changes, among which the validation rows choose.
        choice_seed: That of the choice, which all seeds of a row and column share.
        pretraining: The run that the encoder comes from; None where it is taken as it is.
        pretraining_folder: Where that run is, or will be.
        quiet: Whether to show no progress.
    """

    row: str
    column: str
    recipe: Recipe
    folder: Path
    metric: str
    evaluated: str
    choices: Sequence[Sequence[str]]
    choice_seed: int
    pretraining: PretrainRecipe | None
    pretraining_folder: Path
    quiet: bool

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.recipe.seed


@dataclass(frozen=True)
class CellResult:
    """What became of a cell: the content of the trial's file, or why there is none."""

    trial: dict[str, Any] | None = None
    error: str | None = None


@functools.lru_cache(maxsize=16)
def _rows_of(data: str) -> TextData:
    return read_rows(Recipe.model_validate_json(data))


def forget_rows() -> None:
    """Has `rows_of` read everything anew."""
    _rows_of.cache_clear()


def rows_of(cell: Cell) -> TextData:
    """Reads the rows of a cell, once a process; where the published validation rows are compared on, as test rows.

    Raises:
        DataError: They cannot be used.
    """
    rows = _rows_of(Recipe(data=cell.recipe.data).model_dump_json())
    if cell.evaluated == "test":
        return rows
    if rows.validation is None:
        raise DataError(f"{rows.source} has no validation rows", "use a set that has them")
    # The source is part of a trial's fingerprint: it is not one on the test rows.
    return replace(rows, test=rows.validation, validation=None, source=f"{rows.source} (validation)")


def finished_cell(cell: Cell, source: str) -> CellResult | None:
    """Returns what is on disk of a cell: its trial, else why it failed, else None.

    Args:
        cell: The cell.
        source: What the rows came from, `TextData.source`.
    """
    recipe = _pretrained(cell, cell.recipe)
    chosen = _choice(cell, recipe)
    if chosen is not None:
        trial = finished_trial(with_values(recipe, chosen), source, cell.folder)
        if trial is not None:
            return CellResult(trial)
    failure = _failure_file(cell)
    if failure.is_file():
        return CellResult(error=json.loads(failure.read_text(encoding="utf-8"))["error"])
    return None


def needs_pretraining(cell: Cell) -> bool:
    """Whether the encoder of a cell has yet to be pre-trained."""
    if cell.pretraining is None:
        return False
    finished = (cell.pretraining_folder / "metrics.json").is_file()
    return not (finished and _same_pretraining(cell.pretraining, cell.pretraining_folder))


def needs_choice(cell: Cell) -> bool:
    """Whether the validation rows have yet to choose among the alternatives of a cell's row and column."""
    return _choice(cell, _pretrained(cell, cell.recipe)) is None


def run_cell(cell: Cell) -> CellResult:
    """Runs a cell, after the pre-training and the choice that it needs, or takes from disk what was done before.

    Whatever fails is kept in a file beside the trials, until the cell is run again and does not.

    Raises:
        OutputError: Files cannot be written, which all other cells would meet too.
    """
    try:
        if cell.pretraining is not None:
            _pretrain(cell.pretraining, cell.pretraining_folder, cell.quiet)
        recipe = _pretrained(cell, cell.recipe)
        rows = rows_of(cell)
        recipe = with_values(recipe, _chosen(cell, recipe, rows))
        trial = run_trial(recipe, split_data(recipe, rows), cell.folder, cell.metric, cell.quiet)
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
    return trial_file(cell.recipe, cell.folder).with_suffix(".failed.json")


def _pretrained(cell: Cell, recipe: Recipe) -> Recipe:
    if cell.pretraining is None:
        return recipe
    return with_values(recipe, [f"encoder.name={json.dumps(str(cell.pretraining_folder / 'model'))}"])


def _pretrain(recipe: PretrainRecipe, folder: Path, quiet: bool) -> None:
    """Makes the encoder of a row, unless a run with the same recipe has finished there."""
    from tellapart.runs.pretrain import pretrain

    marker = folder / "metrics.json"
    asked = folder.with_suffix(".yaml")
    with _alone(folder):
        same = _same_pretraining(recipe, folder)
        if marker.is_file() and same:
            return
        with replacing(asked) as temporary:
            temporary.write_text(recipe.to_yaml(), encoding="utf-8")
        pretrain(recipe, folder, resume=same, overwrite=not same, quiet=quiet)


def _same_pretraining(recipe: PretrainRecipe, folder: Path) -> bool:
    asked = folder.with_suffix(".yaml")
    return asked.is_file() and asked.read_text(encoding="utf-8") == recipe.to_yaml()


def _alone(path: Path) -> FileLock:
    """Holds back another process that is about to do the same work, on another device."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_name(f".{path.name}.lock"))


def _choice_file(cell: Cell) -> Path:
    return cell.folder / f"{cell.row}-choice.json"


def _choice(cell: Cell, recipe: Recipe) -> list[str] | None:
    """What was chosen for the row and column: nothing where there is no choice, None where it is still open."""
    if not cell.choices:
        return []
    file = _choice_file(cell)
    if not file.is_file():
        return None
    kept = json.loads(file.read_text(encoding="utf-8"))
    return kept["chosen"] if kept["asked"] == _asked(cell, recipe) else None


def _asked(cell: Cell, recipe: Recipe) -> dict[str, Any]:
    settled = recipe.model_copy(update={"seed": cell.choice_seed})
    choices = [list(one) for one in cell.choices]
    return {"recipe": settled.model_dump(mode="json"), "choices": choices, "metric": cell.metric}


def _chosen(cell: Cell, recipe: Recipe, rows: TextData) -> list[str]:
    """What the validation rows chose, which may still have to be asked."""
    chosen = _choice(cell, recipe)
    if chosen is not None:
        return chosen
    with _alone(_choice_file(cell)):
        chosen = _choice(cell, recipe)  # another process may have asked meanwhile
        return _choose(cell, recipe, rows) if chosen is None else chosen


def _choose(cell: Cell, recipe: Recipe, rows: TextData) -> list[str]:
    """Trains with every alternative and keeps the one that validates best, the first of equals."""
    seeded = recipe.model_copy(update={"seed": cell.choice_seed})
    data = split_data(seeded, rows)
    sign = 1 if METRICS[cell.metric].greater_is_better else -1
    scores = [_validation_score(cell, with_values(seeded, one), data) for one in cell.choices]
    chosen = list(cell.choices[max(range(len(scores)), key=lambda place: sign * scores[place])])
    content = {"asked": _asked(cell, recipe), "chosen": chosen, "validation": scores}
    with replacing(_choice_file(cell)) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return chosen


def _validation_score(cell: Cell, recipe: Recipe, data: TextData) -> float:
    split = data.validation
    if split is None:
        raise DataError("there are no validation rows to choose by", "leave out the choices of the protocol")
    scratch = cell.folder / f".{cell.row}-choice"
    try:
        fitted = fit(recipe, data, scratch, quiet=cell.quiet)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    rule = recipe.data.without_positive
    logits = fitted.scores(split)
    metrics = task_metrics(fitted.labels, split, logits, fitted.decision.cuts, without_positive=rule)
    return metrics[cell.metric]
