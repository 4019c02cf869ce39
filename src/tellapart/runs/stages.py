"""One stage of a run: from a recipe's stage to a trained model."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import EarlyStoppingCallback, EvalPrediction, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from tellapart.data.batching import TokenisedDataset
from tellapart.data.examples import LabelSpace
from tellapart.encoders.precision import use_bf16
from tellapart.encoders.scoring import represent
from tellapart.encoders.transformer import final_linear, parameter_count
from tellapart.errors import RecipeError, did_you_mean
from tellapart.evaluation.metrics import classification_metrics, find_metric, main_metric
from tellapart.objectives import Objective
from tellapart.recipes import StageRecipe
from tellapart.runs.objectives import build_objective
from tellapart.training.arguments import TrainingArguments
from tellapart.training.defaults import (
    default_epochs,
    default_head_learning_rate,
    default_learning_rate,
)
from tellapart.training.probe import fit_linear
from tellapart.training.progress import ProgressBar
from tellapart.training.trainer import Trainer, last_checkpoint

# What a stage sets itself: changing these by `trainer` would contradict the recipe's own keys.
_OWN_ARGUMENTS = {
    "output_dir": "--output",
    "seed": "seed",
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "learning_rate": "learning_rate",
    "head_learning_rate": "head_learning_rate",
    "weight_decay": "weight_decay",
    "metric_for_best_model": "metric",
}


# Rows that the classifier's start is fitted to, at most: beyond this the regression costs more than it gives.
PROBE_ROWS = 10_000


@dataclasses.dataclass(frozen=True)
class StageResult:
    """What a stage leaves behind.

    Args:
        recipe: The stage with every open value decided.
        history: Logged losses and scores, a dict a log.
        objective: The objective after training, None for a stage that fitted only the head.
    """

    recipe: StageRecipe
    history: list[dict[str, float]]
    objective: Objective | None


def run_stage(
    stage: StageRecipe,
    model: Any,
    tokenizer: Any,
    labels: LabelSpace,
    train: TokenisedDataset,
    validation: TokenisedDataset | None,
    *,
    folder: Path,
    seed: int,
    title: str,
    resume: bool = False,
    resumable: bool = True,
    quiet: bool = False,
) -> StageResult:
    """Trains a model in place.

    Args:
        stage: What to do.
        model: A classifier in training form.
        tokenizer: Saved with checkpoints.
        labels: The classes.
        train: Rows to learn from.
        validation: Rows to choose the best evaluation by, or None: then the last weights stay.
        folder: For checkpoints.
        seed: Of order and dropout.
        title: For the progress bar.
        resume: Whether to go on from the newest checkpoint in `folder`.
        resumable: Whether checkpoints hold what resuming needs, or only the best weights.
        quiet: Whether to show no progress.

    Raises:
        RecipeError: The stage asks for something that is not there.
    """
    checkpoint = last_checkpoint(folder) if resume else None
    if stage.learns == "head" or (stage.start == "probe" and checkpoint is None):
        precision = _fit_head(stage, model, train, seed)
    if stage.learns == "head":
        return StageResult(stage.model_copy(update={"precision": precision}), [], None)
    objective = build_objective(stage.objective, labels)
    metric = stage.metric or main_metric(labels)
    greater_is_better = find_metric(labels, metric).greater_is_better
    stage = _decided(stage, model, len(train), metric)
    arguments = _arguments(
        stage, len(train), validation is not None, greater_is_better, folder, seed, resumable
    )
    trainer = Trainer(
        model,
        arguments,
        objective=objective,
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
        compute_metrics=_metrics(labels),
        callbacks=_callbacks(stage, validation is not None, title, metric, quiet),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=checkpoint)
    stage = stage.model_copy(update={"precision": "bf16" if arguments.bf16 else "fp32"})
    return StageResult(stage, trainer.state.log_history, objective)


def _fit_head(stage: StageRecipe, model: Any, train: TokenisedDataset, seed: int) -> str:
    """Fits the classifier to the encoder's vectors as they are; returns the precision they were computed in."""
    device = next(model.parameters()).device
    bf16 = use_bf16(stage.precision, device)
    rows = np.arange(len(train))
    if stage.learns == "all":  # a start need not have seen every row
        rows = np.random.default_rng(seed).permutation(rows)[:PROBE_ROWS]
    vectors = represent(model, train, bf16=bf16, rows=rows)
    assert train.labels is not None
    weight, bias = fit_linear(
        vectors,
        train.labels.numpy()[rows],
        model.config.num_labels,
        regularisation=stage.regularisation,
        seed=seed,
    )
    linear = final_linear(model)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weight))
        linear.bias.copy_(torch.from_numpy(bias))
    return "bf16" if bf16 else "fp32"


