"""From the words of a recipe to the objective they describe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from tellapart.data.examples import LabelSpace
from tellapart.errors import RecipeError, did_you_mean
from tellapart.fitting.decisions import with_relations
from tellapart.objectives import (
    AuxiliaryLabels,
    CrossEntropy,
    LabelDistance,
    MeanSquaredError,
    NegativeSupervision,
    NegativeSupervisionCrossEntropy,
    NegativeSupervisionMargin,
    Objective,
    RDrop,
    SupervisedContrastive,
)
from tellapart.objectives.auxiliary_labels import check_total
from tellapart.objectives.distance_matrices import hierarchy_distance, ordinal_distance
from tellapart.recipes import (
    AuxiliaryLabelsRecipe,
    ClassificationRecipe,
    CrossEntropyRecipe,
    LabelDistanceRecipe,
    MeanSquaredErrorRecipe,
    NegativeSupervisionCrossEntropyRecipe,
    NegativeSupervisionMarginRecipe,
    NegativeSupervisionRecipe,
    RDropRecipe,
    Recipe,
    SupervisedContrastiveRecipe,
)


def check_objectives(recipe: Recipe, labels: LabelSpace) -> None:
    """Refuses, before anything is trained, objectives that do not fit the labels.

    Raises:
        RecipeError: With the reason.
    """
    for stage in recipe.stages:
        build_objective(stage.objective, labels)


def build_objective(recipe: Any, labels: LabelSpace) -> Objective:
    """Builds the objective of a stage.

    Args:
        recipe: One of the objective recipes of `tellapart.recipes`.
        labels: The classes, for options that name some.

    Raises:
        RecipeError: An option names a class that the data do not have, or has no meaning for the task.
    """
    if labels.regression:
        return _regression_objective(recipe)
    match recipe:
        case CrossEntropyRecipe() | AuxiliaryLabelsRecipe():
            return _classification(recipe, labels)
        case NegativeSupervisionRecipe():
            negative = NegativeSupervision(**_sampling(recipe, labels))
            return _classification(recipe, labels) + recipe.weight * negative
        case NegativeSupervisionMarginRecipe():
            auxiliary = NegativeSupervisionMargin(**_sampling(recipe, labels), margin=recipe.margin)
            return _classification(recipe, labels) + recipe.weight * auxiliary
        case NegativeSupervisionCrossEntropyRecipe():
            options = _sampling(recipe, labels) | {"temperature": recipe.temperature}
            ranking = NegativeSupervisionCrossEntropy(**options)
            return _classification(recipe, labels) + recipe.weight * ranking
        case LabelDistanceRecipe():
            main = _classification(recipe, labels, both_views=recipe.both_views)
            return (1 - recipe.weight) * main + recipe.weight * _label_distance(recipe, labels)
        case RDropRecipe():
            return _classification(recipe, labels, both_views=True) + recipe.weight * RDrop()
        case SupervisedContrastiveRecipe():
            contrast = SupervisedContrastive(temperature=recipe.temperature)
            return (1 - recipe.weight) * _classification(recipe, labels) + recipe.weight * contrast
        case MeanSquaredErrorRecipe():
            raise RecipeError(
                "mean-squared-error needs a score a row, but the labels are classes",
                "add --regression (data.regression: true) if they are numbers to predict, else choose cross-entropy",
            )
    raise TypeError(f"{type(recipe).__name__} is no objective recipe")


def _regression_objective(recipe: Any) -> Objective:
    match recipe:
        case MeanSquaredErrorRecipe():
            return MeanSquaredError()
        case RDropRecipe():
            for option, plain in ClassificationRecipe().model_dump().items():
                if getattr(recipe, option) != plain:
                    raise RecipeError(
                        f"{option} is about classes, but the rows have a score each", "leave it out"
                    )
            return MeanSquaredError(both_views=True) + recipe.weight * RDrop()
    raise RecipeError(
        f"{recipe.name} needs classes, but the rows have a score each",
        "choose mean-squared-error, r-drop, frozen or tfidf",
    )


def _classification(recipe: Any, labels: LabelSpace, *, both_views: bool = False) -> CrossEntropy:
    weight = recipe.class_weight
    if isinstance(weight, dict):
        weight = {_class_id(name, labels, "class_weight"): value for name, value in weight.items()}
    options = {
        "class_weight": weight,
        "label_smoothing": recipe.label_smoothing,
        "focal_gamma": recipe.focal_gamma,
        "both_views": both_views,
    }
    total = total_outputs(recipe, labels)
    if total is None:
        return CrossEntropy(**options)
    check_total(total, len(labels))
    return AuxiliaryLabels(total, **options)


def total_outputs(recipe: Any, labels: LabelSpace) -> int | None:
    """Returns the outputs of a stage with auxiliary labels; None for an objective without any."""
    if isinstance(recipe, AuxiliaryLabelsRecipe):
        return recipe.total or 2 * len(labels)
    return recipe.total if isinstance(recipe, ClassificationRecipe) else None


def _sampling(recipe: Any, labels: LabelSpace) -> dict[str, Any]:
    options = {"samples": recipe.samples, "hard": recipe.hard, "different": recipe.different}
    if recipe.relations == "none":
        return options
    return options | {"label_distance": prior_weights(_prior(labels))}


def prior_weights(prior: dict[str, Any]) -> Tensor:
    """Returns how much each two classes are to be pushed apart, float32 (K, K): 0 to 1 for the farthest two.

    Args:
        prior: `order`, the class ids from first to last; or `paths`, the levels of each class from the root.
    """
    # A distance that falls from 1 to 0 as classes move apart, turned around.
    if "order" in prior:
        return 1 - ordinal_distance(len(prior["order"]), tau=0.0, order=prior["order"])
    return 1 - hierarchy_distance(prior["paths"], tau=0.0)


def _label_distance(recipe: LabelDistanceRecipe, labels: LabelSpace) -> LabelDistance:
    return LabelDistance(
        recipe.distance,
        **_known_relations(recipe, labels),
        tau=recipe.tau,
        projection_size=recipe.projection_size,
        update_every=recipe.update_every,
        scale=recipe.scale,
        normalise=recipe.normalise,
    )


def _known_relations(recipe: LabelDistanceRecipe, labels: LabelSpace) -> dict[str, Any]:
    """What the user knows of the classes: pairs for a static distance, an order or paths for a prior."""
    if recipe.distance == "static":
        if not recipe.pairs:
            example = f"[[{labels.names[0]}, {labels.names[-1]}]]"
            raise RecipeError(
                "a static label distance needs the pairs of classes to push apart",
                f"name them: --set 'stages.0.objective.pairs={example}'"
                " (tellapart compare prints the most confused ones)",
            )
        return {
            "pairs": [
                (_class_id(first, labels, "pairs"), _class_id(second, labels, "pairs"))
                for first, second in recipe.pairs
            ]
        }
    if recipe.distance == "prior":
        if recipe.order is not None or recipe.hierarchy_separator is not None:  # before what the data say
            labels = with_relations(replace(labels, order=None, hierarchy_separator=None), recipe)
        return _prior(labels)
    return {}


def _prior(labels: LabelSpace) -> dict[str, Any]:
    """How the classes are related, from the data: ids in order, or paths.

    Raises:
        RecipeError: Nothing is known.
    """
    if labels.order is not None:
        return {"order": [labels.label2id[name] for name in labels.order]}
    if labels.hierarchy_separator is not None:
        return {"paths": [name.split(labels.hierarchy_separator) for name in labels.names]}
    raise RecipeError(
        "a prior distance of classes needs to know how they are related",
        "name them in order (--ordered bad,fair,good), or say what separates the levels in their names"
        " (--hierarchy .)",
    )


def _class_id(name: str, labels: LabelSpace, option: str) -> int:
    if name not in labels.label2id:
        raise RecipeError(
            f'{option} names the class "{name}", which the data do not have'
            + did_you_mean(name, labels.names),
            "use the class names of the label column",
        )
    return labels.label2id[name]
