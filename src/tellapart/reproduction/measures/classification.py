"""Table cells that train and evaluate a classifier, as `tellapart compare` does."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tellapart.data.benchmarks.registry import registered
from tellapart.data.examples import LabelSpace, TextData
from tellapart.data.fingerprints import column_fingerprints, rows_fingerprint
from tellapart.data.splits import redraw_splits
from tellapart.errors import DataError
from tellapart.evaluation.metrics import METRICS, find_metric
from tellapart.evaluation.task import is_ranking, task_metrics
from tellapart.files import file_stem, read_kept, write_text
from tellapart.fitting.fit import fit
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.rows import read_rows, split_data
from tellapart.fitting.trials import finished_trial, run_trial
from tellapart.recipes import Recipe, with_values
from tellapart.reproduction.glue_submission import is_submitted, submission_rows, write_submission
from tellapart.reproduction.measures.base import (
    Cell,
    ColumnRows,
    locked,
    pretrain_row,
    pretraining_fingerprint,
)


def describe(cell: Cell) -> ColumnRows:
    """Reads the rows of a cell; see `Measure.describe`."""
    rows = _rows(cell)
    for metric in cell.metrics:
        find_metric(rows.labels, metric, ranking=is_ranking(rows.labels, rows.train))
    if cell.submission is not None:
        submission_rows(cell.submission)  # fail before hours of training if they are missing
    known = registered().get(_recipe(cell).data.source or "")
    overlap = known.overlap if known else None
    return ColumnRows(
        source=rows.source,
        sizes={name: len(split) for name, split in rows.splits.items()},
        fingerprint=rows_fingerprint(rows),
        # drawn rows never share a text with others
        overlap=0 if cell.drawn is not None and cell.drawn.test is not None else overlap,
        note=known.note if known else "",
        notes=tuple(rows.notes),
    )


def finished(cell: Cell, rows: ColumnRows) -> dict[str, Any] | None:
    """Reads a cell's trial; see `Measure.finished`."""
    recipe = _pretrained(cell, _recipe(cell))
    selected = _read_selection(cell, recipe)
    if selected is None or not _submitted(cell):
        return None
    fingerprints = _rows(cell).fingerprints
    return finished_trial(
        with_values(recipe, selected), _source(cell, rows.source), cell.folder, fingerprints
    )


def run(cell: Cell) -> dict[str, Any]:
    """Selects among the choices, then trains and evaluates the classifier; see `Measure.run`."""
    if cell.pretraining is not None:
        pretrain_row(cell)
    recipe = _pretrained(cell, _recipe(cell))
    rows = _rows(cell)
    rows = replace(rows, source=_source(cell, rows.source))
    recipe = with_values(recipe, _selection(cell, recipe, rows))
    if not _submitted(cell):
        cell.trial_file.unlink(missing_ok=True)  # its classifier, which is not kept, has to predict them
    data = _split(cell, recipe, rows)
    return run_trial(recipe, data, cell.folder, cell.metric, cell.quiet, then=_submission(cell))


def labels_of(cell: Cell) -> LabelSpace:
    """Returns the classes of a cell's data set, in the order of the model's outputs."""
    return _rows(cell).labels


def forget() -> None:
    """Clears the cache of `describe`."""
    _read.cache_clear()


def _rows(cell: Cell) -> TextData:
    """Reads the rows of a cell; with `evaluated: validation` the published validation rows become the test rows.

    The source is part of a trial's fingerprint: it names what makes the rows other than those of the source's splits.
    """
    rows = _read(Recipe(data=_recipe(cell).data).model_dump_json())
    if cell.evaluated == "validation":
        if rows.validation is None:
            raise DataError(f"{rows.source} has no validation rows", "use a set that has them")
        rows = _marked(
            replace(rows, test=rows.validation, validation=None, source=f"{rows.source} (validation)")
        )
    seed, drawn = cell.split_seed, cell.drawn
    if seed is None:
        return rows
    if drawn is None:
        return replace(rows, source=f"{rows.source} (splits of seed {seed})")
    counts = f"{drawn.validation} validation and {drawn.test} test rows drawn with seed {seed}"
    redrawn = redraw_splits(rows, validation=drawn.validation, test=drawn.test, seed=seed)
    return _marked(replace(redrawn, source=f"{rows.source} ({counts})"))


