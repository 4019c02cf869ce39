"""Trains a recipe on data in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import transformers
from transformers import TrainerCallback

from tellapart.data.examples import TextData
from tellapart.encoders.precision import default_device
from tellapart.encoders.scratch import truncation_notes
from tellapart.encoders.transformer import final_linear, pooling_in_use
from tellapart.encoders.windowed import window_notes
from tellapart.fitting.decisions import decide
from tellapart.fitting.environment import is_main_process, wait_for_all
from tellapart.fitting.fitted import Fitted, TransformersScorer
from tellapart.fitting.heads import fit_tfidf, start_at_frequencies
from tellapart.fitting.models import input_length, load_model, windows_in_use
from tellapart.fitting.propagation import certain_targets
from tellapart.fitting.refit import refit_recipe, refitted, with_validation_rows
from tellapart.fitting.resolve import ResolvedRun, resolve
from tellapart.fitting.self_training import Pretrainer, self_train
from tellapart.fitting.stages import STAGE_SEEDS, check_stages, finish_stage, finished_stage, run_stage
from tellapart.fitting.tasks import Task
from tellapart.recipes import Recipe


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
    order_seed: int | None = None,
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
        targets: Target probabilities (N, K) of the training rows, which cross entropy and `soft-targets` learn; the
            unlabelled texts are not used then.
        order_seed: Seed of row order and dropout; by default the recipe's, which decides everything else.

    Raises:
        UserError: The recipe does not fit the data or the encoder.
    """
    options = _Options(resume, resumable, quiet, callbacks, order_seed)

    def train(
        recipe: Recipe,
        data: TextData,
        folder: Path,
        targets: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> Fitted:
        return _fit_labelled(recipe, data, folder, replace(options, targets=targets, weights=weights))

    if data.unlabelled is None or targets is not None:
        return train(recipe, data, Path(folder), targets)
    return self_train(
        resolve(recipe, data).recipe,
        data,
        Path(folder),
        train,
        pretrainer=pretrainer,
        resume=resume,
        resumable=resumable,
        quiet=quiet,
    )


@dataclass(frozen=True)
class _Options:
    """Arguments of `fit`, and those of one training.

    Of the latter, `targets` (N, K) and `weights` (N,) are those of the training rows, and `until` holds the share of
    its schedule for which each stage is trained, all by default.
    """

    resume: bool
    resumable: bool
    quiet: bool
    callbacks: Sequence[TrainerCallback]
    order_seed: int | None
    targets: np.ndarray | None = None
    weights: np.ndarray | None = None
    until: Sequence[float] = ()


def _fit_labelled(recipe: Recipe, data: TextData, folder: Path, options: _Options) -> Fitted:
    """Trains on the labelled rows, in the end with the validation rows if the recipe says so."""
    run = _with_training_rows(resolve(recipe, data))
    fitted = _train(run, folder, options)
    fitted = replace(fitted, decision=decide(run.recipe.decision, fitted, run.data.validation))
    if not run.recipe.data.validation_in_training:
        return fitted
    assert run.data.validation is not None
    assert fitted.recipe is not None
    targets, weights = options.targets, options.weights
    if targets is not None:
        targets = np.concatenate([targets, certain_targets(run.data.validation, run.data.labels)])
    if weights is not None:
        weights = np.append(weights, np.ones(len(run.data.validation)))
    logits = fitted.scores(run.data.validation)
    again = resolve(refit_recipe(fitted.recipe), with_validation_rows(run.data))
    further = replace(options, targets=targets, weights=weights, until=fitted.shares)
    return refitted(fitted, _train(again, folder / "refit", further), run.data, logits)


def _train(run: ResolvedRun, folder: Path, options: _Options) -> Fitted:
    """Trains all stages; the result has the plain decision."""
    recipe, data = run.recipe, run.data
    if recipe.encoder.name == "tfidf":
        tfidf = fit_tfidf(recipe.stages[0], data, recipe.seed, options.weights)
        return Fitted(tfidf, data.labels, recipe)
    transformers.set_seed(recipe.seed)
    model, tokenizer, notes = load_model(recipe.encoder, data, recipe.seed)
    model.to(default_device())
    max_length = input_length(recipe.encoder, model)
    task = Task.of(
        data, tokenizer, max_length, recipe.data.without_positive, options.targets, options.weights
    )
    check_stages(recipe.stages, run.objectives, model, task)
    if data.labels.multi_label and recipe.stages[0].start == "random":
        start_at_frequencies(model, task)
    notes += (
        truncation_notes(model, task.train) + window_notes(model, task.train) + task.cut_notes(max_length)
    )
    stages, history, shares, trained_objective = [], [], [], None
    order_seed = recipe.seed if options.order_seed is None else options.order_seed
    for number, (stage, objective) in enumerate(zip(recipe.stages, run.objectives, strict=True)):
        stage_folder = folder / f"stage-{number}"
        result = finished_stage(stage_folder, model) if options.resume else None
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
                resume=options.resume,
                resumable=options.resumable,
                quiet=options.quiet,
                callbacks=options.callbacks,
                until=options.until[number] if options.until else 1.0,
            )
            wait_for_all()
            if options.resumable and is_main_process():
                finish_stage(stage_folder, model, tokenizer, result)
        stages.append(result.recipe)
        shares.append(result.share)
        history += [{**entry, "stage": number} for entry in result.history]
        trained_objective = result.objective or trained_objective
    if task.scale is not None:
        task.scale.fold_into(final_linear(model))
    encoder = recipe.encoder.model_copy(
        update={
            "pooling": recipe.encoder.pooling or pooling_in_use(model),
            "max_length": max_length,
            **windows_in_use(recipe.encoder, model),
        }
    )
    return Fitted(
        TransformersScorer(model.eval(), tokenizer, max_length),
        data.labels,
        recipe.model_copy(update={"stages": stages, "encoder": encoder}),
        history,
        trained_objective,
        notes=notes,
        truncated=task.cut_shares,
        shares=tuple(shares),
    )


def _with_training_rows(run: ResolvedRun) -> ResolvedRun:
    """Without labelled rows, as in a zero-shot draw, the label texts are the training rows."""
    if len(run.data.train):
        return run
    assert run.data.label_texts is not None
    return replace(run, data=replace(run.data, train=run.data.label_texts, label_texts=None))


def _title(recipe: Recipe, number: int, seed: int) -> str:
    stages = f", stage {number + 1} of {len(recipe.stages)}" if len(recipe.stages) > 1 else ""
    return f"{recipe.method}, seed {seed}{stages}"
