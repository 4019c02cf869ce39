"""Cells whose trial is a classifier, trained and evaluated: those of `tellapart compare`."""

from __future__ import annotations

import functools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from tellapart.data.benchmarks.registered import registered
from tellapart.data.examples import TextData
from tellapart.data.fingerprints import rows_fingerprint
from tellapart.errors import DataError
from tellapart.evaluation.metrics import METRICS, find_metric
from tellapart.evaluation.task import is_ranking, task_metrics
from tellapart.files import replacing
from tellapart.fitting.fit import fit
from tellapart.fitting.rows import read_rows, split_data
from tellapart.fitting.trials import finished_trial, run_trial
from tellapart.recipes import Recipe, with_values
from tellapart.reproduction.measures.base import Cell, ColumnRows, alone, pretrain_row, pretraining_mark


def describe(cell: Cell) -> ColumnRows:
    """Reads the rows of a cell, as `tellapart.reproduction.measures.base.Measure` says."""
    rows = rows_of(cell)
    for metric in cell.metrics:
        find_metric(rows.labels, metric, ranking=is_ranking(rows.labels, rows.train))
    known = registered().get(_recipe(cell).data.source or "")
    return ColumnRows(
        source=rows.source,
        sizes={name: len(split) for name, split in rows.splits.items()},
        fingerprint=rows_fingerprint(rows),
        overlap=known.overlap if known else None,
        note=known.note if known else "",
    )


def finished(cell: Cell, rows: ColumnRows) -> dict[str, Any] | None:
    """Returns what is on disk of a cell, as `tellapart.reproduction.measures.base.Measure` says."""
    recipe = _pretrained(cell, _recipe(cell))
    chosen = _choice(cell, recipe)
    if chosen is None:
        return None
    return finished_trial(with_values(recipe, chosen), _marked(cell, rows.source), cell.folder)


def on_disk(cell: Cell) -> dict[str, Any] | None:
    """Returns what is on disk of a cell, as `tellapart.reproduction.measures.base.Measure` says."""
    source = cell.source if cell.evaluated == "test" else f"{cell.source} ({cell.evaluated})"
    return finished(cell, ColumnRows(source, {}, ""))


def run(cell: Cell) -> dict[str, Any]:
    """Runs a cell after its choice, as `tellapart.reproduction.measures.base.Measure` says."""
    if cell.pretraining is not None:
        pretrain_row(cell)
    recipe = _pretrained(cell, _recipe(cell))
    rows = rows_of(cell)
    rows = replace(rows, source=_marked(cell, rows.source))
    recipe = with_values(recipe, _chosen(cell, recipe, rows))
    return run_trial(recipe, split_data(recipe, rows), cell.folder, cell.metric, cell.quiet)


def forget() -> None:
    """Has `describe` read everything anew."""
    _read.cache_clear()


def rows_of(cell: Cell) -> TextData:
    """Reads the rows of a cell, once a process; where the published validation rows are compared on, as test rows.

    Raises:
        DataError: They cannot be used.
    """
    rows = _read(Recipe(data=_recipe(cell).data).model_dump_json())
    if cell.evaluated == "test":
        return rows
    if rows.validation is None:
        raise DataError(f"{rows.source} has no validation rows", "use a set that has them")
    # The source is part of a trial's fingerprint: it is not one on the test rows.
    return replace(rows, test=rows.validation, validation=None, source=f"{rows.source} (validation)")


def needs_choice(cell: Cell) -> bool:
    """Whether the validation rows have yet to choose among the alternatives of a cell's row and column."""
    return _choice(cell, _pretrained(cell, _recipe(cell))) is None


@functools.lru_cache(maxsize=16)
def _read(data: str) -> TextData:
    return read_rows(Recipe.model_validate_json(data))


def _marked(cell: Cell, source: str) -> str:
    """A source with what the encoder was pre-trained with: a trial is not one after another such run."""
    mark = pretraining_mark(cell)
    return f"{source} (pre-training {mark[:12]})" if mark else source


def _recipe(cell: Cell) -> Recipe:
    assert isinstance(cell.recipe, Recipe)
    return cell.recipe


def _pretrained(cell: Cell, recipe: Recipe) -> Recipe:
    if cell.pretraining is None:
        return recipe
    return with_values(recipe, [f"encoder.name={json.dumps(str(cell.pretraining_folder / 'model'))}"])


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
    with alone(_choice_file(cell)):
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
    metrics = task_metrics(
        fitted.labels, split, logits, fitted.decision.applied_thresholds, without_positive=rule
    )
    return metrics[cell.metric]
