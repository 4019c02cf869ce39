"""Cells that train a model to answer questions out of a text, and measure its answers."""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path
from typing import Any

from tellapart.errors import DataError
from tellapart.files import replacing
from tellapart.question_answering.loading import load_span_model
from tellapart.question_answering.metrics import span_metrics
from tellapart.question_answering.runs import answer, train_spans
from tellapart.question_answering.squad import SquadExample, questions_fingerprint, read_squad
from tellapart.reproduction.measurements import SpansMeasurement
from tellapart.reproduction.measures.base import (
    PRETRAINED,
    Cell,
    ColumnRows,
    alone,
    check_metrics,
    fingerprint,
    finished,
    keep_trial,
    kept_trial,
    on_disk,
    pretrain_row,
    pretraining_mark,
)

__all__ = ["METRICS", "describe", "finished", "forget", "on_disk", "run"]

METRICS = ("exact_match", "f1")
"""As SQuAD's own scripts define them."""

_TRAINING = ("max_length", "stride", "epochs", "batch_size", "learning_rate", "precision", "seed")

Questions = tuple[SquadExample, ...]


def describe(cell: Cell) -> ColumnRows:
    """Reads the questions of a cell, as `tellapart.reproduction.measures.base.Measure` says."""
    check_metrics(cell, METRICS)
    return question_rows(cell)


def run(cell: Cell) -> dict[str, Any]:
    """Runs a cell after the training of its model, as `tellapart.reproduction.measures.base.Measure` says."""
    mark = fingerprint(cell, describe(cell))
    done = kept_trial(cell, mark)
    if done is not None:
        return done
    model, seconds = span_model(cell)
    start = time.perf_counter()
    evaluated = evaluated_questions(cell)
    metrics = span_metrics(evaluated, answer(*load_span_model(model), evaluated, quiet=cell.quiet))
    return keep_trial(cell, _shares(metrics), mark, seconds=seconds + time.perf_counter() - start)


def forget() -> None:
    """Has `describe` read everything anew."""
    _read.cache_clear()
    _described.cache_clear()


def question_rows(cell: Cell) -> ColumnRows:
    """Describes the questions that a cell learns from and those that it is measured on.

    Raises:
        DataError: They cannot be read, or are the same.
    """
    recipe = span_recipe(cell)
    return _described(str(recipe.source), recipe.train, cell.evaluated)


def evaluated_questions(cell: Cell) -> Questions:
    """Returns the questions that a cell is measured on."""
    return _read(str(span_recipe(cell).source), cell.evaluated)


def span_recipe(cell: Cell) -> SpansMeasurement:
    """Returns the settings of a cell."""
    assert isinstance(cell.recipe, SpansMeasurement)
    return cell.recipe


def span_model(cell: Cell) -> tuple[Path, float]:
    """Trains the model of a row and seed, unless one with the same settings is there.

    It is shared by the columns of a table, and by the tables of a folder.

    Returns:
        The folder of the run, and the seconds that its training took.

    Raises:
        TellapartError: It cannot be trained.
    """
    recipe, folder = span_recipe(cell), cell.model_folder
    encoder = recipe.encoder if cell.pretraining is None else str(pretrain_row(cell) / "model")
    learnt_from = recipe.train or str(recipe.source)
    asked, settings = folder.with_suffix(".json"), {name: getattr(recipe, name) for name in _TRAINING}
    content = {
        "encoder": recipe.encoder if cell.pretraining is None else PRETRAINED,
        "pretraining": pretraining_mark(cell),
        "questions": questions_fingerprint({"train": _read(learnt_from, "train")}),
        **settings,
    }
    with alone(folder):
        written = json.dumps(content, indent=2)
        same = asked.is_file() and asked.read_text(encoding="utf-8") == written
        if not (same and (folder / "metrics.json").is_file()):
            with replacing(asked) as temporary:
                temporary.write_text(written, encoding="utf-8")
            train_spans(learnt_from, folder, encoder=encoder, overwrite=True, quiet=cell.quiet, **settings)
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return folder, metrics["training_seconds"]


@functools.lru_cache(maxsize=16)
def _read(source: str, split: str) -> Questions:
    return tuple(read_squad(source, split=split))


@functools.lru_cache(maxsize=16)
def _described(source: str, train: str | None, split: str) -> ColumnRows:
    learnt, evaluated = _read(train or source, "train"), _read(source, split)
    if learnt == evaluated:
        raise DataError(
            f"the questions of {source} would be both learnt from and measured on",
            "name others to learn from, such as --set train=train.json",
        )
    known = {example.context for example in learnt}
    overlap = sum(example.context in known for example in evaluated)
    return ColumnRows(
        source=source,
        sizes={"train": len(learnt), split: len(evaluated)},
        fingerprint=questions_fingerprint({"train": learnt, split: evaluated}),
        overlap=overlap,
        note=f"{overlap} of the questions measured on are about a text of the training rows"
        if overlap
        else "",
    )


def _shares(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name not in ("total", "missing")}
