"""Supervised contrastive loss (SupCon)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from tellapart.data.examples import LabelSpace
from tellapart.errors import RecipeError
from tellapart.objectives.auxiliary_labels import classification_loss
from tellapart.objectives.base import EncodedBatch, Objective, Requirements, RunFacts
from tellapart.objectives.options import SupervisedContrastiveOptions
from tellapart.objectives.projection import projection_head
from tellapart.objectives.similarity import (
    cosine_similarities,
    log_softmax_over_others,
    mean_where,
    pair_masks,
)


class SupervisedContrastive(Objective):
    """SupCon: for each anchor, the mean negative log-softmax of its positives.

    For the representation v, or its projection `MLP(v)`, the softmax runs over the cosines with all other rows,
    divided by the temperature. Positives are the other rows of the same class (multi-label: with the same label
    set), including second views. Anchors without a positive are left out of the mean; a batch without any
    positive gives 0. In a random batch of many classes most anchors have no positive: with `views=2` every anchor
    has one, and class-balanced batches give it several.

    The mixture with cross entropy, λ = 0.9 in Gunel et al., is a composition:
    `0.1 * CrossEntropy() + 0.9 * SupervisedContrastive()`. It needs two classes per batch. `prepare` creates the
    projection.

    Args:
        temperature: Divisor of the cosines.
        projection_size: p, the width of a projection Linear(d, d), ReLU, Linear(d, p) as in Khosla et al.; None
            compares the representations themselves, as in Gunel et al.
        views: Passes over each text with fresh dropout, 1 or 2.

    Raises:
        RecipeError: An option is out of range, or a projection is used before `prepare`.

    Example:
        >>> objective = 0.1 * CrossEntropy() + 0.9 * SupervisedContrastive(temperature=0.3)
        >>> objective = 0.5 * CrossEntropy() + 0.5 * SupervisedContrastive(0.1, projection_size=128, views=2)

    References:
        - Khosla et al. 2020, Supervised Contrastive Learning: Eq. 2 (the sum outside the logarithm); two views of
          each input and the projection, §3.1.
        - Gunel et al. 2021, Supervised Contrastive Learning for Pre-trained Language Model Fine-tuning: the
          mixture, λ = 0.9 and temperature 0.3.
    """

    name = "supervised_contrastive"

    def __init__(
        self, temperature: float = 0.3, *, projection_size: int | None = None, views: Literal[1, 2] = 1
    ) -> None:
        super().__init__()
        SupervisedContrastiveOptions.checked(
            temperature=temperature, projection_size=projection_size, views=views
        )
        self.temperature = temperature
        self.projection_size = projection_size
        self.views = views
        self.projection: nn.Module = nn.Identity()

    @property
    def requirements(self) -> Requirements:
        """The views, and two classes per batch."""
        return Requirements(views=self.views, classes_per_batch=2)

    def prepare(self, run: RunFacts) -> None:
        """Creates the projection; a second call keeps it."""
        if isinstance(self.projection, nn.Identity):
            self.projection = projection_head(run.hidden_size, self.projection_size)

    def forward(self, batch: EncodedBatch) -> dict[str, Tensor]:
        """Returns the mean loss over the anchors."""
        if self.projection_size is not None and isinstance(self.projection, nn.Identity):
            raise RecipeError(
                "the projection does not know the width of the representation yet",
                "call prepare before the first batch",
            )
        similarities = cosine_similarities(self.projection(batch.representation))
        log_shares = log_softmax_over_others(similarities / self.temperature)
        _, positives = pair_masks(batch.labels)
        losses = -mean_where(log_shares, positives, dim=1)
        return {self.name: mean_where(losses, positives.any(dim=1))}


def build(options: SupervisedContrastiveOptions, labels: LabelSpace) -> Objective:
    """Builds (1 − weight) · classification loss + weight · SupCon."""
    contrast = SupervisedContrastive(
        **options.model_dump(include={"temperature", "projection_size", "views"})
    )
    return (1 - options.weight) * classification_loss(options, labels) + options.weight * contrast
