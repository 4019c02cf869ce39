"""Auxiliary labels: outputs without any text of their own, which make the first of two stages harder."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.special import entr
from torch import Tensor
from torch.nn import functional

from tellapart.errors import RecipeError
from tellapart.objectives.base import EncodedBatch, Requirements, RunFacts
from tellapart.objectives.cross_entropy import CrossEntropy


class AuxiliaryLabels(CrossEntropy):
    """Cross entropy over more outputs than there are classes.

    The softmax runs over all K + j outputs while the targets stay below K (RE, Eq. 10): the auxiliary outputs
    take part in the probabilities, never in the targets, so that the loss falls more slowly and the encoder
    has to tell the classes apart more clearly. Left out of the softmax they would have no effect at all. In
    multi-label tasks each auxiliary output is one more label that no text has.

    The j extra outputs exist only while this objective trains: a model that is saved has K. In the paper a
    second stage follows, which trains a fresh classifier on the frozen encoder.

    Args:
        total: K + j, outputs in all (the paper's N_a); K itself is plain cross entropy.
        options: As for `CrossEntropy`; class weights are those of the K classes, auxiliary labels have 1.

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
        if total < 1:
            raise RecipeError(f"total is {total}", "give the number of classes plus the auxiliary labels")
        self.total_outputs = total

    @property
    def requirements(self) -> Requirements:
        """The auxiliary outputs."""
        return Requirements(outputs=self.total_outputs)

    def prepare(self, run: RunFacts) -> None:
        """Checks the number of outputs and makes the class weights."""
        check_total(self.total_outputs, run.num_labels)
        super().prepare(run)
        auxiliary = self.total_outputs - run.num_labels
        for name in ("class_weights", "positive_weights"):
            weights = getattr(self, name)
            if weights is not None:
                setattr(self, name, torch.cat([weights, weights.new_ones(auxiliary)]))

    def forward(self, batch: EncodedBatch) -> dict[str, Tensor]:
        """Returns the mean over the rows, of logits (B, K + j) against labels below K."""
        if not batch.multi_label:
            return super().forward(batch)
        auxiliary = batch.logits.shape[1] - batch.labels.shape[1]
        labels = functional.pad(batch.labels, (0, auxiliary))
        return super().forward(EncodedBatch(batch.logits, batch.representation, labels, batch.views))


def check_total(total: int, classes: int) -> None:
    """Refuses fewer outputs than classes.

    Raises:
        RecipeError: There are more classes than outputs.
    """
    if total < classes:
        raise RecipeError(
            f"total is {total} and the data have {classes} classes",
            f"set it to {classes} plus the number of auxiliary labels, such as {2 * classes}",
        )


def entropy(k: int, gamma: float | np.ndarray) -> float | np.ndarray:
    """Entropy of a prediction over k labels that gives each of the k − 1 wrong ones the same probability.

    H = −(k − 1) γ ln γ − (1 − (k − 1) γ) ln(1 − (k − 1) γ) (Eq. 2; with k + n for k it is Eq. 3). At one γ more
    labels always mean more entropy as long as 0 < γ < 1/(k + n − 1).

    Args:
        k: Labels, auxiliary ones included.
        gamma: Probability of each wrong label, 0 to 1/(k − 1); a number or an array.

    Returns:
        Nats, in the shape of `gamma`.

    Raises:
        ValueError: k is below 1, or the probabilities exceed 1.
    """
    wrong = (k - 1) * np.asarray(gamma, dtype=np.float64)
    if k < 1 or np.any(wrong < 0) or np.any(wrong > 1):
        raise ValueError("gamma has to lie between 0 and 1 / (k - 1), and k be at least 1")
    value = (k - 1) * entr(gamma) + entr(1 - wrong)
    return float(value) if np.ndim(gamma) == 0 else value