def _marked(rows: TextData) -> TextData:
    """The rows with the fingerprints of their splits, which are other ones than those of the source."""
    return replace(rows, fingerprints=column_fingerprints(rows))


def _split(cell: Cell, recipe: Recipe, rows: TextData) -> TextData:
    """Splits the rows for a trial, with the table's seed of the splits if it has one."""
    seed = recipe.seed if cell.split_seed is None else cell.split_seed
    return split_data(recipe.model_copy(update={"seed": seed}), rows)


def _submission(cell: Cell) -> Callable[[Fitted], None] | None:
    task, folder = cell.submission, cell.submission_folder
    return None if task is None else lambda fitted: write_submission(task, fitted, folder)


def _submitted(cell: Cell) -> bool:
    """Whether the files for GLUE's server are written; true if none are asked for."""
    return cell.submission is None or is_submitted(cell.submission, cell.submission_folder)


@functools.lru_cache(maxsize=16)
def _read(data: str) -> TextData:
    return read_rows(Recipe.model_validate_json(data))


def _source(cell: Cell, source: str) -> str:
    """Adds the pre-training to a source, so that the trial's fingerprint depends on it."""
    mark = pretraining_fingerprint(cell)
    return f"{source} (pre-training {mark[:12]})" if mark else source


def _recipe(cell: Cell) -> Recipe:
    assert isinstance(cell.recipe, Recipe)
    return cell.recipe


def _pretrained(cell: Cell, recipe: Recipe) -> Recipe:
    if cell.pretraining is None:
        return recipe
    return with_values(recipe, [f"encoder.name={json.dumps(str(cell.pretraining_folder / 'model'))}"])


def _selection_file(cell: Cell) -> Path:
    return cell.folder / f"{file_stem(cell.row)}-choice.json"


def _read_selection(cell: Cell, recipe: Recipe) -> list[str] | None:
    """The changes selected for the row and column: empty without choices, None if not selected yet."""
    if not cell.choices:
        return []
    kept = read_kept(_selection_file(cell))
    if kept is None:
        return None
    rows = kept.get("rows", _rows(cell).fingerprints)  # older ones have none
    same = kept["asked"] == _selection_key(cell, recipe) and rows == _rows(cell).fingerprints
    return kept["chosen"] if same else None


def _selection_key(cell: Cell, recipe: Recipe) -> dict[str, Any]:
    settled = recipe.model_copy(update={"seed": cell.choice_seed})
    choices = [list(one) for one in cell.choices]
    return {"recipe": settled.model_dump(mode="json"), "choices": choices, "metric": cell.metric}


def _selection(cell: Cell, recipe: Recipe, rows: TextData) -> list[str]:
    """The selected changes, made now if not on disk."""
    selected = _read_selection(cell, recipe)
    if selected is not None:
        return selected
    with locked(_selection_file(cell)):
        selected = _read_selection(cell, recipe)  # another process may have selected meanwhile
        return _select(cell, recipe, rows) if selected is None else selected


def _select(cell: Cell, recipe: Recipe, rows: TextData) -> list[str]:
    """Trains every alternative and keeps the best one on the validation rows; the first of ties."""
    seeded = recipe.model_copy(update={"seed": cell.choice_seed})
    data = _split(cell, seeded, rows)
    sign = 1 if METRICS[cell.metric].greater_is_better else -1
    scores = [_validation_score(cell, with_values(seeded, one), data) for one in cell.choices]
    selected = list(cell.choices[max(range(len(scores)), key=lambda place: sign * scores[place])])
    content = {"asked": _selection_key(cell, recipe), "chosen": selected, "validation": scores}
    content["rows"] = rows.fingerprints
    write_text(_selection_file(cell), json.dumps(content, ensure_ascii=False))
    return selected


def _validation_score(cell: Cell, recipe: Recipe, data: TextData) -> float:
    split = data.validation
    if split is None:
        raise DataError("there are no validation rows to select on", "remove the choices from the protocol")
    scratch = cell.folder / f".{file_stem(cell.row)}-choice"
    try:
        fitted = fit(recipe, data, scratch, quiet=cell.quiet)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    rule = recipe.data.without_positive
    logits = fitted.validation_scores(split)
    metrics = task_metrics(
        fitted.labels, split, logits, fitted.decision.applied_thresholds, without_positive=rule
    )
    return metrics[cell.metric]
