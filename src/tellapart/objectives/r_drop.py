"""R-Drop: consistency of the predictions of two dropout passes over the same text."""

from __future__ import annotations

from torch import Tensor

from tellapart.data.examples import LabelSpace
from tellapart.errors import RecipeError
from tellapart.objectives.auxiliary_labels import classification_loss
from tellapart.objectives.base import EncodedBatch, Objective, Requirements
from tellapart.objectives.mean_squared_error import MeanSquaredError
from tellapart.objectives.options import ClassificationOptions, RDropOptions


class RDrop(Objective):
    """Symmetric Kullback-Leibler divergence between the predictions of two views.

    Per text `½ (KL(p ‖ q) + KL(q ‖ p))`, the mean over the texts. Single-label: p and q are softmax
    distributions over the K classes. Multi-label: one Bernoulli distribution per label, summed over the labels.
    Regression: the squared difference `(p − q)²` of the two predictions, as in the authors' code for STS-B.
    Labels are not used.

    Its weight is the paper's α: `CrossEntropy(both_views=True) + alpha * RDrop()`, where the cross entropy is the
    mean over both views, not their sum.

    It needs two views, rows i and i + B/2, which differ by dropout.

    Raises:
        RecipeError: The batch does not hold two views.

    Example:
        >>> objective = CrossEntropy(both_views=True) + 1.0 * RDrop()

    References:
        - Liang et al. 2021, R-Drop: Regularized Dropout for Neural Networks.
    """

    name = "r_drop"

    @property
    def requirements(self) -> Requirements:
        """Two views; any kind of labels."""
        return Requirements(views=2, regression=True)

    def forward(self, batch: EncodedBatch) -> dict[str, Tensor]:
        """Returns the mean divergence over the texts."""
        batch = batch.without_anchors()
        if len(batch.logits) % 2:
            raise RecipeError(
                "the batch does not hold two views of each text", "give rows i and i + B/2 as views"
            )
        if batch.regression:
            first, second = batch.logits.squeeze(1).chunk(2)  # (B/2,) each
            return {self.name: _mean((first - second) ** 2, batch)}
        logs = batch.logits if batch.multi_label else batch.logits.log_softmax(dim=1)
        probabilities = logs.sigmoid() if batch.multi_label else logs.exp()
        p, q = probabilities.chunk(2)  # (B/2, K) each
        log_p, log_q = logs.chunk(2)
        # KL + KL' = sum (p - q)(log p - log q). The two outcomes of a Bernoulli distribution collect into one
        # such term, with the logarithms of the odds, which are the logits, for those of the probabilities.
        return {self.name: _mean(((p - q) * (log_p - log_q)).sum(dim=1), batch) / 2}


def _mean(divergences: Tensor, batch: EncodedBatch) -> Tensor:
    """Returns the mean over the texts (B/2,), each times the weight of its row."""
    if batch.weights is not None:
        divergences = divergences * batch.weights[: len(divergences)].to(divergences.dtype)
    return divergences.mean()


def build(options: RDropOptions, labels: LabelSpace) -> Objective:
    """Builds the main loss over both views + weight · R-Drop.

    Raises:
        RecipeError: The labels are numbers, and an option for classes is set.
    """
    if not labels.regression:
        return classification_loss(options, labels, both_views=True) + options.weight * RDrop()
    for option, default in ClassificationOptions().model_dump().items():
        if getattr(options, option) != default:
            raise RecipeError(f"{option} applies to classes, but the labels are numbers", "leave it out")
    return MeanSquaredError(both_views=True) + options.weight * RDrop()
