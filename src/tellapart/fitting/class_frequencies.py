"""Correction for label shift: a classifier for the class frequencies of unlabelled texts, not its training rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tellapart.data.examples import TextData
from tellapart.data.unlabelled import known_classes
from tellapart.encoders.transformer import final_linear
from tellapart.errors import RecipeError
from tellapart.evaluation.calibration import fit_temperature
from tellapart.evaluation.class_frequencies import estimated_frequencies
from tellapart.evaluation.metrics import probabilities
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.refit import FitArguments
from tellapart.fitting.tasks import row_weights
from tellapart.recipes import Recipe, StageRecipe

LISTED = 3
"""Classes in the note, those whose frequency changes most."""


def check_class_frequencies(recipe: Recipe, data: TextData) -> None:
    """Checks before training that class frequencies can be estimated, if the recipe asks for it.

    Raises:
        RecipeError: Rows have any number of labels, there are no labelled validation rows, or another setting does
            not go with it.
    """
    if recipe.self_training.class_frequencies == "training":
        return
    if data.labels.multi_label:
        raise RecipeError(
            "class frequencies are estimated for one class per text, but the rows have any number of labels",
            "leave out self_training.class_frequencies",
        )
    if data.validation is None or data.validation.labels is None:
        raise RecipeError(
            "class frequencies are estimated from probabilities that are calibrated on validation rows, and there "
            "are none",
            "give a validation split, or a share of the training rows: --set data.validation_share=0.1",
        )
    if recipe.decision.abstain is not None or recipe.decision.conformal is not None:
        raise RecipeError(
            "abstention and prediction sets are chosen for the class frequencies of the validation rows",
            "leave out decision.abstain and decision.conformal, or self_training.class_frequencies",
        )
    if any(stage.batches == "balanced" or _has_class_weights(stage) for stage in recipe.stages):
        raise RecipeError(
            "class weights and balanced batches change the class frequencies that a classifier learns",
            "leave them out, or self_training.class_frequencies",
        )


def check_biases(recipe: Recipe, model: Any) -> None:
    """Checks that a model's last layer has biases, if the recipe needs them for class frequencies.

    Raises:
        RecipeError: It has none.
    """
    if recipe.self_training.class_frequencies == "unlabelled" and final_linear(model).bias is None:
        raise RecipeError(
            f"the last layer of {type(model).__name__} has no biases, which would hold the class frequencies",
            "leave out self_training.class_frequencies",
        )


def _has_class_weights(stage: StageRecipe) -> bool:
    return getattr(stage.objective, "class_weight", None) is not None


@dataclass(frozen=True)
class ClassFrequencies:
    """Frequencies of the K classes, estimated on unlabelled texts.

    Args:
        trained: Those of the rows that the classifier was trained on (K,).
        unlabelled: Those of the unlabelled texts (K,).
        temperature: The divisor of the classifier's logits with which they are calibrated.
    """

    trained: np.ndarray
    unlabelled: np.ndarray
    temperature: float

    @property
    def shifts(self) -> np.ndarray:
        """Offsets of the classifier's logits (K,): temperature × log(unlabelled / trained)."""
        return self.temperature * np.log(self.unlabelled / self.trained)

    def applied_to(self, logits: np.ndarray) -> np.ndarray:
        """Returns the classifier's logits (N, K) calibrated, and for the frequencies of the unlabelled texts."""
        return (logits + self.shifts.astype(logits.dtype)) / self.temperature


def class_frequencies(
    fitted: Fitted, arguments: FitArguments, data: TextData, logits: np.ndarray
) -> ClassFrequencies:
    """Estimates the class frequencies of the unlabelled texts, see `estimated_frequencies`.

    Args:
        fitted: The classifier.
        arguments: What it was trained on.
        data: The splits; a temperature is fitted to the validation rows.
        logits: The classifier's logits of the unlabelled texts (N, K).
    """
    validation = data.validation
    assert validation is not None
    assert validation.labels is not None
    gold = data.labels.encode(validation.labels)
    temperature = fit_temperature(gold, fitted.validation_scores(validation))
    trained = trained_frequencies(arguments)
    chances = probabilities(data.labels, logits / temperature)
    return ClassFrequencies(trained, estimated_frequencies(chances, trained), temperature)


def trained_frequencies(arguments: FitArguments) -> np.ndarray:
    """Returns the class frequencies (K,) in the rows of a training, one further row per class counted.

    Args:
        arguments: The training; validation rows count if it has them in the end.
    """
    if arguments.recipe.data.validation_in_training:
        arguments = arguments.with_validation_rows(arguments.recipe)
    rows, targets = arguments.rows, arguments.targets
    weights = row_weights(rows.train, arguments.weights)
    if targets is not None:
        counts = targets.sum(axis=0) if weights is None else weights @ targets
    else:
        assert rows.train.labels is not None
        gold = rows.labels.encode(rows.train.labels)
        counts = np.bincount(gold, weights, minlength=len(rows.labels)).astype(np.float64)
    return (counts + 1) / (counts + 1).sum()


def at_estimated_frequencies(
    fitted: Fitted, arguments: FitArguments, data: TextData
) -> tuple[Fitted, dict[str, Any]]:
    """Moves a classifier to the class frequencies of the unlabelled texts, by the biases of its last layer.

    Metrics and logits of validation rows stay those before: these rows have the frequencies of training.

    Args:
        fitted: The classifier, whose model is changed in place.
        arguments: What it was trained on.
        data: The splits and the unlabelled texts.

    Returns:
        The classifier, and the report: `texts`, `training` and `unlabelled` (class name to frequency), `temperature`,
        and `known_labels` (`rows`, and `frequencies` by name) if texts have known ones.
    """
    unlabelled, validation = data.unlabelled, data.validation
    assert unlabelled is not None
    assert validation is not None
    fitted = replace(
        fitted,
        validation_logits=fitted.validation_scores(validation),
        outside_logits=fitted.outside_scores(data.out_of_scope.get("validation"), "validation"),
    )
    found = class_frequencies(fitted, arguments, data, fitted.scores(unlabelled))
    decision = fitted.decision
    fitted.scorer.add_to_logits(found.shifts * (1 if decision.folded else decision.temperature))
    names = data.labels.names
    report: dict[str, Any] = {
        "texts": len(unlabelled),
        "training": dict(zip(names, found.trained.tolist(), strict=True)),
        "unlabelled": dict(zip(names, found.unlabelled.tolist(), strict=True)),
        "temperature": found.temperature,
    }
    known = known_classes(unlabelled, names)
    if known.any():
        sets, rows = unlabelled.label_sets(), int(known.sum())
        counts = Counter(name for row in np.flatnonzero(known) for name in sets[row])
        report["known_labels"] = {
            "rows": rows,
            "frequencies": {name: counts[name] / rows for name in names},
        }
    return fitted, report


def frequency_note(report: dict[str, Any]) -> str:
    """Returns the report of `at_estimated_frequencies` as sentences."""
    training, unlabelled = report["training"], report["unlabelled"]
    most = sorted(training, key=lambda name: -abs(unlabelled[name] - training[name]))[:LISTED]
    listed = ", ".join(
        f"{name} {100 * training[name]:.1f} to {100 * unlabelled[name]:.1f} %" for name in most
    )
    return (
        f"The classifier expects the class frequencies of the {report['texts']} unlabelled texts, not those of its "
        f"training rows. Largest changes: {listed}. Validation metrics are those before this "
        "correction: validation rows have the class frequencies of the training rows."
    )
