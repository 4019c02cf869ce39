"""The model and the rows of a training, ready for its first stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import transformers

from tellapart.data.examples import TextData
from tellapart.encoders.precision import default_device
from tellapart.encoders.resolve import FROM_SCRATCH
from tellapart.encoders.scratch import truncation_notes
from tellapart.encoders.windowed import window_notes
from tellapart.fitting.class_frequencies import check_biases
from tellapart.fitting.models import input_length, load_model
from tellapart.fitting.resolve import ResolvedRun, check_encoders, resolve, with_training_rows
from tellapart.fitting.self_training import Pretrainer, check_self_training
from tellapart.fitting.stages import check_stages
from tellapart.fitting.tasks import Task, row_weights
from tellapart.recipes import Recipe


@dataclass(frozen=True)
class Prepared:
    """A loaded model and its tokenised rows, checked and ready for the stages of a training.

    Args:
        model: A classifier in training form, on the device of the training.
        tokenizer: That of the model.
        max_length: Longest input in tokens.
        task: The tokenised rows and the metrics.
        notes: Remarks on the encoder and on rows that are cut.
    """

    model: Any
    tokenizer: Any
    max_length: int
    task: Task
    notes: tuple[str, ...]


def prepare(
    run: ResolvedRun, targets: np.ndarray | None = None, weights: np.ndarray | None = None
) -> Prepared:
    """Loads the encoder, tokenises the rows, and checks that every stage can run on them.

    Args:
        run: The resolved run.
        targets: Target probabilities of the training rows (N, K), in place of their labels; or None.
        weights: Weights of the training rows (N,), multiplied by those of the split; None if all are 1.

    Raises:
        UserError: The recipe does not fit the data or the encoder.
    """
    recipe = run.recipe
    transformers.set_seed(recipe.seed)
    model, tokenizer, notes = load_model(recipe.encoder, run.data, recipe.seed)
    model.to(default_device())
    max_length = input_length(recipe.encoder, model)
    weights = row_weights(run.data.train, weights)
    task = Task.of(run.data, tokenizer, max_length, recipe.data.without_positive, targets, weights)
    check_stages(recipe.stages, run.objectives, model, task)
    check_biases(recipe, model)
    notes += truncation_notes(model, task.train) + window_notes(model, task.train)
    notes += task.cut_notes(max_length)
    return Prepared(model, tokenizer, max_length, task, notes)


def check_start(recipe: Recipe, data: TextData, pretrainer: Pretrainer | None = None) -> ResolvedRun:
    """Checks, before an earlier run is deleted, all that is checked before a first training step.

    An encoder that is trained from scratch is not built for that, which can take minutes.

    Args:
        recipe: As for `resolve`.
        data: The splits and the unlabelled texts.
        pretrainer: As for `fit`.

    Returns:
        The resolved run.

    Raises:
        UserError: The recipe does not fit the data or the encoder, or there is no such encoder.
    """
    run = resolve(recipe, data)
    check_encoders(run.recipe)
    if data.unlabelled is not None:
        check_self_training(run.recipe, data, pretrainer)
    if run.recipe.encoder.name not in ("tfidf", *FROM_SCRATCH):
        prepare(with_training_rows(run))
    return run
