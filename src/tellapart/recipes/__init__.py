"""The typed description of a run: read from YAML, changed by flags and `--set`, written beside the results.

    method: label-distance
    data:    {source: tickets.csv, few_shot: 8}
    encoder: {name: minilm, pooling: mean}
    stages:  [{objective: {name: label-distance, tau: 3}, epochs: 10}]

A value that is left out (null) is decided by the run, by rules that `tellapart.training.defaults` states; the
`recipe.yaml` of a run folder has them all filled in.
"""

from __future__ import annotations

from tellapart.recipes.methods import REGRESSION_METHOD, method_recipe, methods, regression_recipe
from tellapart.recipes.reading import load_recipe, with_stages_of, with_values
from tellapart.recipes.schema import (
    OBJECTIVES,
    AuxiliaryLabelsRecipe,
    ClassificationRecipe,
    CrossEntropyRecipe,
    DataRecipe,
    DecisionRecipe,
    EncoderRecipe,
    LabelDistanceRecipe,
    MeanSquaredErrorRecipe,
    NegativeSupervisionCrossEntropyRecipe,
    NegativeSupervisionMarginRecipe,
    NegativeSupervisionRecipe,
    ObjectiveRecipe,
    RDropRecipe,
    Recipe,
    StageRecipe,
    SupervisedContrastiveRecipe,
)
from tellapart.recipes.validation import validated

__all__ = [
    "OBJECTIVES",
    "REGRESSION_METHOD",
    "AuxiliaryLabelsRecipe",
    "ClassificationRecipe",
    "CrossEntropyRecipe",
    "DataRecipe",
    "DecisionRecipe",
    "EncoderRecipe",
    "LabelDistanceRecipe",
    "MeanSquaredErrorRecipe",
    "NegativeSupervisionCrossEntropyRecipe",
    "NegativeSupervisionMarginRecipe",
    "NegativeSupervisionRecipe",
    "ObjectiveRecipe",
    "RDropRecipe",
    "Recipe",
    "StageRecipe",
    "SupervisedContrastiveRecipe",
    "load_recipe",
    "method_recipe",
    "methods",
    "regression_recipe",
    "validated",
    "with_stages_of",
    "with_values",
]
