"""Parameters of `TextClassifier` and the keys of a recipe that they stand for."""

from __future__ import annotations

from typing import Any

from tellapart.errors import RecipeError
from tellapart.fitting.fingerprints import changed_values
from tellapart.recipes import DataRecipe, Recipe, method_recipe
from tellapart.recipes.methods import METHODS

ESTIMATOR_PLACES = {
    "method": "method",
    "encoder": "encoder.name",
    "pooling": "encoder.pooling",
    "max_length": "encoder.max_length",
    "epochs": "stages.0.epochs",
    "batch_size": "stages.0.batch_size",
    "learning_rate": "stages.0.learning_rate",
    "validation_share": "data.validation_share",
    "label_texts": "data.label_texts",
    "random_state": "seed",
}
"""Parameters of the estimator and their keys in a recipe, which has the same defaults, or None for the method's."""

_DATA_KEYS = {"validation_share", "validation_in_training", "label_texts", "order", "hierarchy_separator"}


def check_data_keys(recipe: Recipe) -> None:
    """Checks that no key of `data` is set that an estimator would ignore: its rows are X and y as they are.

    Raises:
        RecipeError: One is set.
    """
    defaults = DataRecipe()
    for name in sorted(DataRecipe.model_fields.keys() - _DATA_KEYS):
        if getattr(recipe.data, name) != getattr(defaults, name):
            raise RecipeError(
                f"TextClassifier does not use data.{name}, since its rows are those of X and y",
                "leave it out of settings, or use tellapart.train (tellapart train), which reads rows",
            )


def run_parameters(recipe: Recipe) -> dict[str, Any]:
    """Returns the parameters with which an estimator trains as a run did; what names or samples rows is left out.

    Args:
        recipe: That of the run, with its values filled in.
    """
    changed = changed_values(recipe)
    named = _stages_of_method(recipe)
    if (
        named
    ):  # where the method has a value of its own, that of the run counts, also if it is the usual default
        written = recipe.model_dump(mode="json")
        changed = {
            path: _value(written, path) for path in changed_values(method_recipe(recipe.method))
        } | changed
    else:  # stages of a recipe file: no method has them, so that all of them are settings
        changed = {
            path: value for path, value in changed.items() if not path.startswith(("stages.", "method"))
        }
    parameters = {name: changed.pop(path) for name, path in ESTIMATOR_PLACES.items() if path in changed}
    settings = {
        path: value
        for path, value in changed.items()
        if not path.endswith(".name")  # of an objective, which the method has
        and (not path.startswith("data.") or path.removeprefix("data.") in _DATA_KEYS)
    }
    if not named:
        settings["stages"] = [stage.model_dump(mode="json") for stage in recipe.stages]
    return {**parameters, "random_state": recipe.seed, "settings": settings or None}


def _value(written: Any, path: str) -> Any:
    for key in path.split("."):
        written = written[int(key)] if isinstance(written, list) else written[key]
    return written


def _stages_of_method(recipe: Recipe) -> bool:
    """Whether a recipe's stages have the objectives of its method."""
    if recipe.method not in METHODS:
        return False
    stages = method_recipe(recipe.method).stages
    return [stage.objective.name for stage in stages] == [stage.objective.name for stage in recipe.stages]
