"""Soft targets: the divergence of predicted probabilities from given ones (distillation, self-training)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tellapart.data.examples import LabelSpace
from tellapart.errors import RecipeError
from tellapart.objectives.base import EncodedBatch, Objective, Requirements
from tellapart.objectives.options import SoftTargetsOptions


class SoftTargets(Objective):
    """Kullback–Leibler divergence of the predicted probabilities from target probabilities, the mean over the rows.

    The gradient is that of cross entropy against the targets; the value is 0 where the two agree, and that of cross
    entropy for targets that are certain. Single-label: the targets of a row sum to 1. Multi-label: one probability
    per label, whose binary divergences are summed. Labels are not used.

    Args:
        temperature: T. Targets and predictions are both flattened, to the softmax (sigmoid) of their logits / T, and
            the divergence is multiplied by T², so that gradients keep their size. 1 changes nothing.
        both_views: Whether the rows of a second view count as well as those of the first.

    Raises:
        RecipeError: The temperature is out of range; or, from `forward`, the batch has no targets.

    Example:
        >>> trainer = Trainer(model, args, objective=SoftTargets(), train_dataset=rows.with_targets(probabilities))

    References:
        Hinton et al. 2015, Distilling the Knowledge in a Neural Network, §2.
    """

    name = "soft_targets"

    def __init__(self, temperature: float = 1.0, both_views: bool = False) -> None:
        super().__init__()
        SoftTargetsOptions.checked(temperature=temperature)
        self.temperature = temperature
        self.both_views = both_views

    @property
    def requirements(self) -> Requirements:
        """Rows with targets."""
        return Requirements(targets=True)

    def forward(self, batch: EncodedBatch) -> dict[str, Tensor]:
        """Returns the mean divergence over the rows of the first view, or of both views."""
        if batch.targets is None:
            raise RecipeError(
                "the batch has no soft targets", "give the rows some: TokenisedDataset.with_targets"
            )
        targets = batch.targets.to(batch.logits.dtype)  # (B, K)
        logits = batch.logits[:, : targets.shape[1]]  # auxiliary outputs are never a target
        losses = self._binary(logits, targets) if batch.multi_label else self._softmax(logits, targets)
        return {self.name: batch.mean(losses, both_views=self.both_views)}

    def _softmax(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Divergence of each row (B,)."""
        if self.temperature != 1:
            targets = (_log(targets) / self.temperature).softmax(dim=1)
        predicted = (logits / self.temperature).log_softmax(dim=1)
        divergence = torch.xlogy(targets, targets) - targets * predicted
        return self.temperature**2 * divergence.sum(dim=1)

    def _binary(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Binary divergences of each row, summed over the labels (B,)."""
        if self.temperature != 1:
            targets = ((_log(targets) - _log(1 - targets)) / self.temperature).sigmoid()
        losses = functional.binary_cross_entropy_with_logits(
            logits / self.temperature, targets, reduction="none"
        )
        entropies = torch.xlogy(targets, targets) + torch.xlogy(1 - targets, 1 - targets)
        return self.temperature**2 * (losses + entropies).sum(dim=1)


def _log(probabilities: Tensor) -> Tensor:
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()


def build(options: SoftTargetsOptions, labels: LabelSpace) -> SoftTargets:
    """Builds the objective.

    Raises:
        RecipeError: The labels are numbers.
    """
    if labels.regression:
        raise RecipeError(
            "soft targets are probabilities of classes, but the labels are numeric targets",
            "use mean-squared-error",
        )
    return SoftTargets(temperature=options.temperature)
