"""Negative supervision: losses on the cosine similarity of rows with different labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from tellapart.data.examples import LabelSpace
from tellapart.objectives.auxiliary_labels import classification_loss
from tellapart.objectives.base import EncodedBatch, Objective, Requirements, RunFacts
from tellapart.objectives.distance_matrices import (
    as_distance_matrix,
    check_size,
    hierarchy_distance,
    ordinal_distance,
    pair_distances,
)
from tellapart.objectives.options import (
    NegativeSupervisionCrossEntropyOptions,
    NegativeSupervisionMarginOptions,
    NegativeSupervisionOptions,
    SamplingOptions,
)
from tellapart.objectives.relations import prior_relations
from tellapart.objectives.similarity import Different, choose, cosine_similarities, mean_where, pair_masks


class NegativeSupervision(Objective):
    """AAN, "the auxiliary task using all negative examples": the mean of 1 + cosine over sampled negatives.

    Every row is an anchor, including those of a second view; its negatives are rows of the batch with different
    labels, drawn without replacement. An anchor with fewer negatives uses all of them, one without negatives is
    left out of the mean, and a batch of one class gives 0. Gradients reach both rows of a pair.

    Add it to the main loss: `CrossEntropy() + NegativeSupervision()`. It needs two classes per batch.

    Args:
        samples: n, the rows that an anchor is compared with. AAN takes n negatives; AM and ACE take one
            positive and n - 1 negatives. `all` takes every negative, and averages over every positive: the
            expectation of sampling, exact for AAN.
        hard: Whether to take the most similar negatives instead of random ones.
        different: When two label sets of a multi-label task count as different: `not_identical`, or
            `disjoint` (no label in common, as for two rows without labels).
        label_distance: Weights w of the negatives by their classes, (K, K), or None for 1: for ordered or
            hierarchical classes, which should not all be pushed apart equally (see `ordinal_distance`,
            `hierarchy_distance`). AAN and AM multiply the 1 + cosine of a negative by w and still divide by
            the number of negatives, so w scales the pair's gradient and 0 switches it off; ACE multiplies
            the negative's exponential in the denominator by w. `hard` ranks by w (1 + cosine). For label
            sets, w is the mean over the pairs of their labels; rows without labels have 1.

    Raises:
        RecipeError: An option is out of range, or, from `prepare`, `label_distance` is of another size.

    Example:
        >>> objective = CrossEntropy() + NegativeSupervision(samples=4)

    References:
        - Ohashi et al. 2020, Text Classification with Negative Supervision: Section 2.2.
    """

    name = "negative_supervision"
    options: ClassVar[type[SamplingOptions]] = NegativeSupervisionOptions
    label_distance: Tensor | None

    def __init__(
        self,
        samples: int | Literal["all"] = 4,
        hard: bool = False,
        different: Different = "not_identical",
        label_distance: Tensor | Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self.options.checked(samples=samples, hard=hard, different=different)
        self.samples: int | Literal["all"] = samples
        self.hard = hard
        self.different: Different = different
        self.register_buffer(
            "label_distance",
            None if label_distance is None else as_distance_matrix(label_distance),
            persistent=False,
        )

    @property
    def requirements(self) -> Requirements:
        """Two classes per batch."""
        return Requirements(classes_per_batch=2)

    def prepare(self, run: RunFacts) -> None:
        """Checks the size of `label_distance`."""
        if self.label_distance is not None:
            check_size(self.label_distance, run.num_labels)

    def forward(self, batch: EncodedBatch) -> dict[str, Tensor]:
        """Returns the mean loss over the anchors."""
        cosines = cosine_similarities(batch.representation)  # (B, B)
        different, same = pair_masks(batch.labels, self.different)
        weights = self._weights(batch.labels, cosines)
        losses, counted = self._anchor_losses(cosines, weights, different, same)
        return {self.name: mean_where(losses, counted)}

    def _anchor_losses(
        self, cosines: Tensor, weights: Tensor, different: Tensor, same: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the loss of each anchor and whether it counts, both (B,)."""
        weighted = weights * (1 + cosines)
        negatives = self._negatives(weighted, different, self.samples)
        return mean_where(weighted, negatives, dim=1), negatives.any(dim=1)

    def _negatives(self, weighted: Tensor, different: Tensor, count: int | Literal["all"]) -> Tensor:
        return choose(different, count, scores=weighted if self.hard else None)

    def _weights(self, labels: Tensor, cosines: Tensor) -> Tensor:
        if self.label_distance is None:
            return torch.ones_like(cosines)
        return pair_distances(labels, self.label_distance.to(cosines.dtype))


class _AgainstPositive(NegativeSupervision):
    """Compares positives with negatives: the mean loss over the chosen positives of an anchor."""

    def _anchor_losses(
        self, cosines: Tensor, weights: Tensor, different: Tensor, same: Tensor
    ) -> tuple[Tensor, Tensor]:
        positives = choose(same, "all" if self.samples == "all" else 1)
        count = self.samples if self.samples == "all" else self.samples - 1
        negatives = self._negatives(weights * (1 + cosines), different, count)
        losses = mean_where(self._pair_losses(cosines, weights, negatives), positives, dim=1)
        return losses, positives.any(dim=1) & negatives.any(dim=1)

    def _pair_losses(self, cosines: Tensor, weights: Tensor, negatives: Tensor) -> Tensor:
        """Returns (B, B): the loss of anchor i with row j as its positive."""
        raise NotImplementedError


