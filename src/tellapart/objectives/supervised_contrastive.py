"""Supervised contrastive learning: rows of one class are each other's positives."""

from __future__ import annotations

import math

from torch import Tensor

from tellapart.errors import RecipeError
from tellapart.objectives.base import EncodedBatch, Objective, Requirements
from tellapart.objectives.similarity import (
    cosine_similarities,
    log_softmax_over_others,
    mean_where,
    pair_masks,
)


class SupervisedContrastive(Objective):
    """SupCon on the representation: for each anchor, the mean negative log-softmax of its positives.

    The softmax runs over the cosines with all other rows, divided by the temperature. Positives are the other
    rows of the same class (multi-label: with the same set of labels), second views included; an anchor
    without one leaves the mean, and a batch without any gives 0.

    The mixture with cross entropy, λ = 0.9 in Gunel et al., is a composition:
    `0.1 * CrossEntropy() + 0.9 * SupervisedContrastive()`. It needs two classes in a batch.

    Args:
        temperature: What cosines are divided by.

    Raises:
        RecipeError: The temperature is not above 0.

    Example:
        >>> objective = 0.1 * CrossEntropy() + 0.9 * SupervisedContrastive(temperature=0.3)

    References:
        - Khosla et al. 2020, Supervised Contrastive Learning: Eq. 2 (the sum outside the logarithm).
        - Gunel et al. 2021, Supervised Contrastive Learning for Pre-trained Language Model Fine-tuning: the
          mixture, λ = 0.9 and temperature 0.3.
    """

    name = "supervised_contrastive"

    def __init__(self, temperature: float = 0.3) -> None:
        super().__init__()
        if not 0 < temperature < math.inf:
            raise RecipeError(f"temperature is {temperature}", "give a number above 0, such as 0.3")
        self.temperature = temperature

    @property
    def requirements(self) -> Requirements:
        """Two classes in a batch."""
        return Requirements(classes_per_batch=2)

    def forward(self, batch: EncodedBatch) -> dict[str, Tensor]:
        """Returns the mean over the anchors."""
        log_shares = log_softmax_over_others(cosine_similarities(batch.representation) / self.temperature)
        _, positives = pair_masks(batch.labels)
        losses = -mean_where(log_shares, positives, dim=1)
        return {self.name: mean_where(losses, positives.any(dim=1))}
