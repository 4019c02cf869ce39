"""Exponential moving average of the weights over training."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from tellapart.training.trimmed_embeddings import TrimmedEmbedding

AVERAGE_FILE = "average.safetensors"
"""File beside the model in a training checkpoint, with the average of the weights."""

_COUNT, _REST = "steps averaged", "unused embeddings"


def average_decay(step: int, window: float) -> float:
    """Returns the decay β of the update after a step: average ← β · average + (1 − β) · weights.

    β = (w − 1) / (w + 1), at which the weights that count are on average as old as those of a plain mean over the
    last w steps. w is `window`, but no more than the steps so far: otherwise the first weights would count for long.

    Args:
        step: Optimiser steps so far, from 1.
        window: Steps that count at the end of training; 1 or less keeps the last weights.
    """
    width = max(1.0, min(window, step))
    return (width - 1) / (width + 1)


class WeightAverage:
    """Keeps an exponential moving average of a model's trained parameters (Polyak and Juditsky 1992).

    It needs the memory of one copy of them. Parameters of the objective, which no saved model has, are not averaged.

    Args:
        parameters: The parameters to average, by name.
        share: Share of the optimiser steps that counts at the end, above 0 and at most 1; see `average_decay`.
        embedding: Token embeddings whose parameter holds only the rows in use; the other rows, which only weight
            decay changes, are averaged as well.

    References:
        - Polyak and Juditsky 1992, Acceleration of Stochastic Approximation by Averaging.
        - Tarvainen and Valpola 2017, Mean Teachers Are Better Role Models, §2: the moving average and its warm-up.
    """

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], share: float, embedding: TrimmedEmbedding | None = None
    ) -> None:
        self.names = list(parameters)
        self.share = share
        self._weights = nn.ParameterList(parameters.values())  # the parameters themselves
        self._embedding = embedding
        self._averages = copy.deepcopy(self._weights)
        self._steps = 0
        self._rest = 1.0
        """Average of the embeddings that are not in use, as a factor of their present values."""

    @property
    def steps(self) -> int:
        """Optimiser steps that the average includes."""
        return self._steps

    def state(self) -> dict[str, Tensor]:
        """Returns the averaged weights by name."""
        return dict(zip(self.names, self._tensors(), strict=True))

    @torch.no_grad()
    def update(self, total_steps: int) -> None:
        """Includes the present weights, after an optimiser step.

        Args:
            total_steps: Optimiser steps of the whole training.
        """
        self._steps += 1
        decay = average_decay(self._steps, self.share * total_steps)
        if self._embedding is not None:
            self._rest = decay * self._rest / self._embedding.taken_decay() + (1 - decay)
        if self._steps == 1:
            for average, weight in zip(self._tensors(), self._weights, strict=True):
                average.copy_(weight)
        else:
            # Not its AveragedModel, which counts on the device: a GPU would be waited for in each step.
            get_ema_multi_avg_fn(decay)(self._tensors(), list(self._weights), 0)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Gives the model the averaged weights inside the block, and its own bit for bit afterwards."""
        if not self.steps:
            yield
            return
        self._exchange(self._rest)
        try:
            yield
        finally:
            self._exchange(1.0)

    def finish(self) -> None:
        """Gives the model the averaged weights for good."""
        if self.steps:
            self._exchange(1.0)
            if self._embedding is not None:
                self._embedding.decay_rest(self._rest)

    def _exchange(self, rest: float) -> None:
        """Exchanges the memory of the weights and of their average, without a copy."""
        for weight, average in zip(self._weights, self._tensors(), strict=True):
            weight.data, average.data = average.data, weight.data
        if self._embedding is not None:
            self._embedding.rest_scale = rest
            self._embedding.update_whole()

    def _tensors(self) -> list[Tensor]:
        return list(self._averages)

    def save(self, folder: str | Path) -> None:
        """Writes the average beside a training checkpoint, exactly."""
        content = {name: value.detach().cpu().contiguous() for name, value in self.state().items()}
        content[_COUNT] = torch.tensor([self.steps])
        content[_REST] = torch.tensor([self._rest], dtype=torch.float64)
        save_file(content, Path(folder) / AVERAGE_FILE)

    def load(self, folder: str | Path) -> None:
        """Reads the average of a training checkpoint, bit for bit; a checkpoint without one starts a new average."""
        if not (Path(folder) / AVERAGE_FILE).is_file():
            return
        content = load_file(Path(folder) / AVERAGE_FILE)
        self._steps = int(content.pop(_COUNT))
        self._rest = float(content.pop(_REST))
        for name, value in self.state().items():
            value.data.copy_(content[name])


@contextlib.contextmanager
def averaged_weights(trainer: Any, embedding: TrimmedEmbedding | None = None) -> Iterator[None]:
    """Keeps an average of the weights that a trainer trains inside the block; at its end the model has the average.

    If the block raises an error, the model keeps its own weights.

    Args:
        trainer: A `tellapart.training.trainer.Trainer`, whose `average` is set. Without `averaging` in its arguments
            nothing is averaged.
        embedding: As for `WeightAverage`.
    """
    share = trainer.args.averaging
    if share is not None:
        parameters = trainer.classifier.named_parameters()
        trained = {name: parameter for name, parameter in parameters if parameter.requires_grad}
        trainer.average = WeightAverage(trained, share, embedding)
    try:
        yield
        if trainer.average is not None:
            trainer.average.finish()
    finally:
        trainer.average = None
