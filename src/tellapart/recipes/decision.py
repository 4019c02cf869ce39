"""Keys of the section `decision` of a recipe: how logits become labels."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tellapart.objectives.options import Settings, setting

AbstainBy = Literal["probability", "margin", "energy"]
"""A score of confidence, see `tellapart.evaluation.abstention.confidence_scores`."""

Probability = Annotated[float, Field(gt=0, lt=1)]


class AbstainRecipe(Settings):
    """When a model abstains: by a precision or by a coverage on the validation rows."""

    precision: float | None = setting(
        None,
        "Abstain from texts of low confidence, so that at least this share of the accepted validation rows is right; "
        "out-of-scope rows count as wrong. The lowest threshold that reaches it is used.",
        gt=0,
        le=1,
    )
    coverage: float | None = setting(
        None,
        "Abstain from texts of low confidence, so that at least this share of the validation rows is accepted.",
        gt=0,
        lt=1,
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.precision is None) == (self.coverage is None):
            raise ValueError("give either precision or coverage")
        return self


class DecisionRecipe(Settings):
    """How logits become labels, after training."""

    thresholds: Literal["tuned"] | Probability | dict[str, Probability] = setting(
        0.5,
        "For multi-label tasks, the probability from which a label is predicted: one number; numbers by label name "
        "(0.5 for the others); or `tuned`, the threshold with the highest F1 on the validation rows, per label.",
    )
    temperature: Literal["none", "fitted", "folded"] = setting(
        "none",
        "Calibration: `fitted` divides logits by the temperature with the highest likelihood of the validation "
        "labels; `folded` also scales the model's last layer by it; or `none`.",
    )
    abstain: AbstainRecipe | None = setting(
        None,
        "When the model abstains: a `precision` or a `coverage`, see below. Default: never. For one label per text.",
    )
    abstain_by: AbstainBy = setting(
        "probability",
        "Score by which texts are accepted: `probability`, the highest one; `margin`, the difference of the two "
        "highest; `energy`, the log of the sum of the exponentials of the logits. Needs `abstain`.",
    )
    conformal: Probability | None = setting(
        None,
        "Predict sets of classes that contain the right one for this share of the texts (conformal prediction, "
        "calibrated on the validation rows; needs the extra `conformal`). For one label per text. Default: no sets.",
    )
