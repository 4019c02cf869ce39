"""Recipes: the typed description of a run, read from YAML and changed by flags and `--set`.

    method: label-distance
    data:    {source: tickets.csv, few_shot: 8}
    encoder: {name: minilm, pooling: mean}
    stages:  [{objective: {name: label-distance, tau: 3}, epochs: 10}]

The run decides values that are left out (null), by the rules in `tellapart.training.defaults`; the `recipe.yaml` of a
run folder has all of them.
"""

from __future__ import annotations

from tellapart.recipes.decision import AbstainRecipe, DecisionRecipe
from tellapart.recipes.methods import (
    RECOMMENDED_METHOD,
    REGRESSION_METHOD,
    load_recipe,
    method_recipe,
    methods,
    regression_recipe,
    with_stages_of,
)
from tellapart.recipes.reading import validated, with_values
from tellapart.recipes.schema import (
    DataRecipe,
    EncoderRecipe,
    Recipe,
    SelfTrainingRecipe,
    StageRecipe,
)
from tellapart.recipes.variants import compared_recipes, split_methods

__all__ = [
    "RECOMMENDED_METHOD",
    "REGRESSION_METHOD",
    "AbstainRecipe",
    "DataRecipe",
    "DecisionRecipe",
    "EncoderRecipe",
    "Recipe",
    "SelfTrainingRecipe",
    "StageRecipe",
    "compared_recipes",
    "load_recipe",
    "method_recipe",
    "methods",
    "regression_recipe",
    "split_methods",
    "validated",
    "with_stages_of",
    "with_values",
]
