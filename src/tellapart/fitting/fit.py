"""Trains a recipe on data in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from transformers import TrainerCallback

from tellapart.data.examples import TextData
from tellapart.encoders.transformer import final_linear, pooling_in_use
from tellapart.fitting.decisions import decide
from tellapart.fitting.environment import is_main_process, wait_for_all
from tellapart.fitting.fitted import Fitted, TransformersScorer
from tellapart.fitting.heads import fit_tfidf, start_at_frequencies
from tellapart.fitting.models import windows_in_use
from tellapart.fitting.prepared import prepare
from tellapart.fitting.refit import FitArguments, fit_once, fit_twice, selects_nothing
from tellapart.fitting.resolve import ResolvedRun, resolve, with_training_rows
from tellapart.fitting.self_training import Pretrainer, self_train
from tellapart.fitting.stages import (
    STAGE_SEEDS,
    StageResult,
    finish_stage,
    finished_stage,
    run_stage,
)
from tellapart.fitting.tasks import Task, row_weights
from tellapart.recipes import Recipe
from tellapart.training.progress import show_phase

Announce = Callable[[Sequence[str]], None] | None
"""Called with notes for the user before training begins."""


def fit(
    recipe: Recipe,
    data: TextData,
    folder: str | Path,
    *,
    resume: bool = False,
    resumable: bool = False,
    quiet: bool = False,
    callbacks: Sequence[TrainerCallback] = (),
    pretrainer: Pretrainer | None = None,
    targets: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    order_seed: int | None = None,
    until: Sequence[float] = (),
    announce: Announce = None,
    validated: bool = True,
) -> Fitted:
    """Trains a recipe's method on data in memory; with unlabelled texts also on these, by self-training.

    Args:
        recipe: Encoder, stages, decision and seed; from its `data` section only the class relations, the label
            texts, `without_positive` and `validation_in_training` are used.
        data: The splits as they are; without validation rows the last weights are the result.
        folder: For checkpoints.
        resume: Whether to continue from the newest checkpoint there.
        resumable: Whether to write checkpoints from which a killed run can continue.
        quiet: Whether to show no progress.
        callbacks: Transformers callbacks for the stages that train by steps.
        pretrainer: Pre-trains the encoder, for `self_training.pretrain`.
        targets: Target probabilities (N, K) of the training rows, which cross entropy and `soft-targets` learn.
        weights: Weights of the training rows (N,) in losses that are means over rows, multiplied by those of the
            split; by default all are 1.
        order_seed: Seed of row order and dropout; by default the recipe's, which decides everything else.
        until: The share of its schedule for which each stage is trained; by default all of it.
        announce: Called before training with the notes on the encoder and on rows that are cut; a run of several
            trainings calls it in each of them.
        validated: Whether the logits of the validation rows are needed. If they are not, a run that trains on these
            rows in the end skips its first training, unless that selects something.

    Raises:
        UserError: The recipe does not fit the data or the encoder.
    """
    run = with_training_rows(resolve(recipe, data))
    recipe = run.recipe
    again = partial(
        _again,
        resume=resume,
        resumable=resumable,
        quiet=quiet,
        callbacks=callbacks,
        order_seed=order_seed,
        announce=announce,
        validated=validated,
    )
    if data.unlabelled is not None:
        return self_train(
            recipe,
            data,
            Path(folder),
            again,
            pretrainer=pretrainer,
            resume=resume,
            resumable=resumable,
            quiet=quiet,
            validated=validated,
        )
    if recipe.data.validation_in_training:
        arguments = FitArguments(recipe, data, targets, weights, prepared=run.data)
        refit = fit_once if not validated and selects_nothing(recipe) else fit_twice
        return refit(arguments, Path(folder), again)
    if recipe.encoder.name == "tfidf":
        show_phase(f"training tfidf, seed {recipe.seed}", quiet=quiet)
        tfidf = fit_tfidf(recipe.stages[0], run.data, recipe.seed, row_weights(run.data.train, weights))
        return _with_decision(Fitted(tfidf, run.data.labels, recipe), run)
    prepared = prepare(run, targets, weights)
    model, tokenizer, task = prepared.model, prepared.tokenizer, prepared.task
    if announce is not None:
        announce(prepared.notes)
    if task.labels.multi_label and recipe.stages[0].start == "random":
        start_at_frequencies(model, task)
    results = []
    order_seed = recipe.seed if order_seed is None else order_seed
    for number, (stage, objective) in enumerate(zip(recipe.stages, run.objectives, strict=True)):
        stage_folder = Path(folder) / f"stage-{number}"
        result = finished_stage(stage_folder, model) if resume else None
        if result is None:
            if number:  # a stage's random draws must not depend on whether earlier stages ran in this process
                transformers.set_seed(recipe.seed + number)
            result = run_stage(
                stage,
                objective,
                model,
                tokenizer,
                task,
                folder=stage_folder,
                seed=order_seed + number * STAGE_SEEDS,
                start_seed=recipe.seed + number * STAGE_SEEDS,
                title=_title(recipe, number, order_seed),
                resume=resume,
                resumable=resumable,
                quiet=quiet,
                callbacks=callbacks,
                until=until[number] if until else 1.0,
            )
            wait_for_all()
            if resumable and is_main_process():
                finish_stage(stage_folder, model, tokenizer, result)
        results.append(result)
    scorer = TransformersScorer(model, tokenizer, prepared.max_length)
    return _with_decision(_fitted(scorer, recipe, task, results, prepared.notes), run)


def _again(recipe: Recipe, data: TextData, folder: Path, **options: Any) -> Fitted:
    """One of several trainings of a run, on labelled rows alone."""
    return fit(recipe, replace(data, unlabelled=None), folder, **options)


def _fitted(
    scorer: TransformersScorer,
    recipe: Recipe,
    task: Task,
    results: Sequence[StageResult],
    notes: tuple[str, ...],
) -> Fitted:
    """The trained model, and the recipe with every value that training decided."""
    model = scorer.model
    if task.scale is not None:
        task.scale.fold_into(final_linear(model))
    encoder = recipe.encoder.model_copy(
        update={
            "pooling": recipe.encoder.pooling or pooling_in_use(model),
            "max_length": scorer.max_length,
            **windows_in_use(recipe.encoder, model),
        }
    )
    objectives = [result.objective for result in results if result.objective is not None]
    model.eval()
    return Fitted(
        scorer,
        task.labels,
        recipe.model_copy(update={"stages": [result.recipe for result in results], "encoder": encoder}),
        [{**entry, "stage": number} for number, result in enumerate(results) for entry in result.history],
        objectives[-1] if objectives else None,
        notes=notes,
        truncated=task.cut_shares,
        shares=tuple(result.share for result in results),
    )


def _with_decision(fitted: Fitted, run: ResolvedRun) -> Fitted:
    decision = decide(run.recipe.decision, fitted, run.data)
    return replace(fitted, decision=decision, columns=run.data.columns)


def _title(recipe: Recipe, number: int, seed: int) -> str:
    stages = f", stage {number + 1} of {len(recipe.stages)}" if len(recipe.stages) > 1 else ""
    return f"{recipe.method}, seed {seed}{stages}"
