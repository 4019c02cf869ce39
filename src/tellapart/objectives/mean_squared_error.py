"""Mean squared error, for regression."""

from __future__ import annotations

from torch import Tensor

from tellapart.data.examples import LabelSpace
from tellapart.errors import RecipeError
from tellapart.objectives.base import EncodedBatch, Objective, Requirements
from tellapart.objectives.options import MeanSquaredErrorOptions


class MeanSquaredError(Objective):
    """Squared difference of the single output and the target, the mean over the rows.

    With gradient accumulation it is the mean over the rows of the whole step. A run standardises the targets of
    the training rows first, so that learning rates do not depend on their unit.

    Args:
        both_views: Whether the rows of a second view count as well as those of the first.

    Raises:
        RecipeError: The labels are classes, or the model has several outputs.

    Example:
        >>> objective = MeanSquaredError(both_views=True) + 1.0 * RDrop()

    References:
        - Devlin et al. 2019, BERT, and Wang et al. 2019, GLUE: fine-tuning on STS-B.
    """

    name = "mean_squared_error"

    def __init__(self, both_views: bool = False) -> None:
        super().__init__()
        self.both_views = both_views

    @property
    def requirements(self) -> Requirements:
        """Numeric labels."""
        return Requirements(multi_label=False, classes=False, regression=True)

    def forward(self, batch: EncodedBatch) -> dict[str, Tensor]:
        """Returns the mean squared error over the rows of the first view, or of both views."""
        if not batch.regression or batch.logits.shape[1] != 1:
            raise RecipeError(
                f"squared errors need one number per row, and there are {batch.logits.shape[1]} output(s) per row",
                "use cross entropy for classes, and a model with num_labels=1 for numbers",
            )
        errors = (batch.logits.squeeze(1) - batch.labels.to(batch.logits.dtype)) ** 2  # (B,)
        return {self.name: batch.mean(errors, both_views=self.both_views)}


def build(options: MeanSquaredErrorOptions, labels: LabelSpace) -> MeanSquaredError:
    """Builds the objective.

    Raises:
        RecipeError: The labels are classes.
    """
    if not labels.regression:
        raise RecipeError(
            f"{options.name} needs numeric labels, but the labels are classes",
            "add --regression (data.regression: true) if they are numbers to predict, else choose cross-entropy",
        )
    return MeanSquaredError()
