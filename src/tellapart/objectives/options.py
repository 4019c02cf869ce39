"""Options of the objectives: keys, types, ranges, defaults and descriptions. Imports neither torch nor NumPy.

Recipes hold these models, the constructors of the objectives check their arguments against them, and the command line
and `docs/reference/recipes.md` take their words from them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tellapart.errors import invalid_setting

MAX_SEED = 2**31 - 1
"""Largest seed of a run; those that are derived from it, for seed runs and stages, still fit into 32 bits."""

MAX_EPOCHS, MAX_STEPS = 100_000, 10_000_000
"""Limits of a schedule. A mistyped number is refused, instead of being trained for years."""

MAX_WORKERS = 256
"""Largest number of processes that prepare batches."""


def setting(
    default: Any = None, description: str = "", *, factory: Callable[[], Any] | None = None, **limits: Any
) -> Any:
    """Declares a key of a recipe.

    Args:
        default: The default, unless there is a `factory`.
        description: Full sentences. Backticks mark values; for a default of None they say what None stands for.
        factory: Makes the default, for sections and lists.
        limits: The range: `ge`, `gt`, `le`, `lt`, `min_length` of `pydantic.Field`.
    """
    if factory is not None:
        return Field(default_factory=factory, description=description, **limits)
    return Field(default=default, description=description, **limits)


class Settings(BaseModel):
    """Base of the sections of a recipe: unknown keys are errors."""

    model_config = ConfigDict(
        extra="forbid",
        validate_assignment=True,
        protected_namespaces=(),
        defer_build=True,
        allow_inf_nan=False,
    )


class ObjectiveOptions(Settings):
    """Base of the options of one objective, told apart by `name`.

    Attributes:
        module: The module of `tellapart.objectives` whose function `build(options, labels)` builds the objective.
        summary: One line for the list of methods; empty where a method of the same name has more than one stage.
        variant: The values that the method of the same name sets whatever the recipe had before.
    """

    module: ClassVar[str]
    summary: ClassVar[str] = ""
    variant: ClassVar[dict[str, Any]] = {}
    if TYPE_CHECKING:
        name: str = ""

    @classmethod
    def checked(cls, **arguments: Any) -> Self:
        """Checks the arguments of an objective's constructor; options left out keep their defaults.

        Raises:
            RecipeError: A value is outside its range.
        """
        try:
            return cls.model_validate(arguments)
        except ValidationError as error:
            raise invalid_setting(error, cls) from None


class ClassificationOptions(ObjectiveOptions):
    """Options of the classification loss, which every objective over classes has."""

    total: int | None = setting(
        None,
        "Outputs during this stage: the classes plus auxiliary labels. Default: no auxiliary labels; twice the "
        "number of classes for `auxiliary-labels`.",
        ge=1,
    )
    class_weight: Literal["balanced"] | dict[str, float] | None = setting(
        None,
        "`balanced`, or one weight per class name; classes left out have weight 1. Default: all weights are 1.",
    )
    label_smoothing: float = setting(
        0.0, "Share of the target that is spread evenly over the classes.", ge=0, lt=1
    )
    focal_gamma: float = setting(
        0.0, "Exponent of the focal factor; 0 is cross entropy.", ge=0, allow_inf_nan=False
    )

    def outputs(self, classes: int) -> int | None:
        """Returns the outputs with auxiliary labels, of a task with so many classes; None for no auxiliary labels."""
        return self.total


class CrossEntropyOptions(ClassificationOptions):
    """Cross entropy; binary cross entropy summed over the labels for multi-label tasks."""

    module = "auxiliary_labels"
    summary = "cross entropy"
    name: Literal["cross-entropy"] = "cross-entropy"


class AuxiliaryLabelsOptions(ClassificationOptions):
    """Cross entropy over `total` outputs, more than there are classes; auxiliary outputs are never the target.

    Every other objective over classes takes `total` as well.
    """

    module = "auxiliary_labels"
    name: Literal["auxiliary-labels"] = "auxiliary-labels"

    def outputs(self, classes: int) -> int:
        """Returns the outputs; by default twice the number of classes."""
        return self.total or 2 * classes


# Fingerprints of trials depend on the order of the keys: `name` follows the shared ones.
class SamplingOptions(ClassificationOptions):
    """Options that AAN, AM and ACE share."""

    module = "negative_supervision"
    weight: float = setting(1.0, "Weight of the auxiliary term.", ge=0)
    samples: Annotated[int, Field(ge=1)] | Literal["all"] = setting(
        4, "Number n of negatives per anchor; `all` takes every negative in the batch."
    )
    hard: bool = setting(False, "Take the most similar negatives instead of random ones.")
    different: Literal["not_identical", "disjoint"] = setting(
        "not_identical",
        "When two label sets of a multi-label task count as different: `not_identical`, or `disjoint` (no label in "
        "common).",
    )
    relations: Literal["none", "prior"] = setting(
        "none",
        "Weights of the negatives: `none`, all 1; `prior`, by the distance of the classes in `data.order` or "
        "`data.hierarchy_separator`, 1 for the two farthest classes.",
    )


class NegativeSupervisionOptions(SamplingOptions):
    """Classification loss + `weight` · AAN."""

    summary = "cross entropy + AAN: mean similarity to texts with other labels"
    variant = {"relations": "none"}
    name: Literal["negative-supervision"] = "negative-supervision"


class _AgainstPositiveOptions(SamplingOptions):
    samples: Annotated[int, Field(ge=2)] | Literal["all"] = setting(
        4, "Rows per anchor: one positive and n − 1 negatives; `all` takes every pair in the batch."
    )


class NegativeSupervisionMarginOptions(_AgainstPositiveOptions):
    """Classification loss + `weight` · AM."""

    summary = "cross entropy + AM: a margin between texts with the same label and with other labels"
    name: Literal["negative-supervision-am"] = "negative-supervision-am"
    margin: float = setting(
        0.4,
        "Margin by which the positive must be more similar than the negatives, in cosine.",
        allow_inf_nan=False,
    )


class NegativeSupervisionCrossEntropyOptions(_AgainstPositiveOptions):
    """Classification loss + `weight` · ACE."""

    summary = "cross entropy + ACE: find the text with the same label among others"
    name: Literal["negative-supervision-ace"] = "negative-supervision-ace"
    temperature: float = setting(1.0, "Divisor of the cosines.", gt=0, allow_inf_nan=False)


class LabelDistanceOptions(ClassificationOptions):
    """(1 − `weight`) · classification loss + `weight` · CLLD."""

    module = "label_distance"
    summary = "contrastive learning with label distance (CLLD), adapted to the confusion matrix"
    variant = {"distance": "adaptive"}
    name: Literal["label-distance"] = "label-distance"
    weight: float = setting(0.5, "Weight of the contrastive term, the paper's 1 − λ.", ge=0, le=1)
    distance: Literal["adaptive", "static", "uniform", "prior"] = setting(
        "adaptive",
        "Source of the distances: `adaptive`, the confusions on the validation rows; `static`, the `pairs`; `prior`, "
        "the order or the hierarchy of the classes; `uniform`, all 1.",
    )
    pairs: list[tuple[str, str]] = setting(
        description="For `static`: pairs of class names to push apart.", factory=list
    )
    order: list[str] | None = setting(
        None, "For `prior`: all class names from first to last. Default: `data.order`."
    )
    hierarchy_separator: str | None = setting(
        None, "For `prior`: separator of the levels in class names. Default: `data.hierarchy_separator`."
    )
    tau: float = setting(
        5.0,
        "Largest distance in the matrix; below 1 the pairs it applies to are pushed apart less than the others.",
        ge=0,
        allow_inf_nan=False,
    )
    scale: float = setting(1.0, "Factor of the contrastive logits.", gt=0, allow_inf_nan=False)
    normalise: Literal["max", "none"] = setting(
        "max",
        "How confusion counts become distances: `max` (shares), or `none` (raw counts, which saturate the softmax).",
    )
    update_every: int = setting(1, "Evaluations between two updates of an adaptive matrix.", ge=1)
    projection_size: int | None = setting(
        128, "Width of the projection; null compares the representations themselves.", ge=1
    )
    both_views: bool = setting(False, "Compute the classification loss on the second view as well.")
    warm_up: float = setting(
        0.2, "Share of training before the first update of an adaptive matrix.", ge=0, le=1
    )
    distance_as: Literal["factor", "weight"] = setting(
        "factor",
        "How distances enter the contrastive logits: `factor`, `scale` · ½ (cosine + 1) · distance, as in the paper; "
        "`weight`, cosine / `temperature` + log distance, which weights the pair in the softmax.",
    )
    temperature: float = setting(
        0.1, "For `distance_as: weight`: divisor of the cosines.", gt=0, allow_inf_nan=False
    )


class MeanSquaredErrorOptions(ObjectiveOptions):
    """Squared error of standardised numeric labels, the mean over the rows."""

    module = "mean_squared_error"
    summary = "squared error, for numeric labels (--regression)"
    name: Literal["mean-squared-error"] = "mean-squared-error"


class RDropOptions(ClassificationOptions):
    """Classification loss on both views + `weight` · symmetric KL divergence.

    For numeric labels: squared error on both views + `weight` · squared difference of the two predictions.
    """

    module = "r_drop"
    summary = "cross entropy on two views + the divergence of their predictions"
    name: Literal["r-drop"] = "r-drop"
    weight: float = setting(1.0, "Weight of the divergence, the paper's α.", ge=0)


class SupervisedContrastiveOptions(ClassificationOptions):
    """(1 − `weight`) · classification loss + `weight` · SupCon."""

    module = "supervised_contrastive"
    summary = "cross entropy + supervised contrastive loss"
    name: Literal["supcon"] = "supcon"
    weight: float = setting(0.9, "Weight of the contrastive term, the paper's λ.", ge=0, le=1)
    temperature: float = setting(0.3, "Divisor of the cosines.", gt=0, allow_inf_nan=False)
    projection_size: int | None = setting(
        None,
        "Width of a projection (linear, ReLU, linear) before the cosines. Default: none, the representations "
        "themselves are compared.",
        ge=1,
    )
    views: Literal[1, 2] = setting(
        1, "Passes over each text with fresh dropout; with `2` every text has a positive, its second view."
    )


class SoftTargetsOptions(ObjectiveOptions):
    """Divergence from target probabilities that come with the rows, as in `--merge distil`."""

    module = "soft_targets"
    name: Literal["soft-targets"] = "soft-targets"
    temperature: float = setting(
        1.0, "Temperature at which targets and predictions are compared.", gt=0, allow_inf_nan=False
    )


AnyObjective = (
    CrossEntropyOptions
    | AuxiliaryLabelsOptions
    | NegativeSupervisionOptions
    | NegativeSupervisionMarginOptions
    | NegativeSupervisionCrossEntropyOptions
    | LabelDistanceOptions
    | MeanSquaredErrorOptions
    | RDropOptions
    | SupervisedContrastiveOptions
    | SoftTargetsOptions
)
OBJECTIVES: dict[str, type[ObjectiveOptions]] = {
    kind.model_fields["name"].default: kind for kind in get_args(AnyObjective)
}
"""The options of each objective by name."""
