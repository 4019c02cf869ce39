"""Trains one stage of a run: defaults, training arguments, trainer and finished-stage checkpoints."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from transformers import EarlyStoppingCallback, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from tellapart.data.batches.balancing import check_balanced
from tellapart.encoders.precision import default_device, use_bf16
from tellapart.encoders.scratch import scratch_kind
from tellapart.encoders.transformer import parameter_count, save_classifier
from tellapart.errors import RecipeError
from tellapart.files import replacing
from tellapart.fitting.environment import process_count
from tellapart.fitting.heads import HEAD_EPOCHS, check_head_stage, fit_start, train_fresh_head
from tellapart.fitting.objectives import total_outputs
from tellapart.fitting.tasks import Task
from tellapart.fitting.trainer_options import check_trainer_options, checkpoints_activations, trainer_options
from tellapart.objectives import Objective
from tellapart.objectives.options import ClassificationOptions
from tellapart.recipes import StageRecipe
from tellapart.training.arguments import TrainingArguments
from tellapart.training.checkpoints import last_checkpoint, load_exactly, save_exactly
from tellapart.training.defaults import (
    default_epochs,
    default_head_learning_rate,
    default_learning_rate,
    default_selection,
)
from tellapart.training.model_overrides import encoder_dropout, matching_parameters, trainable_parameters
from tellapart.training.progress import show_phase
from tellapart.training.requirements import check_gradient_cache, check_late_views, check_objective
from tellapart.training.step_bar import ProgressBar
from tellapart.training.trainer import Trainer

# Training arguments that have recipe keys of their own, which `trainer` options must not override.
_OWN_ARGUMENTS = {
    "output_dir": "--output",
    "seed": "seed",
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "gradient_cache": "gradient_cache",
    "learning_rate": "learning_rate",
    "head_learning_rate": "head_learning_rate",
    "weight_decay": "weight_decay",
    "eval_strategy": "evaluations",
    "eval_steps": "evaluations",
    "metric_for_best_model": "metric",
    "greater_is_better": "metric",
    "load_best_model_at_end": "selection",
    "averaging": "selection",
    "views_from_layer": "views_from_layer",
    "batches": "batches",
    "texts_per_class": "texts_per_class",
    "perturbation": "perturbation",
    "perturbation_size": "perturbation_size",
    "report_to": "--track",
}

# Training arguments that would be overwritten by what a stage needs for resuming and for the best weights.
_CHECKPOINT_ARGUMENTS = ("save_strategy", "save_total_limit", "save_only_model")

# Distance between the seeds of a run's stages; seed runs count up by one.
STAGE_SEEDS = 1_000_003

_FINISHED, _RESULT = "finished", "stage.json"


@dataclasses.dataclass(frozen=True)
class StageResult:
    """The outcome of a stage.

    Args:
        recipe: The stage with all defaults filled in.
        history: Log entries with losses and metrics.
        objective: The objective after training; None for a stage that trained only the head.
        share: Share of the schedule after which the kept weights were reached, 0 to 1; 1 for `last` and `average`.
    """

    recipe: StageRecipe
    history: list[dict[str, float]]
    objective: Objective | None
    share: float = 1.0


def check_trainer_sections(stages: Sequence[StageRecipe]) -> None:
    """Checks the options for the trainer of all stages, before anything is loaded.

    Raises:
        RecipeError: An option is unknown or would have no effect, or the trainer would refuse it.
    """
    for stage in stages:
        for name in _CHECKPOINT_ARGUMENTS:
            if name in stage.trainer:
                raise RecipeError(
                    f'the trainer option "{name}" has no effect: a stage has two checkpoints, deleted at its end',
                    "leave it out",
                )
        check_trainer_options(stage.trainer, TrainingArguments, _OWN_ARGUMENTS)


def check_stages(
    stages: Sequence[StageRecipe], objectives: Sequence[Objective], model: Any, task: Task
) -> None:
    """Checks all stages against the model and the rows, before the first one runs.

    Raises:
        RecipeError: A stage cannot run.
        ModelError: An objective needs two views, and the encoder has no dropout.
    """
    for stage, objective in zip(stages, objectives, strict=True):
        if stage.metric is not None:
            task.find_metric(stage.metric)
        if stage.learns == "head":
            check_head_stage(stage)
            continue
        if stage.patience is not None and stage.selection in ("last", "average"):
            raise RecipeError(
                f"patience stops at the best evaluation, but selection: {stage.selection} keeps other weights",
                "leave out patience, or choose selection: best",
            )
        if "save_steps" in stage.trainer and task.validation is not None:
            raise RecipeError(
                "with validation rows checkpoints are written at the evaluations, so save_steps has no effect",
                "set evaluations instead",
            )
        if not isinstance(stage.learns, str):
            matching_parameters(model, stage.learns)
        check_gradient_cache(stage.gradient_cache, stage.batch_size)
        with encoder_dropout(model, stage.views_dropout):
            check_objective(objective, model, task.train)
        checkpointing = checkpoints_activations(stage.trainer)
        check_late_views(stage.views_from_layer, objective, model, checkpointing=checkpointing)
        if stage.batches == "balanced":
            assert task.train.labels is not None
            check_balanced(task.train.labels, stage.batch_size * process_count(), stage.texts_per_class)


def finish_stage(folder: Path, model: Any, tokenizer: Any, result: StageResult) -> None:
    """Saves the model after a stage, marks the stage as finished and deletes its checkpoints."""
    with replacing(folder / _FINISHED) as temporary:
        save_classifier(model, temporary, tokenizer)
        save_exactly(model, temporary, {})
        recipe = result.recipe.model_dump(mode="json")
        content = {"recipe": recipe, "history": result.history, "share": result.share}
        (temporary / _RESULT).write_text(json.dumps(content), encoding="utf-8")
    for path in folder.iterdir():
        if path.name != _FINISHED:
            shutil.rmtree(path, ignore_errors=True)


def finished_stage(folder: Path, model: Any) -> StageResult | None:
    """Restores the model saved by a finished stage; returns None, without changes, if the stage is not finished.

    The stage's objective is not restored: later stages have their own.
    """
    if not (folder / _FINISHED / _RESULT).is_file():
        return None
    load_exactly(model, folder / _FINISHED)
    content = json.loads((folder / _FINISHED / _RESULT).read_text(encoding="utf-8"))
    recipe = StageRecipe.model_validate(content["recipe"])
    return StageResult(recipe, content["history"], None, content.get("share", 1.0))


def run_stage(
    stage: StageRecipe,
    objective: Objective,
    model: Any,
    tokenizer: Any,
    task: Task,
    *,
    folder: Path,
    seed: int,
    title: str,
    resume: bool = False,
    resumable: bool = True,
    quiet: bool = False,
    callbacks: Sequence[TrainerCallback] = (),
    until: float = 1.0,
    start_seed: int | None = None,
) -> StageResult:
    """Trains a model in place.

    Args:
        stage: The stage.
        objective: Built from the stage's recipe.
        model: A classifier in training form.
        tokenizer: Saved with checkpoints.
        task: The training rows, the label texts, and the validation rows that select the best checkpoint; without
            validation rows the last weights, or their average, are kept.
        folder: For checkpoints and cached vectors.
        seed: Seed of row order and dropout.
        title: Name of the stage, for the progress.
        resume: Whether to continue from the newest checkpoint in `folder`.
        resumable: Whether checkpoints hold the full training state, or only the best weights.
        quiet: Whether to show no progress.
        callbacks: Further Transformers callbacks for stages of several steps.
        until: Share of the schedule after which training stops, above 0 and at most 1.
        start_seed: Seed of the initial classifier; by default `seed`.

    Raises:
        RecipeError: The task has no such metric, or a trainer option is unknown.
    """
    show_phase(f"training {title}", quiet=quiet)
    metric = stage.metric or task.main_metric
    greater_is_better = task.find_metric(metric).greater_is_better
    stage = stage.model_copy(update={"metric": metric})
    if stage.learns == "head":
        if until < 1:
            stage = stage.model_copy(update={"epochs": until * (stage.epochs or HEAD_EPOCHS)})
        done, history, share = train_fresh_head(stage, objective, model, task, folder, seed)
        return StageResult(done, history, None, share)
    checkpoint = last_checkpoint(folder) if resume else None
    if stage.start == "probe" and checkpoint is None:
        fit_start(stage, model, task, seed if start_seed is None else start_seed)
    stage = _decided(stage, model, task)
    evaluated = task.validation is not None
    label_rows = task.weighted_label_rows(stage.label_text_weight)
    rows = len(task.train) + (0 if label_rows is None else len(label_rows))
    arguments = _arguments(stage, rows, evaluated, greater_is_better, folder, seed, resumable)
    learns = None if isinstance(stage.learns, str) else stage.learns
    with trainable_parameters(model, learns), encoder_dropout(model, stage.views_dropout):
        trainer = Trainer(
            model,
            arguments,
            objective=objective,
            train_dataset=task.train,
            label_texts=task.label_rows,
            label_text_weight=stage.label_text_weight,
            label_text_anchors=stage.label_text_anchors,
            eval_dataset=task.validation,
            processing_class=tokenizer,
            compute_metrics=task.metrics_of_prediction,
            callbacks=[*_callbacks(stage, evaluated, metric, quiet), StopAt(until), *callbacks],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=checkpoint)
    stage = stage.model_copy(update={"precision": "bf16" if arguments.bf16 else "fp32"})
    best = trainer.state.best_global_step if stage.selection == "best" else None
    share = 1.0 if best is None else best / trainer.state.max_steps
    return StageResult(stage, trainer.state.log_history, objective, share)


def _decided(stage: StageRecipe, model: Any, task: Task) -> StageRecipe:
    """Fills in the defaults that depend on the model and the number of rows."""
    kind = scratch_kind(model.config)
    from_scratch = kind is not None
    rate = stage.learning_rate or default_learning_rate(parameter_count(model), scratch_kind=kind)
    head_rate = stage.head_learning_rate or default_head_learning_rate(rate, from_scratch=from_scratch)
    objective = stage.objective
    if isinstance(objective, ClassificationOptions):
        objective = objective.model_copy(update={"total": total_outputs(objective, task.labels)})
    selection = stage.selection
    if task.validation is None:
        selection = "average" if selection == "average" else "last"
    elif selection is None:
        selection = "best" if stage.patience is not None else default_selection(len(task.validation))
    return stage.model_copy(
        update={
            "selection": selection,
            "objective": objective,
            "learning_rate": rate,
            "head_learning_rate": head_rate,
            "epochs": decided_epochs(stage, len(task.train), from_scratch=from_scratch),
        }
    )


def decided_epochs(stage: StageRecipe, rows: int, *, from_scratch: bool) -> float:
    """Returns the epochs of a stage that trains the encoder, or the default for its number of rows.

    Args:
        stage: The stage.
        rows: Training rows.
        from_scratch: Whether the encoder starts from random weights.
    """
    rows_per_step = stage.batch_size * stage.gradient_accumulation_steps * process_count()
    return stage.epochs or float(default_epochs(rows, rows_per_step, from_scratch=from_scratch))


def _arguments(
    stage: StageRecipe,
    rows: int,
    evaluated: bool,
    greater_is_better: bool,
    folder: Path,
    seed: int,
    resumable: bool,
) -> TrainingArguments:
    device = default_device()
    options: dict[str, Any] = {
        "output_dir": str(folder),
        "seed": seed,
        "use_cpu": device == "cpu",
        "num_train_epochs": stage.epochs,
        "per_device_train_batch_size": stage.batch_size,
        "gradient_accumulation_steps": stage.gradient_accumulation_steps,
        "gradient_cache": stage.gradient_cache,
        "learning_rate": stage.learning_rate,
        "head_learning_rate": stage.head_learning_rate,
        "warmup_steps": stage.warmup_share,
        "weight_decay": stage.weight_decay,
        "batches": stage.batches,
        "texts_per_class": stage.texts_per_class,
        "bf16": use_bf16(stage.precision, device),
        "perturbation": stage.perturbation,
        "perturbation_size": stage.perturbation_size,
        "views_from_layer": stage.views_from_layer,
        "averaging": stage.averaging if stage.selection == "average" else None,
        "disable_tqdm": True,
        "log_level": "error",
        "report_to": "none",
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "restore_callback_states_from_checkpoint": True,
    }
    options |= trainer_options(stage.trainer, TrainingArguments, _OWN_ARGUMENTS)
    steps = _total_steps(options, rows)
    options.setdefault("logging_steps", max(1, steps // 50))
    every = max(1, -(-steps // stage.evaluations))
    if evaluated:
        options |= {"eval_strategy": "steps", "eval_steps": every, "save_steps": every}
    if evaluated and stage.selection == "best":
        options |= {
            "metric_for_best_model": stage.metric,
            "greater_is_better": greater_is_better,
            "load_best_model_at_end": True,
            "save_total_limit": 2,
            "save_strategy": "best",
            "save_only_model": not resumable,
        }
    if resumable:
        options |= {"save_strategy": "steps", "save_total_limit": 2}
        options.setdefault("save_steps", every)
    return TrainingArguments(**options)


def _total_steps(options: dict[str, Any], rows: int) -> int:
    rows_per_step = (
        options["per_device_train_batch_size"] * options["gradient_accumulation_steps"] * process_count()
    )
    epoch_steps = -(-rows // rows_per_step)
    given = options.get("max_steps", -1)
    return int(given if given > 0 else np.ceil(options["num_train_epochs"] * epoch_steps))


class _EvaluateLastStep(TrainerCallback):
    """Evaluates the last step even if the evaluation interval does not divide the number of steps."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_evaluate = True
            control.should_save = args.save_strategy == "steps"


class StopAt(TrainerCallback):
    """Stops training after a share of the schedule, whose learning rates stay those of the whole.

    Args:
        share: Above 0 and at most 1.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stops after the last step; it is not saved, since a resumed run would train one step more."""
        if self.share < 1 and state.global_step >= max(1, round(self.share * state.max_steps)):
            control.should_training_stop = True
            control.should_save = False


def _callbacks(
    stage: StageRecipe, evaluated: bool, metric: str, quiet: bool
) -> list[transformers.TrainerCallback]:
    callbacks: list[transformers.TrainerCallback] = []
    if evaluated:
        callbacks.append(_EvaluateLastStep())
        if stage.patience is not None:
            callbacks.append(EarlyStoppingCallback(early_stopping_patience=stage.patience))
    if not quiet:
        callbacks.append(ProgressBar("training", f"eval_{metric}"))
    return callbacks
