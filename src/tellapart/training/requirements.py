"""Checks before training: requirements of the objective, and arguments that would be silently ignored."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DataCollatorWithPadding, DefaultDataCollator, default_data_collator

from tellapart.data.batches.balancing import check_balanced
from tellapart.data.batches.batching import TokenisedDataset
from tellapart.data.batches.tokenising import IGNORED_LABEL
from tellapart.encoders.late_views import LateViews
from tellapart.encoders.transformer import has_dropout
from tellapart.errors import DataError, ModelError, RecipeError, UserError
from tellapart.objectives.base import Objective
from tellapart.objectives.cross_entropy import CrossEntropy
from tellapart.objectives.mean_squared_error import MeanSquaredError
from tellapart.training.arguments import TrainingArguments


def has_numbers(labels: Tensor) -> bool:
    """Returns whether labels are regression targets, float (N,)."""
    return labels.dim() == 1 and labels.is_floating_point()


def class_counts(dataset: TokenisedDataset | None, classes: int) -> Tensor | None:
    """Returns the number of rows per class, float (K,); None without labels or for regression."""
    if dataset is None or dataset.labels is None or has_numbers(dataset.labels):
        return None
    if dataset.labels.dim() == 2:
        return dataset.labels.float().sum(0)
    return torch.bincount(dataset.labels, minlength=classes).float()


def total_evaluations(args: TrainingArguments, dataset: TokenisedDataset | None) -> int:
    """Returns the maximum number of evaluations under the arguments."""
    rows_per_step = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    epoch_steps = -(-len(dataset) // rows_per_step) if dataset is not None else 0
    steps = args.max_steps if args.max_steps > 0 else int(np.ceil(args.num_train_epochs * epoch_steps))
    if args.eval_strategy == "epoch":
        return -(-steps // max(1, epoch_steps))
    if args.eval_strategy == "steps":
        every = args.eval_steps if args.eval_steps >= 1 else np.ceil(args.eval_steps * steps)
        # The last step is evaluated even if the interval does not divide the steps.
        return int(np.ceil(steps / max(1, every)))
    return 0


def default_objective(model: Any) -> Objective:
    """Returns mean squared error for regression and cross entropy for classification.

    As in Transformers, a single output without a problem type means regression.
    """
    config = model.config
    single = config.problem_type is None and config.num_labels == 1
    return MeanSquaredError() if single or config.problem_type == "regression" else CrossEntropy()


def check_labels(dataset: TokenisedDataset | None, classes: int, *, ignored: bool) -> None:
    """Checks that all labels are classes of the model.

    Args:
        dataset: The rows.
        classes: Number of the model's outputs, K.
        ignored: Whether a label may be -100, which has no loss.

    Raises:
        DataError: A class id is not between 0 and K - 1, or multi-hot vectors do not have K numbers.
    """
    if dataset is None or dataset.labels is None or has_numbers(dataset.labels):
        return
    labels = dataset.labels
    if labels.dim() == 2:
        if labels.shape[1] != classes:
            raise DataError(
                f"a row has {labels.shape[1]} labels, and the model has {classes} outputs",
                "load the model with num_labels set to the number of classes",
            )
        return
    wrong = (labels < 0) | (labels >= classes)
    if ignored:
        wrong &= labels != IGNORED_LABEL
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise DataError(
            f"row {row} of the data set has the label {int(labels[row])}, and the classes of the model are numbered "
            f"from 0 to {classes - 1}",
            "correct it, remove rows without a label (or the whole column of labels, to predict), or load the model "
            "with more classes: num_labels=…",
        )


def check_arguments(
    args: TrainingArguments, objective: Objective, model: Any, dataset: TokenisedDataset | None
) -> None:
    """Checks tellapart's own training arguments.

    Raises:
        RecipeError: Arguments do not fit each other, the objective or the rows.
        ModelError: They do not fit the model.
    """
    check_batches(args, dataset)
    check_gradient_cache(args.gradient_cache, args.per_device_train_batch_size)
    check_late_views(args.views_from_layer, objective, model, checkpointing=args.gradient_checkpointing)


def check_late_views(layer: int, objective: Objective, model: Any, *, checkpointing: bool) -> None:
    """Checks that the views of a text can share the encoder's first layers.

    Args:
        layer: Number of shared layers; 0 for none.
        objective: The objective.
        model: The classifier.
        checkpointing: Whether activations are computed again in the backward pass.

    Raises:
        RecipeError: The objective has one view, the encoder has fewer layers, or the backward pass computes
            activations again, then without views.
        ModelError: The encoder's layers cannot be shared.
    """
    if not layer:
        return
    if objective.requirements.views < 2:
        raise RecipeError(
            "views_from_layer is for objectives that compare two views of a text, and this one has a single view",
            "leave it out, or choose an objective such as label-distance or r-drop",
        )
    if checkpointing:
        raise RecipeError(
            "views_from_layer and gradient_checkpointing exclude each other", "leave one of them out"
        )
    LateViews(model, layer)


def check_objective(objective: Objective, model: Any, dataset: TokenisedDataset | None) -> None:
    """Raises an error for an objective that has no effect on, or is not defined for, the model or the labels."""
    needs = objective.requirements
    if needs.views > 1 and not any(parameter.requires_grad for parameter in model.base_model.parameters()):
        raise RecipeError(
            "this objective compares two passes over a text, which are identical for a frozen encoder",
            "train some of its parameters, or choose an objective of one pass such as cross-entropy",
        )
    if needs.views > 1 and not has_dropout(model):
        raise ModelError(
            f"this objective compares two passes over a text, but {type(model).__name__} has no dropout, so that"
            " they would be identical",
            "set a rate for the stage with --set stages.0.views_dropout=0.1"
            " (in Python: tellapart.training.model_overrides.encoder_dropout), or choose an encoder with dropout",
        )
    if dataset is None or dataset.labels is None:
        return
    if needs.targets and dataset.targets is None:
        raise RecipeError(
            "this objective learns from soft targets, and the training rows have none",
            "use --merge distil, or give them some with TokenisedDataset.with_targets",
        )
    if has_numbers(dataset.labels):
        if not needs.regression:
            raise RecipeError(
                "this objective needs classes, but the labels are numbers", "use MeanSquaredError"
            )
        return
    if not needs.classes:
        raise RecipeError(
            "this objective needs numeric labels, but the labels are classes", "use CrossEntropy"
        )
    if dataset.labels.dim() == 2 and not needs.multi_label:
        raise RecipeError(
            "this objective is not defined for rows with several labels", "choose another method"
        )
    if dataset.labels.dim() == 1 and len(torch.unique(dataset.labels)) < needs.classes_per_batch:
        raise RecipeError(
            f"this objective needs rows of {needs.classes_per_batch} classes", "add rows of other classes"
        )


def check_anchors(objective: Objective) -> None:
    """Raises an error for an objective that has no use for label texts as anchors."""
    if objective.requirements.classes_per_batch < 2:
        raise RecipeError(
            "label texts as anchors need an objective with a term that compares texts of different classes",
            "leave out label_text_anchors, or choose a method such as supcon, label-distance or negative-supervision",
        )


def check_batches(args: TrainingArguments, dataset: TokenisedDataset | None) -> None:
    """Raises an error if the batches that the arguments name cannot be formed, or teach nothing."""
    check_tokens(dataset)
    kind = args.batches
    if kind not in ("length", "balanced"):
        raise RecipeError(f'there are no batches called "{kind}"', "use length or balanced")
    if kind == "balanced" and dataset is not None and dataset.labels is not None:
        rows = args.per_device_train_batch_size * args.world_size
        check_balanced(dataset.labels, rows, args.texts_per_class)


def check_tokens(dataset: TokenisedDataset | None) -> None:
    """Raises an error if several rows are given and all have the same tokens, from which nothing can be learned."""
    if type(dataset) is not TokenisedDataset or len(dataset) < 2:
        return  # sets in several parts are large
    lengths, tokens = dataset.lengths, dataset.columns["input_ids"]
    if bool((lengths == lengths[0]).all()):
        rows = tokens.view(len(lengths), -1)
        if bool((rows == rows[0]).all()):
            raise DataError(
                f"all {len(rows)} training rows have the same tokens, as if their texts were empty or cut alike",
                "check the texts, and the length to which they are cut",
            )


def check_gradient_cache(texts: int | None, batch_size: int) -> None:
    """Raises an error for chunks that are not smaller than a batch."""
    if texts is not None and not 1 <= texts < batch_size:
        raise RecipeError(
            f"gradient_cache is {texts} and a batch has {batch_size} texts, so it would save no memory",
            "set fewer texts than a batch has, or a larger batch_size",
        )


def refuse_arguments(args: TrainingArguments, options: dict[str, Any]) -> None:
    """Raises an error for settings that Transformers accepts but that have no effect or another effect here."""
    if args.label_smoothing_factor:
        raise RecipeError(
            "label_smoothing_factor belongs to the stock loss, which is not used here",
            "use CrossEntropy(label_smoothing=...), or --set stages.0.objective.label_smoothing=...",
        )
    if args.averaging is not None and not 0 < args.averaging <= 1:
        raise RecipeError(f"averaging is {args.averaging}", "give a share above 0 and at most 1, such as 0.2")
    if args.averaging is not None and args.load_best_model_at_end:
        raise RecipeError(
            "with averaging the result is the average at the end, not the best evaluation",
            "leave out load_best_model_at_end, or averaging",
        )
    refused = defaultdict(lambda: "leave it out") | {
        "compute_loss_func": "write an Objective",
        "preprocess_logits_for_metrics": "do it in compute_metrics, which receives the logits of all rows",
    }
    for name in ("compute_loss_func", "model_init", "preprocess_logits_for_metrics"):
        if options.get(name) is not None:
            raise RecipeError(f"{name} has no effect here", refused[name])
    _check_collator(options.get("data_collator"))
    for name, given in {"FSDP": args.fsdp, "DeepSpeed": args.deepspeed}.items():
        if given or os.environ.get(f"ACCELERATE_USE_{name.upper()}", "").lower() in ("1", "true", "yes"):
            raise UserError(
                f"{name} shards the model, of which the objectives and the gradient cache read and change parts",
                "start one process per GPU with torchrun, and set gradient_cache for batches that do not fit",
            )
    if args.n_gpu > 1:
        raise UserError(
            f"one process sees {args.n_gpu} GPUs and DataParallel would split the objective's batch",
            "start one process per GPU: accelerate launch --num_processes N, or restrict it to one GPU with "
            "CUDA_VISIBLE_DEVICES=0",
        )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and args.world_size == 1:
        raise UserError(
            "several processes were started, but each would train a model of its own",
            "pass use_cpu=True to the training arguments for processes on CPUs",
        )


def _check_collator(collator: Any) -> None:
    """Raises an error for a data collator that does more than pad rows, which the trainer does itself."""
    if collator in (None, default_data_collator) or type(collator) in (
        DataCollatorWithPadding,
        DefaultDataCollator,
    ):
        return
    name = getattr(collator, "__name__", type(collator).__name__)
    raise RecipeError(
        f"the data collator {name} has no effect here, since rows are stored as flat arrays and padded without one",
        "do in dataset.map what it does to the rows, and leave it out or use DataCollatorWithPadding",
    )
