"""Table cells that measure the robustness of question answering models to an attack."""

from __future__ import annotations

import time
from typing import Any

from tellapart.errors import DataError
from tellapart.question_answering.attacks import attacked_examples
from tellapart.question_answering.metrics import qa_metrics
from tellapart.question_answering.runs import answer, load_qa_model
from tellapart.reproduction.measures import question_answering
from tellapart.reproduction.measures.base import (
    Cell,
    ColumnRows,
    check_metrics,
    finished,
    write_trial,
)
from tellapart.reproduction.measures.settings import RobustnessMeasurement
from tellapart.wordnet.reader import WordNet

__all__ = ["METRICS", "describe", "finished", "forget", "run"]

METRICS = (
    *(f"{name}_{what}" for name in question_answering.METRICS for what in ("before", "after", "lost")),
    "changed_questions",
)
"""Exact match and F1 on the questions that the attack changed, before and after; and the share of these."""


def describe(cell: Cell) -> ColumnRows:
    """Reads the questions of a cell; see `Measure.describe`."""
    check_metrics(cell, METRICS)
    WordNet(_recipe(cell).wordnet)  # fail before hours of training if it is missing
    return question_answering.question_rows(cell)


def run(cell: Cell) -> dict[str, Any]:
    """Trains the model if need be, then evaluates it before and after the attack; see `Measure.run`."""
    recipe, rows = _recipe(cell), describe(cell)
    if done := finished(cell, rows):
        return done
    questions = question_answering.evaluated_questions(cell)
    made = attacked_examples(
        questions, recipe.attack, WordNet(recipe.wordnet), share=recipe.share, seed=recipe.seed
    )
    pairs = [pair for *pair, changes in zip(questions, made.examples, made.changes, strict=True) if changes]
    if not pairs:
        raise DataError(
            f"{recipe.attack} changes none of the {len(questions)} questions of {recipe.source}",
            "give more or longer texts",
        )
    folder, seconds = question_answering.trained_model(cell)
    start = time.perf_counter()
    model = load_qa_model(folder)
    before, after = (
        qa_metrics(asked, answer(*model, asked, quiet=cell.quiet)) for asked in zip(*pairs, strict=True)
    )
    metrics = {"changed_questions": len(pairs) / len(questions)}
    for name in question_answering.METRICS:
        metrics |= {f"{name}_before": before[name], f"{name}_after": after[name]}
        metrics[f"{name}_lost"] = before[name] - after[name]
    return write_trial(
        cell, rows, metrics, seconds=seconds + time.perf_counter() - start, questions=len(pairs)
    )


def forget() -> None:
    """Clears the cache of `describe`."""
    question_answering.forget()


def _recipe(cell: Cell) -> RobustnessMeasurement:
    assert isinstance(cell.recipe, RobustnessMeasurement)
    return cell.recipe
