"""Objectives of the stages of a recipe."""

from __future__ import annotations

import importlib

from tellapart.data.examples import LabelSpace
from tellapart.objectives.base import Objective
from tellapart.objectives.options import ClassificationOptions, ObjectiveOptions


def build_objective(options: ObjectiveOptions, labels: LabelSpace) -> Objective:
    """Builds the objective of a stage, by the function `build` of the module that defines the objective.

    Args:
        options: One of the models in `tellapart.objectives.options`.
        labels: The classes, for options that name some.

    Raises:
        RecipeError: An option names a class that the data do not have, or does not apply to the task.
    """
    module = importlib.import_module(f"tellapart.objectives.{options.module}")
    return module.build(options, labels)


def total_outputs(options: ObjectiveOptions, labels: LabelSpace) -> int | None:
    """Returns the number of outputs of a stage with auxiliary labels; None for an objective without any."""
    return options.outputs(len(labels)) if isinstance(options, ClassificationOptions) else None
