"""Standardises regression targets to mean 0 and standard deviation 1."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from tellapart.data.examples import TextSplit


@dataclass(frozen=True)
class TargetScale:
    """Mean and standard deviation of the training targets.

    Learning rates, initialisation and weight decay assume outputs of mean 0 and variance 1. After training,
    `fold_into` rescales the last layer, so that its outputs are in the original unit.

    Args:
        mean: Of the training targets.
        deviation: Their standard deviation, above 0.
    """

    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, split: TextSplit) -> TargetScale:
        """Returns the scale of a split's targets; the deviation is 1 if they are constant."""
        values = np.asarray(split.labels, dtype=np.float64)
        return cls(float(values.mean()), float(values.std()) or 1.0)

    def standardised(self, split: TextSplit) -> TextSplit:
        """Returns the split with standardised targets."""
        values = (np.asarray(split.labels, dtype=np.float64) - self.mean) / self.deviation
        return replace(split, labels=values.tolist())

    def restored(self, outputs: np.ndarray) -> np.ndarray:
        """Converts standardised outputs of any shape to the original unit."""
        return outputs * self.deviation + self.mean

    def fold_into(self, linear: nn.Linear) -> None:
        """Rescales a linear layer in place from standardised outputs to the original unit."""
        with torch.no_grad():
            linear.weight.mul_(self.deviation)
            linear.bias.mul_(self.deviation).add_(self.mean)
