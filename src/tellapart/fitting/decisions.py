"""Thresholds, temperature, abstention and prediction sets: checked before training, fitted after it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from tellapart.data.examples import LabelSpace, TextData
from tellapart.data.out_of_scope import check_one_class
from tellapart.errors import DataError, RecipeError, TellapartWarning
from tellapart.evaluation.abstention import (
    Abstention,
    confidence_scores,
    coverage_threshold,
    precision_threshold,
    selective_metrics,
)
from tellapart.evaluation.calibration import fit_temperature
from tellapart.evaluation.conformal import check_mapie, fewest_rows, fit_sets
from tellapart.evaluation.decision import DEFAULT_THRESHOLD, Decision, threshold_values, tuned_thresholds
from tellapart.evaluation.metrics import predicted_ids, probabilities
from tellapart.evaluation.task import task_metrics
from tellapart.fitting.fitted import Fitted
from tellapart.recipes import DecisionRecipe


def check_decision(recipe: DecisionRecipe, data: TextData) -> None:
    """Checks before training that everything can be fitted afterwards.

    Raises:
        RecipeError: A setting does not fit the task, or there is nothing to fit on.
        MissingDependencyError: Prediction sets need a package that is not installed.
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
    if recipe.abstain is None and recipe.abstain_by != "probability":
        raise RecipeError(
            f'decision.abstain_by is "{recipe.abstain_by}", but the model is not to abstain',
            "give --abstain-precision or --abstain-coverage (decision.abstain), or leave abstain_by out",
        )
    if data.out_of_scope:
        try:
            check_one_class(data.labels)
        except DataError as error:
            raise RecipeError(error.cause, error.remedy) from None
    single = {
        "a precision or coverage of abstaining": recipe.abstain,
        "a coverage of prediction sets": recipe.conformal,
    }
    for setting, given in single.items():
        if given is not None and (data.labels.multi_label or data.labels.regression):
            kind = "numeric targets" if data.labels.regression else "any number of labels"
            raise RecipeError(
                f"{setting} is for one class per text, but the rows have {kind}", "leave it out"
            )
    fitted = {
        "thresholds are tuned": tuned,
        "a temperature is fitted": recipe.temperature != "none",
        "abstention is chosen": recipe.abstain is not None,
        "prediction sets are calibrated": recipe.conformal is not None,
    }
    rows = 0 if data.validation is None or data.validation.labels is None else len(data.validation)
    if not rows and any(fitted.values()):
        what = next(name for name, asked in fitted.items() if asked)
        raise RecipeError(
            f"{what} on validation rows, and there are none",
            "give a validation split, or a share of the training rows: --set data.validation_share=0.1",
        )
    if recipe.conformal is not None:
        check_mapie()
        if rows < fewest_rows(recipe.conformal):
            raise RecipeError(
                f"prediction sets with a coverage of {recipe.conformal:g} need at least "
                f"{fewest_rows(recipe.conformal)} validation rows, and there are {rows}",
                "give more validation rows, or a lower coverage",
            )


def decide(recipe: DecisionRecipe, fitted: Fitted, data: TextData) -> Decision:
    """Fits the temperature, then everything else on the calibrated logits, to the validation rows.

    A folded temperature changes the model's last layer. A warning says if no threshold of abstention reaches the
    precision that is asked for; the highest one is used then.

    Args:
        recipe: The settings, checked by `check_decision`.
        fitted: The trained classifier, with the plain decision.
        data: The rows to fit on: those of validation, and the out-of-scope rows with them.
    """
    thresholds = None
    temperature = 1.0
    later: dict[str, Any] = {}
    if (
        recipe.thresholds == "tuned"
        or recipe.temperature != "none"
        or recipe.abstain is not None
        or recipe.conformal is not None
    ):
        validation = data.validation
        assert validation is not None
        assert validation.labels is not None
        gold, logits = fitted.labels.encode(validation.labels), fitted.scores(validation)
        if recipe.temperature != "none":
            temperature = fit_temperature(gold, logits)
        if recipe.abstain is not None:
            outside = data.out_of_scope.get("validation")
            others = None if outside is None else fitted.scores(outside) / temperature
            later["abstention"] = _abstention(recipe, fitted.labels, gold, logits / temperature, others)
        if recipe.conformal is not None:
            chances = probabilities(fitted.labels, logits / temperature)
            later["conformal"] = fit_sets(gold, chances, recipe.conformal)
        if recipe.thresholds == "tuned":
            chances = probabilities(fitted.labels, logits / temperature)
            thresholds = tuple(tuned_thresholds(gold, chances).tolist())
    if recipe.thresholds not in ("tuned", DEFAULT_THRESHOLD):
        thresholds = threshold_values(_given(recipe, fitted.labels), fitted.labels)
    folded = recipe.temperature == "folded"
    if folded:
        fitted.scorer.divide_by_temperature(temperature)
    return Decision(thresholds, temperature, folded, **later)


def _abstention(
    recipe: DecisionRecipe,
    labels: LabelSpace,
    gold: np.ndarray,
    logits: np.ndarray,
    outside: np.ndarray | None,
) -> Abstention:
    """Chooses the threshold on logits (N, K) of validation rows, and of out-of-scope rows, which are never right."""
    assert recipe.abstain is not None
    scores, right = confidence_scores(logits, recipe.abstain_by), predicted_ids(labels, logits) == gold
    if recipe.abstain.coverage is not None:
        return Abstention(recipe.abstain_by, coverage_threshold(scores, recipe.abstain.coverage))
    precision = recipe.abstain.precision
    assert precision is not None
    if outside is not None:
        scores = np.append(scores, confidence_scores(outside, recipe.abstain_by))
        right = np.append(right, np.zeros(len(outside), dtype=bool))
    threshold, reached = precision_threshold(scores, right, precision)
    if reached < precision:
        accepted = selective_metrics(scores >= threshold, right)["coverage"]
        warnings.warn(
            f"no threshold has a precision of {precision:.1%} on the validation rows: the highest, {reached:.1%} for "
            f"{accepted:.1%} of the rows, is used. Ask for less, or train on more rows.",
            TellapartWarning,
            stacklevel=2,
        )
    return Abstention(recipe.abstain_by, threshold)


def decision_metrics(fitted: Fitted, data: TextData, logits: dict[str, np.ndarray]) -> dict[str, Any]:
    """Returns the fitted values, and the metrics without them.

    Args:
        fitted: The trained classifier.
        data: Its data.
        logits: Split name to calibrated logits (N, K).
    """
    assert fitted.recipe is not None
    before = {
        name: task_metrics(
            fitted.labels,
            data.splits[name],
            fitted.decision.uncalibrated(scores),
            without_positive=fitted.recipe.data.without_positive,
        )
        for name, scores in logits.items()
    }
    return {**fitted.decision.to_dict(fitted.labels), "before": before}


def _given(recipe: DecisionRecipe, labels: LabelSpace) -> dict[str, float]:
    """Fixed thresholds by label name; empty if they are tuned."""
    if isinstance(recipe.thresholds, dict):
        return recipe.thresholds
    return {} if recipe.thresholds == "tuned" else dict.fromkeys(labels.names, float(recipe.thresholds))