class NegativeSupervisionMargin(_AgainstPositive):
    """AM, "the margin-based loss": margin between the positive and the mean negative.

    Per anchor `relu(margin - (1 + cos positive) + mean (1 + cos negative))`. Anchors without a positive or
    without a negative are left out of the mean.

    Args:
        samples, hard, different, label_distance: As for `NegativeSupervision`, with `samples` of at least 2; rows
            that are not different are positives, which are always random.
        margin: δ, the margin in cosine.

    Raises:
        RecipeError: An option is out of range, or, from `prepare`, `label_distance` is of another size.

    Example:
        >>> objective = CrossEntropy() + NegativeSupervisionMargin(margin=0.4)

    References:
        - Ohashi et al. 2020, Text Classification with Negative Supervision: Section 3.3.
    """

    name = "negative_supervision_margin"
    options = NegativeSupervisionMarginOptions

    def __init__(
        self,
        samples: int | Literal["all"] = 4,
        hard: bool = False,
        different: Different = "not_identical",
        label_distance: Tensor | Sequence[Sequence[float]] | None = None,
        margin: float = 0.4,
    ) -> None:
        super().__init__(samples, hard, different, label_distance)
        self.options.checked(margin=margin)
        self.margin = margin

    def _pair_losses(self, cosines: Tensor, weights: Tensor, negatives: Tensor) -> Tensor:
        mean_negative = mean_where(weights * (1 + cosines), negatives, dim=1)
        return functional.relu(self.margin - (1 + cosines) + mean_negative[:, None])


class NegativeSupervisionCrossEntropy(_AgainstPositive):
    """ACE, "the auxiliary task with cross entropy loss": classify the positive among the negatives by cosine.

    Per anchor the cross entropy of the positive against the negatives, with cosines divided by the temperature
    as logits. Anchors without a positive or without a negative are left out of the mean.

    Args:
        samples, hard, different, label_distance: As for `NegativeSupervision`, with `samples` of at least 2; rows
            that are not different are positives, which are always random.
        temperature: Divisor of the cosines; 1 in the paper, where the loss cannot fall below 0.34 with n = 4.

    Raises:
        RecipeError: An option is out of range, or, from `prepare`, `label_distance` is of another size.

    Example:
        >>> objective = CrossEntropy() + NegativeSupervisionCrossEntropy(temperature=0.1)

    References:
        - Ohashi et al. 2020, Text Classification with Negative Supervision: Section 3.3.
    """

    name = "negative_supervision_cross_entropy"
    options = NegativeSupervisionCrossEntropyOptions

    def __init__(
        self,
        samples: int | Literal["all"] = 4,
        hard: bool = False,
        different: Different = "not_identical",
        label_distance: Tensor | Sequence[Sequence[float]] | None = None,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(samples, hard, different, label_distance)
        self.options.checked(temperature=temperature)
        self.temperature = temperature

    def _pair_losses(self, cosines: Tensor, weights: Tensor, negatives: Tensor) -> Tensor:
        logits = cosines / self.temperature
        # The lowest finite number, not -inf: a row of -inf has no gradient.
        shares = (logits + weights.log()).masked_fill(~negatives, torch.finfo(logits.dtype).min)
        # Cross entropy over one positive and the negatives: -log(e^p / (e^p + sum e^n)).
        return functional.softplus(shares.logsumexp(dim=1, keepdim=True) - logits)


def build(options: SamplingOptions, labels: LabelSpace) -> Objective:
    """Builds classification loss + weight · AAN, AM or ACE, whichever the options are of.

    Raises:
        RecipeError: Prior relations are asked for, and the data have neither an order nor a hierarchy.
    """
    main = classification_loss(options, labels)
    arguments = options.model_dump(include={"samples", "hard", "different", "margin", "temperature"})
    if options.relations == "prior":
        arguments["label_distance"] = prior_weights(prior_relations(labels))
    kinds = (NegativeSupervision, NegativeSupervisionMargin, NegativeSupervisionCrossEntropy)
    kind = next(kind for kind in kinds if kind.options is type(options))
    return main + options.weight * kind(**arguments)


def prior_weights(prior: dict[str, Any]) -> Tensor:
    """Returns the weight of each pair of classes, float32 (K, K): 0 for the same class, 1 for the farthest two.

    Args:
        prior: `order`, the class ids from first to last; or `paths`, the levels of each class from the root.
    """
    # The distance falls from 1 to 0 as classes move apart.
    if "order" in prior:
        return 1 - ordinal_distance(len(prior["order"]), tau=0.0, order=prior["order"])
    return 1 - hierarchy_distance(prior["paths"], tau=0.0)
