"""Mean squared error, the main task where labels are numbers: regression."""

from __future__ import annotations

from torch import Tensor

from tellapart.errors import RecipeError
from tellapart.objectives.base import EncodedBatch, Objective, Requirements
from tellapart.objectives.similarity import mean_where


class MeanSquaredError(Objective):
    """The squared difference of the one output and the number that is right, the mean over the rows.

    With accumulation it stays the mean over the rows of the whole step. A run standardises the numbers of the
    training rows first, so that neither their unit nor their size changes what a learning rate does.

    Args:
        both_views: Whether the rows of a second view count as well, or only those of the first.

    Raises:
        RecipeError: The labels are classes, or the model has several outputs.

    Example:
        >>> objective = MeanSquaredError(both_views=True) + 1.0 * RDrop()

    References:
        - Devlin et al. 2019, BERT, and Wang et al. 2019, GLUE: how STS-B is learned.
    """

    name = "mean_squared_error"

    def __init__(self, both_views: bool = False) -> None:
        super().__init__()
        self.both_views = both_views

    @property
    def requirements(self) -> Requirements:
        """Numbers for labels."""
        return Requirements(multi_label=False, classes=False, regression=True)

    def forward(self, batch: EncodedBatch) -> dict[str, Tensor]:
        """Returns the mean over the rows of the first view, or of both."""
        if not batch.regression or batch.logits.shape[1] != 1:
            raise RecipeError(
                f"squared errors need one number a row, and there are {batch.logits.shape[1]} output(s) a row",
                "use cross entropy for classes, and a model with num_labels=1 for numbers",
            )
        errors = (batch.logits.squeeze(1) - batch.labels.to(batch.logits.dtype)) ** 2  # (B,)
        return {self.name: errors.mean() if self.both_views else mean_where(errors, batch.views == 0)}
