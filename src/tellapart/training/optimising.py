"""Learning rates of parts of a model, and what follows an optimiser step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
import transformers
from torch import nn

from tellapart.errors import TellapartError


def set_head_rate(optimizer: torch.optim.Optimizer, encoder: Iterable[nn.Parameter], rate: float) -> None:
    """Gives all parameters outside the encoder a learning rate of their own.

    Args:
        optimizer: Holds all parameters; each of its groups is split in two where needed.
        encoder: The parameters that keep their rate.
        rate: The learning rate of the others.
    """
    kept = {id(parameter) for parameter in encoder}
    for group in list(optimizer.param_groups):
        head = [parameter for parameter in group["params"] if id(parameter) not in kept]
        group["params"] = [parameter for parameter in group["params"] if id(parameter) in kept]
        if head:
            rest = {key: value for key, value in group.items() if key not in ("params", "lr")}
            optimizer.add_param_group({**rest, "params": head, "lr": rate})


def check_loss(logs: Mapping[str, float], step: int, precision: str | None = None) -> None:
    """Stops a run that diverged, when its loss is logged: that of some steps, or at the end that of all.

    Args:
        logs: What a trainer logs.
        step: The optimiser step.
        precision: Path of the setting of the precision, which the error names; None if there is none.

    Raises:
        TellapartError: The loss is not finite.
    """
    loss = logs.get("loss", logs.get("train_loss", 0.0))
    if not math.isfinite(loss):
        otherwise = "" if precision is None else f", or train with --set {precision}=fp32"
        raise TellapartError(f"the loss is {loss} at step {step}", f"lower the learning rate{otherwise}")


class ConstrainWeights(transformers.TrainerCallback):
    """Applies a model's weight constraints, `constrain_()`, after every optimiser step."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Applies them."""
        self._model.constrain_()


class AverageWeights(transformers.TrainerCallback):
    """Updates a trainer's average of the weights after every optimiser step, before an evaluation.

    Args:
        trainer: A `tellapart.training.trainer.Trainer`.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Updates it."""
        if self._trainer.average is not None:
            self._trainer.average.update(state.max_steps)


def wins_tie(state: transformers.TrainerState, metric: str | None, metrics: dict[str, float]) -> bool:
    """Makes the present evaluation the best one if it ties with it and its validation loss is no higher.

    Transformers keeps the earliest of equal evaluations, with few rows often the one before anything was learned. The
    losses are read from the log, which a resumed run has as well.

    Args:
        state: The trainer's state; its best step may change.
        metric: The metric that selects the best evaluation, or None.
        metrics: The present evaluation.

    Returns:
        Whether it did.
    """
    if metric is None or state.best_global_step is None:
        return False
    if metrics["eval_" + metric.removeprefix("eval_")] != state.best_metric:
        return False
    evaluations = [entry for entry in state.log_history if "eval_loss" in entry]
    before = [entry["eval_loss"] for entry in evaluations if entry["step"] == state.best_global_step]
    if before and not metrics["eval_loss"] <= before[-1]:
        return False
    state.best_global_step = state.global_step
    return True
