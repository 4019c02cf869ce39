"""Supervised contrastive loss (SupCon)."""

from __future__ import annotations

from torch import Tensor

from tellapart.data.examples import LabelSpace
from tellapart.objectives.auxiliary_labels import classification_loss
from tellapart.objectives.base import EncodedBatch, Objective, Requirements
from tellapart.objectives.options import SupervisedContrastiveOptions
from tellapart.objectives.similarity import (
    cosine_similarities,
    log_softmax_over_others,
    mean_where,
    pair_masks,
)


class SupervisedContrastive(Objective):
    """SupCon on the representation: for each anchor, the mean negative log-softmax of its positives.

    The softmax runs over the cosines with all other rows, divided by the temperature. Positives are the other
    rows of the same class (multi-label: with the same label set), including second views. Anchors without a
    positive are left out of the mean; a batch without any positive gives 0.

    The mixture with cross entropy, λ = 0.9 in Gunel et al., is a composition:
    `0.1 * CrossEntropy() + 0.9 * SupervisedContrastive()`. It needs two classes per batch.

    Args:
        temperature: Divisor of the cosines.

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
        SupervisedContrastiveOptions.checked(temperature=temperature)
        self.temperature = temperature

    @property
    def requirements(self) -> Requirements:
        """Two classes per batch."""
        return Requirements(classes_per_batch=2)

    def forward(self, batch: EncodedBatch) -> dict[str, Tensor]:
        """Returns the mean loss over the anchors."""
        log_shares = log_softmax_over_others(cosine_similarities(batch.representation) / self.temperature)
        _, positives = pair_masks(batch.labels)
        losses = -mean_where(log_shares, positives, dim=1)
        return {self.name: mean_where(losses, positives.any(dim=1))}


def build(options: SupervisedContrastiveOptions, labels: LabelSpace) -> Objective:
    """Builds (1 − weight) · classification loss + weight · SupCon."""
    contrast = SupervisedContrastive(temperature=options.temperature)
    return (1 - options.weight) * classification_loss(options, labels) + options.weight * contrast
