from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import tellapart.objectives
from tellapart.errors import RecipeError
from tellapart.objectives import (
    CrossEntropy,
    LabelDistance,
    NegativeSupervision,
    NegativeSupervisionCrossEntropy,
    NegativeSupervisionMargin,
    SupervisedContrastive,
)
from tellapart.objectives.options import OBJECTIVES
from tellapart.recipes import method_recipe, methods, with_values

CONSTRUCTORS = {
    "cross-entropy": CrossEntropy,
    "negative-supervision": NegativeSupervision,
    "negative-supervision-am": NegativeSupervisionMargin,
    "negative-supervision-ace": NegativeSupervisionCrossEntropy,
    "label-distance": LabelDistance,
    "supcon": SupervisedContrastive,
}


def test_options_need_no_torch():
    code = "import sys, tellapart.objectives.options; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_exported_name_is_there():
    for name in tellapart.objectives.__all__:
        assert getattr(tellapart.objectives, name) is not None
    with pytest.raises(AttributeError, match="Nothing"):
        _ = tellapart.objectives.Nothing


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_constructors_and_options_have_the_same_defaults(name):
    parameters = inspect.signature(CONSTRUCTORS[name]).parameters
    shared = set(parameters) & set(OBJECTIVES[name].model_fields) - {"pairs"}  # ids and names
    assert shared
    for key in shared:
        assert parameters[key].default == OBJECTIVES[name].model_fields[key].default, key


@pytest.mark.parametrize(
    ("name", "key", "value", "allowed"),
    [
        ("label-distance", "tau", 0.5, True),
        ("label-distance", "tau", -1.0, False),
        ("label-distance", "projection_size", 1, True),
        ("label-distance", "warm_up", 0.0, True),
        ("label-distance", "warm_up", 1.5, False),
        ("negative-supervision", "samples", 1, True),
        ("negative-supervision-am", "samples", 1, False),
        ("negative-supervision-ace", "samples", 1, False),
        ("label-distance", "temperature", 0.0, False),
        ("label-distance", "distance_as", "weight", True),
        ("supcon", "temperature", 0.0, False),
        ("supcon", "projection_size", 0, False),
        ("supcon", "views", 2, True),
        ("supcon", "views", 3, False),
    ],
)
def test_a_constructor_and_a_recipe_allow_the_same_values(name, key, value, allowed):
    recipe = method_recipe(name)
    for attempt in (
        lambda: CONSTRUCTORS[name](**{key: value}),
        lambda: with_values(recipe, [f"stages.0.objective.{key}={value}"]),
    ):
        if allowed:
            attempt()
        else:
            with pytest.raises(RecipeError, match=f"{key} cannot be {value}"):
                attempt()


def test_an_objective_with_a_summary_is_a_method_of_the_same_name():
    for name, options in OBJECTIVES.items():
        if options.summary:
            assert methods()[name] == options.summary
