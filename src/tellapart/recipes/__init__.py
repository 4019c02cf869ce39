"""Recipes: the typed description of a run, read from YAML and changed by flags and `--set`.

    method: label-distance
    data:    {source: tickets.csv, few_shot: 8}
    encoder: {name: minilm, pooling: mean}
    stages:  [{objective: {name: label-distance, tau: 3}, epochs: 10}]

The run decides values that are left out (null), by the rules in `tellapart.training.defaults`; the `recipe.yaml` of a
run folder has all of them.
"""

from __future__ import annotations

from tellapart.objectives.options import OBJECTIVES
from tellapart.objectives.options import AnyObjective as ObjectiveRecipe
from tellapart.objectives.options import AuxiliaryLabelsOptions as AuxiliaryLabelsRecipe
from tellapart.objectives.options import ClassificationOptions as ClassificationRecipe
from tellapart.objectives.options import CrossEntropyOptions as CrossEntropyRecipe
from tellapart.objectives.options import LabelDistanceOptions as LabelDistanceRecipe
from tellapart.objectives.options import MeanSquaredErrorOptions as MeanSquaredErrorRecipe
from tellapart.objectives.options import (
    NegativeSupervisionCrossEntropyOptions as NegativeSupervisionCrossEntropyRecipe,
)
from tellapart.objectives.options import NegativeSupervisionMarginOptions as NegativeSupervisionMarginRecipe
from tellapart.objectives.options import NegativeSupervisionOptions as NegativeSupervisionRecipe
from tellapart.objectives.options import RDropOptions as RDropRecipe
from tellapart.objectives.options import SupervisedContrastiveOptions as SupervisedContrastiveRecipe
from tellapart.recipes.methods import (
    REGRESSION_METHOD,
    load_recipe,
    method_recipe,
    methods,
    regression_recipe,
    with_stages_of,
)
from tellapart.recipes.reading import validated, with_values
from tellapart.recipes.schema import DataRecipe, DecisionRecipe, EncoderRecipe, Recipe, StageRecipe

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
