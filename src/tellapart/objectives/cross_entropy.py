"""Cross entropy: softmax for single-label tasks, sigmoids for multi-label tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from tellapart.errors import RecipeError
from tellapart.objectives.base import EncodedBatch, Objective, RunFacts
from tellapart.objectives.options import ClassificationOptions

ClassWeight = Literal["balanced"] | Mapping[int, float] | Sequence[float]


class CrossEntropy(Objective):
    """Cross entropy of the logits, with class weights, label smoothing and focal loss.

    Single-label: softmax cross entropy. Multi-label: binary cross entropy, summed over the labels. The loss is
    the plain mean over the rows, also with class weights, where `torch.nn.CrossEntropyLoss` divides by the
    batch's sum of weights: eight batches of 4 thus give the gradient of one batch of 32. Weights of rows
    (`EncodedBatch.weights`) multiply their losses likewise.

    Where the batch has soft targets, these take the place of one-hot (multi-hot) labels; the focal factor remains
    that of the labels.

    Args:
        class_weight: None; one weight per class, as a sequence of K or a mapping from class id (missing
            classes have 1); or `balanced`, from the training rows. Single-label: weights of the gold classes;
            balanced, `n / (K * count)` as in scikit-learn, where K counts the classes that occur and the
            others have weight 0. Multi-label: weights of the positives; balanced, `negatives / positives`,
            and 1 for labels that never occur.
        label_smoothing: Share of the target that is spread evenly over the K classes, or over yes and no.
        focal_gamma: Exponent of the focal factor `(1 - p)^gamma`, where p is the probability of the gold class
            (multi-label: of the gold value of each label), before smoothing. 0 is cross entropy.
        both_views: Whether the rows of a second view count as well as those of the first.

    Raises:
        RecipeError: An option is out of range, or, from `prepare`, the class weights do not fit the task.

    Example:
        >>> objective = CrossEntropy(class_weight="balanced") + 0.5 * NegativeSupervision()

    References:
        - Lin et al. 2017, Focal Loss for Dense Object Detection: the focal factor, Eq. 4.
        - Szegedy et al. 2016, Rethinking the Inception Architecture for Computer Vision: label smoothing.
    """

    name = "cross_entropy"
    class_weights: Tensor | None
    positive_weights: Tensor | None

    def __init__(
        self,
        class_weight: ClassWeight | None = None,
        label_smoothing: float = 0.0,
        focal_gamma: float = 0.0,
        both_views: bool = False,
    ) -> None:
        super().__init__()
        by_name = {"class_weight": class_weight} if isinstance(class_weight, str) else {}
        ClassificationOptions.checked(label_smoothing=label_smoothing, focal_gamma=focal_gamma, **by_name)
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.focal_gamma = focal_gamma
        self.both_views = both_views
        # Not persistent: `prepare` computes them from the options and the training rows.
        self.register_buffer("class_weights", None, persistent=False)
        self.register_buffer("positive_weights", None, persistent=False)

    def prepare(self, run: RunFacts) -> None:
        """Computes the class weights."""
        if self.class_weight is None:
            return
        if not isinstance(self.class_weight, str):
            self.class_weights = self.positive_weights = _given_weights(self.class_weight, run.num_labels)
            return
        if run.class_counts is None:
            raise RecipeError(
                "balanced class weights need the number of training rows of each class",
                "give one weight per class instead",
            )
        self.class_weights = _balanced_weights(run.class_counts)
        self.positive_weights = (
            None if run.num_rows is None else _balanced_positive_weights(run.class_counts, run.num_rows)
        )

    def forward(self, batch: EncodedBatch) -> dict[str, Tensor]:
        """Returns the mean loss over the rows of the first view, or of both views."""
        losses = self._binary_losses(batch) if batch.multi_label else self._softmax_losses(batch)  # (B,)
        return {self.name: batch.mean(losses, both_views=self.both_views)}

    def _softmax_losses(self, batch: EncodedBatch) -> Tensor:
        targets, smoothing = self._softmax_targets(batch)
        losses = functional.cross_entropy(
            batch.logits,
            targets,
            weight=self._weights_like(batch.logits, self.class_weights),
            label_smoothing=smoothing,
            reduction="none",
        )
        if self.focal_gamma:
            log_truth = batch.logits.log_softmax(dim=1).gather(1, batch.labels[:, None])
            losses = losses * self._focal_factor(log_truth.squeeze(1))
        return losses

    def _softmax_targets(self, batch: EncodedBatch) -> tuple[Tensor, float]:
        """Returns class ids (B,) or probabilities (B, K), and the share of them to spread over all outputs."""
        targets = batch.labels if batch.targets is None else batch.targets.to(batch.logits.dtype)
        return targets, self.label_smoothing

    def _binary_losses(self, batch: EncodedBatch) -> Tensor:
        labels = batch.labels.to(batch.logits.dtype)
        losses = functional.binary_cross_entropy_with_logits(
            batch.logits,
            self._binary_targets(batch),
            pos_weight=self._weights_like(batch.logits, self.positive_weights),
            reduction="none",
        )
        if self.focal_gamma:
            losses = losses * self._focal_factor(functional.logsigmoid(batch.logits * (2 * labels - 1)))
        return losses.sum(dim=1)

    def _binary_targets(self, batch: EncodedBatch) -> Tensor:
        """Returns the smoothed probabilities of the labels, (B, K)."""
        targets = batch.labels if batch.targets is None else batch.targets
        return targets.to(batch.logits.dtype) * (1 - self.label_smoothing) + self.label_smoothing / 2

    def _focal_factor(self, log_truth: Tensor) -> Tensor:
        # The derivative of the power at 0 is infinite for exponents below 1, hence the floor.
        return (-torch.expm1(log_truth)).clamp_min(torch.finfo(log_truth.dtype).eps) ** self.focal_gamma

    def _weights_like(self, logits: Tensor, weights: Tensor | None) -> Tensor | None:
        if self.class_weight is None:
            return None
        if weights is None:
            raise RecipeError(
                "the class weights are not initialised",
                "call prepare first; balanced weights of a multi-label task need its num_rows",
            )
        return weights.to(logits)


def _given_weights(given: Mapping[int, float] | Sequence[float], num_labels: int) -> Tensor:
    if isinstance(given, Mapping):
        unknown = sorted(set(given) - set(range(num_labels)))
        if unknown:
            raise RecipeError(
                f"class_weight names the class {unknown[0]!r}, but the classes are 0 to {num_labels - 1}",
                "use class ids as keys",
            )
        given = [given.get(label, 1.0) for label in range(num_labels)]
    weights = torch.as_tensor(given, dtype=torch.float32)
    if weights.shape != (num_labels,) or not torch.isfinite(weights).all() or (weights < 0).any():
        raise RecipeError(
            f"class_weight does not hold one weight from 0 up for each of the {num_labels} classes",
            'give one number per class in the order of the model\'s outputs, or "balanced"',
        )
    return weights


def _balanced_weights(counts: Tensor) -> Tensor:
    counts = counts.float()
    return torch.where(counts > 0, counts.sum() / ((counts > 0).sum() * counts.clamp_min(1)), 0.0)


def _balanced_positive_weights(counts: Tensor, num_rows: int) -> Tensor:
    counts = counts.float()
    # A label of every row would have weight 0 and never be learned: count one row as without it.
    return torch.where(counts > 0, (num_rows - counts).clamp_min(1) / counts.clamp_min(1), 1.0)
