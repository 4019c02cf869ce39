"""Methods by name: presets of the stages of a recipe.

A method with one stage is its objective; the others are listed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tellapart.errors import RecipeError, did_you_mean
from tellapart.objectives.options import OBJECTIVES
from tellapart.recipes.reading import read_mapping, validated
from tellapart.recipes.schema import Recipe

_FRESH_HEAD = {"learns": "head", "solver": "best"}

REGRESSION_METHOD = "mean-squared-error"
"""The default method for numeric labels."""

RECOMMENDED_METHOD = "contrast"
"""The method that `tellapart compare` compares with cross entropy by default."""


@dataclass(frozen=True)
class Method:
    """A preset of a recipe.

    Args:
        description: One line.
        stages: The stages, as differences from the defaults; their values are the method.
        data: Values of the `data` section.
        schedule: Values of the first stage. Like those of `data`, they are defaults: a recipe's own values stay.
    """

    description: str
    stages: Sequence[Mapping[str, Any]]
    data: Mapping[str, Any] = field(default_factory=dict)
    schedule: Mapping[str, Any] = field(default_factory=dict)


_VARIANTS: dict[str, Method] = {
    RECOMMENDED_METHOD: Method(
        "recommended: cross entropy + SupCon at a low temperature, class names as texts, averaged weights, and a "
        "second training with few validation rows among the training rows",
        [{"objective": {"name": "supcon", "weight": 0.5, "temperature": 0.1}}],
        data={"label_texts": "auto", "validation_in_training": "auto"},
        schedule={"selection": "average", "evaluations": 4},
    ),
    "negative-supervision-prior": Method(
        "AAN that pushes classes apart harder the farther apart they are in an order or a hierarchy",
        [{"objective": {"name": "negative-supervision", "relations": "prior"}}],
    ),
    "label-distance-static": Method(
        "CLLD with a fixed distance for the pairs that you name",
        [{"objective": {"name": "label-distance", "distance": "static"}}],
    ),
    "label-distance-prior": Method(
        "CLLD with a distance from the order or the hierarchy of the classes",
        [{"objective": {"name": "label-distance", "distance": "prior"}}],
    ),
    "auxiliary-labels": Method(
        "two stages (RE): auxiliary labels beside the classes, then a fresh classifier on the frozen encoder",
        [{"objective": {"name": "auxiliary-labels"}}, _FRESH_HEAD],
    ),
    "auxiliary-labels-adversarial": Method(
        "the same with an adversarial perturbation of the embeddings in the first stage (RE-F)",
        [{"objective": {"name": "auxiliary-labels"}, "perturbation": "fgm"}, _FRESH_HEAD],
    ),
    "two-stages": Method(
        "cross entropy, then a fresh classifier on the frozen encoder: auxiliary-labels without auxiliary labels",
        [{"objective": {"name": "cross-entropy"}}, _FRESH_HEAD],
    ),
    "frozen": Method(
        "logistic regression on the frozen encoder's vectors (ridge for numeric labels)",
        [{"learns": "head"}],
    ),
    "tfidf": Method(
        "TF-IDF and a linear SVM (ridge for numeric labels), the sanity check", [{"learns": "head"}]
    ),
}

METHODS = {
    name: Method(kind.summary, [{"objective": {"name": name} | kind.variant}])
    for name, kind in OBJECTIVES.items()
    if kind.summary
} | _VARIANTS
"""The presets by name."""


def methods() -> dict[str, str]:
    """Returns the known methods: name to one-line description."""
    return {name: method.description for name, method in METHODS.items()}


def method_recipe(method: str, base: Recipe | None = None) -> Recipe:
    """Returns the recipe of a method with the data, encoder and schedule of another recipe.

    Args:
        method: A name from `methods()`.
        base: The recipe with everything else, and with options of the objective if it has the same one;
            by default the defaults.

    Raises:
        RecipeError: There is no such method.
    """
    if method not in METHODS:
        raise RecipeError(
            f'there is no method "{method}"' + did_you_mean(method, METHODS),
            "choose from " + ", ".join(METHODS),
        )
    preset = METHODS[method]
    content = (base or Recipe()).model_dump(exclude_unset=True)
    given = content.get("stages") or [{}]
    stages = [
        _stage(own, given[number] if number < len(given) else {}) for number, own in enumerate(preset.stages)
    ]
    stages[0] = {**preset.schedule, **stages[0]}
    content |= {"method": method, "stages": stages}
    if preset.data:
        content["data"] = {**preset.data, **content.get("data", {})}
    if method == "tfidf":
        plain = {"name": "tfidf", "second": None, "windows": "none"}
        content["encoder"] = content.get("encoder", {}) | plain
    return validated(content)


def regression_recipe(recipe: Recipe) -> Recipe:
    """Returns the recipe for numeric labels: squared error in every stage without an objective."""
    content = recipe.model_dump(exclude_unset=True)
    stages = [
        {"objective": {"name": REGRESSION_METHOD}} | stage if "objective" not in stage else stage
        for stage in content.get("stages") or [{}]
    ]
    return validated({"method": REGRESSION_METHOD} | content | {"stages": stages})


def load_recipe(path: str | Path) -> Recipe:
    """Reads a recipe from YAML.

    A file may name only a `method` and the values that differ from it: the method's stages are filled in.

    Raises:
        RecipeError: The file is missing, no YAML, or has an unknown key or a value that is not allowed.
    """
    content = read_mapping(path)
    recipe = validated(content)
    if "method" in content and "stages" not in content and recipe.method in METHODS:
        return method_recipe(recipe.method, recipe)
    return recipe


def with_stages_of(path: str | Path, base: Recipe) -> Recipe:
    """Returns the method that a recipe file describes, named after the file, on the data of another recipe.

    Args:
        path: A recipe file; its data and seed are ignored.
        base: The recipe with the data and the seed; its encoder, decision and schedule of the first stage fill in
            the values that the file leaves out.

    Raises:
        RecipeError: As `load_recipe`.
    """
    content = base.model_dump(exclude_unset=True)
    shared = {key: value for key, value in (content.get("stages") or [{}])[0].items() if key != "objective"}
    given = load_recipe(path).model_dump(exclude_unset=True)
    first, *others = given.get("stages") or [{}]
    sections = {
        name: content.get(name, {}) | given.get(name, {}) for name in ("encoder", "decision", "self_training")
    }
    return validated(content | sections | {"method": Path(path).stem, "stages": [shared | first, *others]})


def _stage(own: Mapping[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Returns a stage of a method with the schedule of another stage, and its options of the same objective."""
    given = dict(given)
    before = given.pop("objective", {})
    own = dict(own)
    if "objective" in own and own["objective"]["name"] == before.get("name"):
        own["objective"] = before | own["objective"]
    return given | own
