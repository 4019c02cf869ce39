"""Table cells that measure the robustness of question answering models to an attack."""

from __future__ import annotations

import time
from typing import Any

from tellapart.errors import DataError
from tellapart.question_answering.attacks import attacked_examples
from tellapart.question_answering.loading import load_span_model
from tellapart.question_answering.metrics import span_metrics
from tellapart.question_answering.runs import answer
from tellapart.reproduction.measurements import RobustnessMeasurement
from tellapart.reproduction.measures import spans
from tellapart.reproduction.measures.base import (
    Cell,
    ColumnRows,
    check_metrics,
    fingerprint,
    finished,
    keep_trial,
    kept_trial,
    on_disk,
)
from tellapart.wordnet.reader import WordNet

__all__ = ["METRICS", "describe", "finished", "forget", "on_disk", "run"]

METRICS = (
    *(f"{name}_{what}" for name in spans.METRICS for what in ("before", "after", "lost")),
    "changed_questions",
)
"""On the questions that the attack changed, as they were and as they are made; and how many these are."""


def describe(cell: Cell) -> ColumnRows:
    """Reads the questions of a cell, as `tellapart.reproduction.measures.base.Measure` says."""
    check_metrics(cell, METRICS)
    WordNet(_recipe(cell).wordnet)  # that it is missing must be known before hours of training
    return spans.question_rows(cell)


def run(cell: Cell) -> dict[str, Any]:
    """Runs a cell after the training of its model, as `tellapart.reproduction.measures.base.Measure` says."""
    recipe, mark = _recipe(cell), fingerprint(cell, describe(cell))
    done = kept_trial(cell, mark)
    if done is not None:
        return done
    questions = spans.evaluated_questions(cell)
    made = attacked_examples(
        questions, recipe.attack, WordNet(recipe.wordnet), share=recipe.share, seed=recipe.seed
    )
    pairs = [pair for *pair, changes in zip(questions, made.examples, made.changes, strict=True) if changes]
    if not pairs:
        raise DataError(
            f"{recipe.attack} changes none of the {len(questions)} questions of {recipe.source}",
            "give more or longer texts",
        )
    folder, seconds = spans.span_model(cell)
    start = time.perf_counter()
    model = load_span_model(folder)
    before, after = (
        span_metrics(asked, answer(*model, asked, quiet=cell.quiet)) for asked in zip(*pairs, strict=True)
    )
    metrics = {"changed_questions": len(pairs) / len(questions)}
    for name in spans.METRICS:
        metrics |= {f"{name}_before": before[name], f"{name}_after": after[name]}
        metrics[f"{name}_lost"] = before[name] - after[name]
    return keep_trial(
        cell, metrics, mark, seconds=seconds + time.perf_counter() - start, questions=len(pairs)
    )


def forget() -> None:
    """Has `describe` read everything anew."""
    spans.forget()


def _recipe(cell: Cell) -> RobustnessMeasurement:
    assert isinstance(cell.recipe, RobustnessMeasurement)
    return cell.recipe
