"""Cross entropy with auxiliary labels: more outputs than classes, in the first of two stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.special import entr
from torch import Tensor
from torch.nn import functional

from tellapart.data.examples import LabelSpace
from tellapart.errors import RecipeError
from tellapart.objectives.base import EncodedBatch, Requirements, RunFacts
from tellapart.objectives.cross_entropy import CrossEntropy
from tellapart.objectives.options import ClassificationOptions
from tellapart.objectives.relations import class_id


class AuxiliaryLabels(CrossEntropy):
    """Cross entropy over more outputs than there are classes.

    The softmax runs over all K + j outputs while the targets stay below K (RE, Eq. 10): the auxiliary outputs
    take part in the probabilities but are never targets, so the loss falls more slowly and the encoder must
    separate the classes more clearly. Outside the softmax they would have no effect. In multi-label tasks each
    auxiliary output is one more label that no text has.

    The j extra outputs exist only during this stage: a saved model has K outputs. In the paper a second stage
    trains a fresh classifier on the frozen encoder.

    Args:
        total: K + j, the number of outputs (the paper's N_a); K is plain cross entropy.
        options: As for `CrossEntropy`; class weights are given for the K classes, auxiliary labels have weight 1.
            Label smoothing spreads over the K classes: the target of auxiliary labels stays 0.

    Raises:
        RecipeError: `total` is below 1, or, from `prepare`, below the number of classes.

    Example:
        >>> objective = AuxiliaryLabels(total=4) + 0.5 * NegativeSupervision()

    References:
        - Zhang et al. 2022, Complicate Then Simplify: A Novel Way to Explore Pre-trained Models for Text
          Classification, Eq. 8 to 10.
    """

    name = "auxiliary_labels"

    def __init__(self, total: int, **options: Any) -> None:
        super().__init__(**options)
        ClassificationOptions.checked(total=total)
        self.total_outputs = total
        self._classes: int | None = None

    @property
    def requirements(self) -> Requirements:
        """The number of outputs."""
        return Requirements(outputs=self.total_outputs)

    def prepare(self, run: RunFacts) -> None:
        """Checks the number of outputs and computes the class weights."""
        check_total(self.total_outputs, run.num_labels)
        super().prepare(run)
        self._classes = run.num_labels
        auxiliary = self.total_outputs - run.num_labels
        for name in ("class_weights", "positive_weights"):
            weights = getattr(self, name)
            if weights is not None:
                setattr(self, name, torch.cat([weights, weights.new_ones(auxiliary)]))

    def forward(self, batch: EncodedBatch) -> dict[str, Tensor]:
        """Returns the mean cross entropy over the rows, from logits (B, K + j) and labels below K."""
        labels, targets = batch.labels, batch.targets
        if batch.multi_label:
            labels = functional.pad(labels, (0, batch.logits.shape[1] - labels.shape[1]))
        if targets is not None:
            targets = functional.pad(targets, (0, batch.logits.shape[1] - targets.shape[1]))
        return super().forward(replace(batch, labels=labels, targets=targets))

    def _softmax_targets(self, batch: EncodedBatch) -> tuple[Tensor, float]:
        targets, smoothing = super()._softmax_targets(batch)
        if not smoothing:
            return targets, smoothing
        if targets.dim() == 1:
            targets = functional.one_hot(targets, batch.logits.shape[1]).to(batch.logits.dtype)
        return self._among_classes(targets * (1 - smoothing) + smoothing / self._class_count()), 0.0

    def _binary_targets(self, batch: EncodedBatch) -> Tensor:
        targets = super()._binary_targets(batch)
        return self._among_classes(targets) if self.label_smoothing else targets

    def _among_classes(self, targets: Tensor) -> Tensor:
        """Returns targets (B, K + j) that are 0 for the auxiliary labels."""
        return targets.where(torch.arange(targets.shape[1], device=targets.device) < self._class_count(), 0.0)

    def _class_count(self) -> int:
        if self._classes is None:
            raise RecipeError("the number of classes is not known", "call prepare first")
        return self._classes


def check_total(total: int, classes: int) -> None:
    """Checks that there are at least as many outputs as classes.

    Raises:
        RecipeError: There are fewer outputs than classes.
    """
    if total < classes:
        raise RecipeError(
            f"total is {total} and the data have {classes} classes",
            f"set it to {classes} plus the number of auxiliary labels, such as {2 * classes}",
        )


def classification_loss(
    options: ClassificationOptions, labels: LabelSpace, *, both_views: bool = False
) -> CrossEntropy:
    """Builds cross entropy, with auxiliary labels where the options ask for more outputs than classes.

    Args:
        options: The options of the objective.
        labels: The classes.
        both_views: Whether the loss counts the rows of a second view.

    Raises:
        RecipeError: The labels are numbers, or an option does not fit the classes.
    """
    if labels.regression:
        raise RecipeError(
            f"{options.name} needs classes, but the labels are numbers",
            "choose mean-squared-error, r-drop, frozen or tfidf",
        )
    weight: Any = options.class_weight
    if isinstance(weight, Mapping):
        weight = {class_id(name, labels, "class_weight"): value for name, value in weight.items()}
    arguments = options.model_dump(include={"label_smoothing", "focal_gamma"})
    arguments |= {"class_weight": weight, "both_views": both_views}
    total = options.outputs(len(labels))
    if total is None:
        return CrossEntropy(**arguments)
    check_total(total, len(labels))
    return AuxiliaryLabels(total, **arguments)


build = classification_loss


def entropy(k: int, gamma: float | np.ndarray) -> float | np.ndarray:
    """Entropy of a prediction over k labels in which the k − 1 wrong labels have equal probability.

    H = −(k − 1) γ ln γ − (1 − (k − 1) γ) ln(1 − (k − 1) γ) (Eq. 2; Eq. 3 with k + n for k). For a fixed γ
    the entropy grows with the number of labels as long as 0 < γ < 1/(k + n − 1).

    Args:
        k: Number of labels, including auxiliary ones.
        gamma: Probability of each wrong label, 0 to 1/(k − 1); a number or an array.

    Returns:
        Nats, in the shape of `gamma`.

    Raises:
        ValueError: k is below 1, or the probabilities exceed 1.
    """
    wrong = (k - 1) * np.asarray(gamma, dtype=np.float64)
    if k < 1 or np.any(wrong < 0) or np.any(wrong > 1):
        raise ValueError("gamma must be between 0 and 1 / (k - 1), and k at least 1")
    value = (k - 1) * entr(gamma) + entr(1 - wrong)
    return float(value) if np.ndim(gamma) == 0 else value
