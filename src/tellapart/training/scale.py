"""Numbers to predict in the unit in which they are learned: mean 0 and deviation 1."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from tellapart.data.examples import TextSplit


@dataclass(frozen=True)
class TargetScale:
    """The unit of the training rows' numbers.

    Learning rates, the start of the classifier and weight decay suit outputs near 0 and of size 1, whatever the
    numbers count. After training, `fold_into` turns the last layer's outputs into numbers as they were given.

    Args:
        mean: Of the training rows.
        deviation: Of the training rows, above 0.
    """

    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, split: TextSplit) -> TargetScale:
        """Measures the rows that are learned from; the deviation counts as 1 where they do not vary."""
        values = np.asarray(split.labels, dtype=np.float64)
        return cls(float(values.mean()), float(values.std()) or 1.0)

    def standardised(self, split: TextSplit) -> TextSplit:
        """Returns rows whose numbers are in this unit."""
        values = (np.asarray(split.labels, dtype=np.float64) - self.mean) / self.deviation
        return replace(split, labels=values.tolist())

    def restored(self, outputs: np.ndarray) -> np.ndarray:
        """Turns outputs of any shape that are in this unit into numbers as they were given."""
        return outputs * self.deviation + self.mean

    def fold_into(self, linear: nn.Linear) -> None:
        """Changes a layer whose outputs are in this unit, in place, so that they are numbers as they were given."""
        with torch.no_grad():
            linear.weight.mul_(self.deviation)
            linear.bias.mul_(self.deviation).add_(self.mean)