def _decided(stage: StageRecipe, model: Any, rows: int, metric: str) -> StageRecipe:
    """Fills in what the user left open."""
    rate = stage.learning_rate or default_learning_rate(parameter_count(model))
    rows_a_step = stage.batch_size * stage.gradient_accumulation_steps * _ranks()
    return stage.model_copy(
        update={
            "learning_rate": rate,
            "head_learning_rate": stage.head_learning_rate or default_head_learning_rate(rate),
            "epochs": stage.epochs or float(default_epochs(rows, rows_a_step)),
            "metric": metric,
        }
    )


def _arguments(
    stage: StageRecipe,
    rows: int,
    evaluated: bool,
    greater_is_better: bool,
    folder: Path,
    seed: int,
    resumable: bool,
) -> TrainingArguments:
    use_cpu = not torch.cuda.is_available() and not torch.backends.mps.is_available()
    device = "cpu" if use_cpu else ("cuda" if torch.cuda.is_available() else "mps")
    options: dict[str, Any] = {
        "output_dir": str(folder),
        "seed": seed,
        "use_cpu": use_cpu,
        "num_train_epochs": stage.epochs,
        "per_device_train_batch_size": stage.batch_size,
        "gradient_accumulation_steps": stage.gradient_accumulation_steps,
        "learning_rate": stage.learning_rate,
        "head_learning_rate": stage.head_learning_rate,
        "warmup_steps": stage.warmup_share,
        "weight_decay": stage.weight_decay,
        "bf16": use_bf16(stage.precision, device),
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
    if evaluated:
        options |= {
            "eval_strategy": "steps",
            "eval_steps": max(1, -(-steps // stage.evaluations)),
            "metric_for_best_model": stage.metric,
            "greater_is_better": greater_is_better,
            "load_best_model_at_end": True,
            "save_total_limit": 2,
        }
        options["save_strategy"] = "steps" if resumable else "best"
        options["save_only_model"] = not resumable
        options["save_steps"] = options["eval_steps"]
    elif resumable:
        options |= {"save_strategy": "steps", "save_total_limit": 2}
        options.setdefault("save_steps", max(1, -(-steps // stage.evaluations)))
    return TrainingArguments(**options)


def trainer_options(
    given: dict[str, Any], arguments: type[transformers.TrainingArguments], own: Mapping[str, str]
) -> dict[str, Any]:
    """Returns the options that a recipe passes on to the trainer.

    Args:
        given: The recipe's `trainer`.
        arguments: What the options are arguments of.
        own: Arguments that the recipe sets by keys of its own, and these keys.

    Raises:
        RecipeError: There is no such option, or it has a key of its own.
    """
    known = {field.name for field in dataclasses.fields(arguments)}
    for name in given:
        if name in own:
            raise RecipeError(f'the trainer option "{name}" has a key of its own', f"set {own[name]} instead")
        if name not in known:
            raise RecipeError(
                f'there is no trainer option "{name}"' + did_you_mean(name, known),
                "use the names of transformers.TrainingArguments",
            )
    return dict(given)


def _total_steps(options: dict[str, Any], rows: int) -> int:
    rows_a_step = options["per_device_train_batch_size"] * options["gradient_accumulation_steps"] * _ranks()
    epoch_steps = -(-rows // rows_a_step)
    given = options.get("max_steps", -1)
    return int(given if given > 0 else np.ceil(options["num_train_epochs"] * epoch_steps))


def _ranks() -> int:
    """How many processes train together; known before they have found each other."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _metrics(labels: LabelSpace) -> Any:
    def compute(prediction: EvalPrediction) -> dict[str, float]:
        return classification_metrics(labels, prediction.label_ids, prediction.predictions)

    return compute


class _EvaluateLastStep(TrainerCallback):
    """The last step is evaluated also where the spacing does not fall on it."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_evaluate = True
            control.should_save = args.save_strategy == "steps"


def _callbacks(
    stage: StageRecipe, evaluated: bool, title: str, metric: str, quiet: bool
) -> list[transformers.TrainerCallback]:
    callbacks: list[transformers.TrainerCallback] = []
    if evaluated:
        callbacks.append(_EvaluateLastStep())
        if stage.patience is not None:
            callbacks.append(EarlyStoppingCallback(early_stopping_patience=stage.patience))
    if not quiet:
        callbacks.append(ProgressBar(title, f"eval_{metric}"))
    return callbacks
