"""How a run's scores become labels: checked before training, fitted on the validation rows after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.encoders.transformer import final_linear
from tellapart.errors import DataError, RecipeError
from tellapart.evaluation.calibration import fit_temperature
from tellapart.evaluation.decision import DEFAULT_THRESHOLD, Decision, threshold_values, tuned_thresholds
from tellapart.evaluation.metrics import probabilities
from tellapart.objectives.relations import with_relations as with_relations
from tellapart.recipes import DecisionRecipe
from tellapart.training.tfidf import TfidfClassifier

if TYPE_CHECKING:
    from tellapart.fitting.fit import Fitted


def check_decision(recipe: DecisionRecipe, data: TextData) -> None:
    """Refuses, before anything is trained, a decision that could not be made afterwards.

    Raises:
        RecipeError: Thresholds or a temperature do not fit the task, or there is nothing to fit on.
    """
    tuned = recipe.thresholds == "tuned"
    if data.labels.regression and recipe.temperature != "none":
        raise RecipeError(
            "a temperature calibrates the probabilities of classes, but the rows have scores", "leave it out"
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
    """Fits what a recipe asks for to the validation rows; a temperature that is to be folded changes the model.

    The temperature comes first: thresholds are probabilities that it is in.

    Args:
        recipe: What is asked for, checked.
        fitted: The trained classifier, with the plain decision.
        validation: The rows to fit to.
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
        _divide_last_layer(fitted.model, temperature)
    return Decision(thresholds, temperature, folded)


def _given(recipe: DecisionRecipe, labels: LabelSpace) -> dict[str, float]:
    """The thresholds by name, as far as they are known before training."""
    if isinstance(recipe.thresholds, dict):
        return recipe.thresholds
    return {} if recipe.thresholds == "tuned" else dict.fromkeys(labels.names, float(recipe.thresholds))


def _divide_last_layer(model: Any, temperature: float) -> None:
    if isinstance(model, TfidfClassifier):
        model.weight, model.bias = model.weight / temperature, model.bias / temperature
        return
    linear = final_linear(model)
    with torch.no_grad():
        linear.weight.div_(temperature)
        if linear.bias is not None:
            linear.bias.div_(temperature)
