"""Negative supervision: rows with different labels are to point in different directions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from tellapart.errors import RecipeError
from tellapart.objectives.base import EncodedBatch, Objective, Requirements, RunFacts
from tellapart.objectives.distance_matrices import as_distance_matrix, check_size, pair_distances
from tellapart.objectives.similarity import Different, choose, cosine_similarities, mean_where, pair_masks


class NegativeSupervision(Objective):
    """AAN, "the auxiliary task using all negative examples": the mean of 1 + cosine over sampled negatives.

    Every row is an anchor, those of a second view too; its negatives are rows of the batch with different
    labels, drawn without replacement. An anchor with fewer uses those it has, one with none leaves the mean,
    and a batch of one class gives 0. Gradients reach both rows of a pair.

    Add it to the main task: `CrossEntropy() + NegativeSupervision()`. It needs two classes in a batch.

    Args:
        samples: n, the rows that an anchor is compared with. AAN takes n negatives; the other two take one
            positive and n - 1 negatives. `all` takes every negative, and every positive in turn: the
            expectation of sampling, for AAN exactly.
        hard: Whether to take the most similar negatives rather than random ones.
        different: When two sets of labels differ in a multi-label task: `not_identical`, or `disjoint` (no
            label in common; two rows without labels have none in common).
        label_distance: Weights w of the negatives by their classes, (K, K), None for 1 throughout: for
            ordered or nested classes, which should not all be pushed apart alike (see `ordinal_distance`,
            `hierarchy_distance`). AAN and AM multiply the 1 + cosine of a negative by w and still divide by
            the number of negatives, so w scales the pair's gradient and 0 switches it off; ACE multiplies
            the negative's exponential in the denominator by w. `hard` ranks by w (1 + cosine). For sets of
            labels w is the mean over the pairs of their labels, rows without labels having 1.

    Raises:
        RecipeError: An option is out of range, or, from `prepare`, `label_distance` is of another size.

    Example:
        >>> objective = CrossEntropy() + NegativeSupervision(samples=4)

    References:
        - Ohashi et al. 2020, Text Classification with Negative Supervision: Section 2.2.
    """

    name = "negative_supervision"
    fewest_samples = 1
    label_distance: Tensor | None

    def __init__(
        self,
        samples: int | Literal["all"] = 4,
        hard: bool = False,
        different: Different = "not_identical",
        label_distance: Tensor | Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        if samples != "all" and not (isinstance(samples, int) and samples >= self.fewest_samples):
            raise RecipeError(
                f"samples is {samples!r}", f'give a whole number from {self.fewest_samples} up, or "all"'
            )
        if different not in get_args(Different):
            raise RecipeError(f'different is "{different}"', f"give one of {', '.join(get_args(Different))}")
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
        """Two classes in a batch."""
        return Requirements(classes_per_batch=2)

    def prepare(self, run: RunFacts) -> None:
        """Checks the size of `label_distance`."""
        if self.label_distance is not None:
            check_size(self.label_distance, run.num_labels)

    def forward(self, batch: EncodedBatch) -> dict[str, Tensor]:
        """Returns the mean over the anchors."""
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
    """Negatives against a positive: a term for every chosen positive, averaged over an anchor's."""

    fewest_samples = 2  # one positive, one negative

    def _anchor_losses(
        self, cosines: Tensor, weights: Tensor, different: Tensor, same: Tensor
    ) -> tuple[Tensor, Tensor]:
        positives = choose(same, "all" if self.samples == "all" else 1)
        count = self.samples if self.samples == "all" else self.samples - 1
        negatives = self._negatives(weights * (1 + cosines), different, count)
        losses = mean_where(self._pair_losses(cosines, weights, negatives), positives, dim=1)
        return losses, positives.any(dim=1) & negatives.any(dim=1)

    def _pair_losses(self, cosines: Tensor, weights: Tensor, negatives: Tensor) -> Tensor:
        """Returns (B, B): the loss of anchor i, were j its positive."""
        raise NotImplementedError


class NegativeSupervisionMargin(_AgainstPositive):
    """AM, "the margin-based loss": a positive is to be more similar than the mean negative, by a margin.

    Per anchor `relu(margin - (1 + cos positive) + mean (1 + cos negative))`. Anchors without a positive or
    without a negative leave the mean.

    Args:
        samples: See `NegativeSupervision`; at least 2.
        hard: See `NegativeSupervision`; the positive is random all the same.
        different: See `NegativeSupervision`; whatever is not different is a positive.
        label_distance: See `NegativeSupervision`.
        margin: δ, how much more similar the positive is to be, in cosine.

    Raises:
        RecipeError: An option is out of range, or, from `prepare`, `label_distance` is of another size.

    Example:
        >>> objective = CrossEntropy() + NegativeSupervisionMargin(margin=0.4)

    References:
        - Ohashi et al. 2020, Text Classification with Negative Supervision: Section 3.3.
    """

    name = "negative_supervision_margin"

    def __init__(
        self,
        samples: int | Literal["all"] = 4,
        hard: bool = False,
        different: Different = "not_identical",
        label_distance: Tensor | Sequence[Sequence[float]] | None = None,
        margin: float = 0.4,
    ) -> None:
        super().__init__(samples, hard, different, label_distance)
        if not math.isfinite(margin):
            raise RecipeError(f"margin is {margin}", "give a difference of cosines, such as 0.4")
        self.margin = margin

    def _pair_losses(self, cosines: Tensor, weights: Tensor, negatives: Tensor) -> Tensor:
        mean_negative = mean_where(weights * (1 + cosines), negatives, dim=1)
        return functional.relu(self.margin - (1 + cosines) + mean_negative[:, None])


class NegativeSupervisionCrossEntropy(_AgainstPositive):
    """ACE, "the auxiliary task with cross entropy loss": tell the positive from the negatives by cosine.

    Per anchor the cross entropy of the positive among it and the negatives, their cosines divided by the
    temperature being the logits. Anchors without a positive or without a negative leave the mean.

    Args:
        samples: See `NegativeSupervision`; at least 2.
        hard: See `NegativeSupervision`; the positive is random all the same.
        different: See `NegativeSupervision`; whatever is not different is a positive.
        label_distance: See `NegativeSupervision`.
        temperature: What cosines are divided by; 1 in the paper, where the loss cannot fall below 0.34 with
            n = 4.

    Raises:
        RecipeError: An option is out of range, or, from `prepare`, `label_distance` is of another size.

    Example:
        >>> objective = CrossEntropy() + NegativeSupervisionCrossEntropy(temperature=0.1)

    References:
        - Ohashi et al. 2020, Text Classification with Negative Supervision: Section 3.3.
    """

    name = "negative_supervision_cross_entropy"

    def __init__(
        self,
        samples: int | Literal["all"] = 4,
        hard: bool = False,
        different: Different = "not_identical",
        label_distance: Tensor | Sequence[Sequence[float]] | None = None,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(samples, hard, different, label_distance)
        if not 0 < temperature < math.inf:
            raise RecipeError(f"temperature is {temperature}", "give a number above 0; the paper has 1")
        self.temperature = temperature

    def _pair_losses(self, cosines: Tensor, weights: Tensor, negatives: Tensor) -> Tensor:
        logits = cosines / self.temperature
        # The lowest finite number stands for nothing: a row of -inf has no gradient.
        shares = (logits + weights.log()).masked_fill(~negatives, torch.finfo(logits.dtype).min)
        # Cross entropy over one positive and the negatives: -log(e^p / (e^p + sum e^n)).
        return functional.softplus(shares.logsumexp(dim=1, keepdim=True) - logits)
