"""Table cells that train and evaluate a model for extractive question answering."""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path
from typing import Any

from tellapart.errors import DataError
from tellapart.files import read_kept, write_text
from tellapart.fitting.fingerprints import model_contents
from tellapart.question_answering.metrics import qa_metrics
from tellapart.question_answering.runs import answer, load_qa_model, train_qa
from tellapart.question_answering.squad import SquadExample, questions_fingerprint, read_squad
from tellapart.reproduction.measures.base import (
    PRETRAINED,
    Cell,
    ColumnRows,
    check_metrics,
    finished,
    locked,
    pretrain_row,
    pretraining_fingerprint,
    write_trial,
)
from tellapart.reproduction.measures.settings import QuestionAnsweringMeasurement

__all__ = ["METRICS", "describe", "finished", "forget", "run"]

METRICS = ("exact_match", "f1")
"""As SQuAD's own scripts compute them."""

_TRAINING = ("max_length", "stride", "epochs", "batch_size", "learning_rate", "precision", "seed")

Questions = tuple[SquadExample, ...]


def describe(cell: Cell) -> ColumnRows:
    """Reads the questions of a cell; see `Measure.describe`."""
    check_metrics(cell, METRICS)
    return question_rows(cell)


def run(cell: Cell) -> dict[str, Any]:
    """Trains the model if need be and evaluates its answers; see `Measure.run`."""
    rows = describe(cell)
    if done := finished(cell, rows):
        return done
    model, seconds = trained_model(cell)
    start = time.perf_counter()
    evaluated = evaluated_questions(cell)
    metrics = qa_metrics(evaluated, answer(*load_qa_model(model), evaluated, quiet=cell.quiet))
    shares = {name: value for name, value in metrics.items() if name not in ("total", "missing")}
    return write_trial(cell, rows, shares, seconds=seconds + time.perf_counter() - start)


def forget() -> None:
    """Clears the cache of `describe`."""
    _read.cache_clear()
    _described.cache_clear()


def question_rows(cell: Cell) -> ColumnRows:
    """Describes the training questions and the evaluated questions of a cell.

    Raises:
        DataError: They cannot be read, or both are the same.
    """
    recipe = _recipe(cell)
    return _described(str(recipe.source), recipe.train, cell.evaluated)


def evaluated_questions(cell: Cell) -> Questions:
    """Returns the questions that a cell is evaluated on."""
    return _read(str(_recipe(cell).source), cell.evaluated)


def _recipe(cell: Cell) -> QuestionAnsweringMeasurement:
    assert isinstance(cell.recipe, QuestionAnsweringMeasurement)
    return cell.recipe


def trained_model(cell: Cell) -> tuple[Path, float]:
    """Trains the model of a row and seed, unless one with the same settings exists.

    The columns of a table share it, and so do the tables in one folder.

    Returns:
        The folder of the run, and the training time in seconds.

    Raises:
        TellapartError: It cannot be trained.
    """
    recipe, folder = _recipe(cell), cell.model_folder
    encoder = recipe.encoder if cell.pretraining is None else str(pretrain_row(cell) / "model")
    training_source = recipe.train or str(recipe.source)
    asked, settings = folder.with_suffix(".json"), {name: getattr(recipe, name) for name in _TRAINING}
    content = {
        "encoder": recipe.encoder if cell.pretraining is None else PRETRAINED,
        "pretraining": pretraining_fingerprint(cell),
        "questions": questions_fingerprint({"train": _read(training_source, "train")}),
        **settings,
    }
    contents = {} if cell.pretraining is not None else model_contents({"encoder": encoder})
    with locked(folder):
        written = json.dumps(content | {"contents": contents}, indent=2)
        kept = read_kept(asked) or {}
        same = kept == content | (
            {"contents": contents} if "contents" in kept else {}
        )  # older ones have none
        if not same or read_kept(folder / "metrics.json") is None:
            write_text(asked, written)
            train_qa(training_source, folder, encoder=encoder, overwrite=True, quiet=cell.quiet, **settings)
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return folder, metrics["training_seconds"]


@functools.lru_cache(maxsize=16)
def _read(source: str, split: str) -> Questions:
    return tuple(read_squad(source, split=split))


@functools.lru_cache(maxsize=16)
def _described(source: str, train: str | None, split: str) -> ColumnRows:
    training, evaluated = _read(train or source, "train"), _read(source, split)
    if training == evaluated:
        raise DataError(
            f"the questions of {source} would be both trained and evaluated on",
            "name other training questions, such as --set train=train.json",
        )
    known = {example.context for example in training}
    overlap = sum(example.context in known for example in evaluated)
    return ColumnRows(
        source=source,
        sizes={"train": len(training), split: len(evaluated)},
        fingerprint=questions_fingerprint({"train": training, split: evaluated}),
        overlap=overlap,
        note=f"{overlap} of the questions measured on are about a text of the training rows"
        if overlap
        else "",
    )
