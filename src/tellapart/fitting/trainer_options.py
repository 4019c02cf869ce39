"""Checks of a recipe's `trainer` section: further options of `transformers.TrainingArguments`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any, get_type_hints

import torch
import transformers
from pydantic import ConfigDict, TypeAdapter, ValidationError

from tellapart.encoders.precision import default_device
from tellapart.errors import RecipeError, did_you_mean, shortened
from tellapart.objectives.options import MAX_STEPS, MAX_WORKERS
from tellapart.recipes.private_options import refuse_private

# Options that would replace the training loop, with the remedy.
_SHARDED = "leave it out, or start one process per GPU with torchrun"
_REFUSED = {
    "fsdp": _SHARDED,
    "fsdp_config": _SHARDED,
    "deepspeed": _SHARDED,
    "parallelism_config": _SHARDED,
}
_LOCAL_REPORTS: tuple[Any, ...] = ("none", "tensorboard", [], ["none"], ["tensorboard"])
# The smallest and largest value of numbers that PyTorch and Transformers do not check; of others the smallest is 0.
_RANGES: dict[str, tuple[int, float]] = {
    "max_steps": (0, MAX_STEPS),
    "dataloader_num_workers": (0, MAX_WORKERS),
    "bucket_window": (1, math.inf),
    "per_device_eval_batch_size": (1, math.inf),
    "eval_accumulation_steps": (1, math.inf),
    "save_total_limit": (1, math.inf),
}

# Names of Transformers 5.24 for those before; it warns of the latter, which version 6 does not have.
_RENAMED = {
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
}


def checkpoints_activations(given: Mapping[str, Any]) -> bool:
    """Whether a recipe's `trainer` section turns on activation checkpointing, under either name of the option."""
    return bool(given.get("activation_checkpointing", given.get("gradient_checkpointing")))


def _current_name(name: str, fields: Collection[str]) -> str:
    """Returns the name that the installed Transformers has for an option that was renamed."""
    for old, new in _RENAMED.items():
        if name in (old, new):
            return new if new in fields else old
    return name


def trainer_options(
    given: Mapping[str, Any], arguments: type[transformers.TrainingArguments], own: Mapping[str, str]
) -> dict[str, Any]:
    """Returns a recipe's options for the trainer with values of the types that it expects.

    Args:
        given: The recipe's `trainer` section.
        arguments: The class of training arguments.
        own: Arguments that have their own recipe key, with that key.

    Raises:
        RecipeError: An option is unknown, has its own recipe key, is not supported or holds a secret, or its value
            has the wrong type or is negative or too large.
    """
    refuse_private(given)
    fields = {field.name: field for field in dataclasses.fields(arguments)}
    given = {_current_name(name, fields): value for name, value in given.items()}
    for name in given:
        if name in own:
            raise RecipeError(f'the trainer option "{name}" has a key of its own', f"set {own[name]} instead")
        if name not in fields:
            raise RecipeError(
                f'there is no trainer option "{shortened(name)}"' + did_you_mean(name, fields),
                "use the names of transformers.TrainingArguments",
            )
        if name in _REFUSED:
            raise RecipeError(f'the trainer option "{name}" is not supported', _REFUSED[name])
    if given.get("report_to", "none") not in _LOCAL_REPORTS:
        raise RecipeError(
            'the trainer option "report_to" can only be tensorboard, since others may send the model away',
            "leave it out: the log is in the run folder",
        )
    kinds = get_type_hints(arguments) if given else {}
    return {name: _typed(name, value, kinds[name], fields[name].default) for name, value in given.items()}


def _typed(name: str, value: Any, kind: Any, default: Any) -> Any:
    try:
        typed = TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False)).validate_python(value)
    except ValidationError as error:
        problem = shortened(error.errors()[0]["msg"], 200)
        raise RecipeError(
            f'the trainer option "{name}" cannot be {shortened(repr(value))} ({problem[0].lower()}{problem[1:]})',
            "correct the value",
        ) from None
    low, high = _RANGES.get(name, (0, math.inf))
    if isinstance(typed, int | float) and typed != default and not low <= typed <= high:
        allowed = f"{low} or more" if high == math.inf else f"{low} to {high:,}"
        raise RecipeError(f'the trainer option "{name}" cannot be {typed}', f"give {allowed}")
    return typed


def check_trainer_options(
    given: Mapping[str, Any], arguments: type[transformers.TrainingArguments], own: Mapping[str, str]
) -> None:
    """Checks a recipe's options for the trainer before anything is loaded.

    Builds the arguments, and for a single number the optimiser and the schedule: values that one of them refuses are
    found here and not after hours.

    Args:
        given: The recipe's `trainer` section.
        arguments: The class of training arguments.
        own: Arguments that have their own recipe key, with that key.

    Raises:
        RecipeError: As `trainer_options`, or the trainer would refuse the options.
    """
    options = trainer_options(given, arguments, own)
    if not options:
        return
    needed = {"output_dir": "unused", "use_cpu": default_device() == "cpu", "report_to": "none"}
    evaluated = {"eval_strategy": "steps", "eval_steps": 1}
    try:
        made = arguments(**(needed | evaluated | options))
        made.get_process_log_level()
        if made.fp16 and made.use_cpu:
            raise ValueError("fp16 needs a GPU")
        kind, keywords = transformers.Trainer.get_optimizer_cls_and_kwargs(made)
        optimizer = kind([torch.nn.Parameter(torch.zeros(1))], **keywords)
        transformers.get_scheduler(
            made.lr_scheduler_type,
            optimizer,
            num_warmup_steps=1,
            num_training_steps=2,
            scheduler_specific_kwargs=made.lr_scheduler_kwargs,
        )
    except Exception as error:  # Transformers and PyTorch raise exceptions of many kinds
        reason = shortened(" ".join(str(error).split()).rstrip("."), 200)
        raise RecipeError(
            f"the trainer does not accept {', '.join(options)} ({reason})",
            "correct the value or leave it out",
        ) from None
