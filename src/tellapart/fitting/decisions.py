"""Thresholds and temperature: checked before training, fitted on the validation rows afterwards."""

from __future__ import annotations

from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.errors import DataError, RecipeError
from tellapart.evaluation.calibration import fit_temperature
from tellapart.evaluation.decision import DEFAULT_THRESHOLD, Decision, threshold_values, tuned_thresholds
from tellapart.evaluation.metrics import probabilities
from tellapart.fitting.fitted import Fitted
from tellapart.recipes import DecisionRecipe


def check_decision(recipe: DecisionRecipe, data: TextData) -> None:
    """Checks before training that the thresholds and temperature can be fitted afterwards.

    Raises:
        RecipeError: Thresholds or a temperature do not fit the task, or there is nothing to fit on.
    """
    tuned = recipe.thresholds == "tuned"
    if data.labels.regression and recipe.temperature != "none":
        raise RecipeError(
            "a temperature calibrates class probabilities, but the labels are numeric targets", "leave it out"
        )
    if tuned or recipe.thresholds != DEFAULT_THRESHOLD:
        try:
            threshold_values(_given(recipe, data.labels), data.labels)
        except DataError as error:
            raise RecipeError(error.cause, error.remedy) from None
    if (tuned or recipe.temperature != "none") and (
        data.validation is None or data.validation.labels is None
    ):
        raise RecipeError(
            ("thresholds are tuned" if tuned else "a temperature is fitted")
            + " on validation rows, and there are none",
            "give a validation split, or a share of the training rows: --set data.validation_share=0.1",
        )


def decide(recipe: DecisionRecipe, fitted: Fitted, validation: TextSplit | None) -> Decision:
    """Fits the temperature, then thresholds on the calibrated probabilities, to the validation rows.

    A folded temperature changes the model's last layer.

    Args:
        recipe: The settings, checked by `check_decision`.
        fitted: The trained classifier, with the plain decision.
        validation: The rows to fit on.
    """
    thresholds = None
    temperature = 1.0
    if recipe.thresholds == "tuned" or recipe.temperature != "none":
        assert validation is not None
        assert validation.labels is not None
        gold, logits = fitted.labels.encode(validation.labels), fitted.scores(validation)
        if recipe.temperature != "none":
            temperature = fit_temperature(gold, logits)
        if recipe.thresholds == "tuned":
            chances = probabilities(fitted.labels, logits / temperature)
            thresholds = tuple(tuned_thresholds(gold, chances).tolist())
    if recipe.thresholds not in ("tuned", DEFAULT_THRESHOLD):
        thresholds = threshold_values(_given(recipe, fitted.labels), fitted.labels)
    folded = recipe.temperature == "folded"
    if folded:
        fitted.scorer.divide_by_temperature(temperature)
    return Decision(thresholds, temperature, folded)


def _given(recipe: DecisionRecipe, labels: LabelSpace) -> dict[str, float]:
    """Fixed thresholds by label name; empty if they are tuned."""
    if isinstance(recipe.thresholds, dict):
        return recipe.thresholds
    return {} if recipe.thresholds == "tuned" else dict.fromkeys(labels.names, float(recipe.thresholds))
