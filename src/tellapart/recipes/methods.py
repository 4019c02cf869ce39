"""The methods by name, as changes to a recipe."""

from __future__ import annotations

from typing import Any

from tellapart.errors import RecipeError, did_you_mean
from tellapart.recipes.schema import Recipe
from tellapart.recipes.validation import validated

_FRESH_HEAD = {"learns": "head", "solver": "best"}

REGRESSION_METHOD = "mean-squared-error"
"""What runs on labels that are numbers unless the user names another method."""

METHODS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "cross-entropy": ("cross entropy", [{"objective": {"name": "cross-entropy"}}]),
    "negative-supervision": (
        "cross entropy + AAN: the mean similarity to texts of other labels",
        [{"objective": {"name": "negative-supervision", "relations": "none"}}],
    ),
    "negative-supervision-am": (
        "cross entropy + AM: a margin between texts of the same and of other labels",
        [{"objective": {"name": "negative-supervision-am"}}],
    ),
    "negative-supervision-ace": (
        "cross entropy + ACE: one text of the same label among others",
        [{"objective": {"name": "negative-supervision-ace"}}],
    ),
    "negative-supervision-prior": (
        "AAN that pushes classes apart the harder the farther they are in an order or a hierarchy",
        [{"objective": {"name": "negative-supervision", "relations": "prior"}}],
    ),
    "label-distance": (
        "contrastive learning with label distance (CLLD), adapted to the confusion matrix",
        [{"objective": {"name": "label-distance", "distance": "adaptive"}}],
    ),
    "label-distance-static": (
        "CLLD with a fixed distance for the pairs you name",
        [{"objective": {"name": "label-distance", "distance": "static"}}],
    ),
    "label-distance-prior": (
        "CLLD with a distance from the order or the hierarchy of the classes",
        [{"objective": {"name": "label-distance", "distance": "prior"}}],
    ),
    "auxiliary-labels": (
        "two stages (RE): auxiliary labels beside the classes, then a fresh classifier on the frozen encoder",
        [{"objective": {"name": "auxiliary-labels"}}, _FRESH_HEAD],
    ),
    "auxiliary-labels-adversarial": (
        "the same with an adversarial perturbation of the embeddings in the first stage (RE-F)",
        [{"objective": {"name": "auxiliary-labels"}, "perturbation": "fgm"}, _FRESH_HEAD],
    ),
    "mean-squared-error": (
        "squared error, for labels that are numbers (--regression)",
        [{"objective": {"name": "mean-squared-error"}}],
    ),
    "r-drop": ("cross entropy over two views + their divergence", [{"objective": {"name": "r-drop"}}]),
    "supcon": ("cross entropy + supervised contrastive loss", [{"objective": {"name": "supcon"}}]),
    "frozen": (
        "logistic (of numbers ridge) regression on the frozen encoder's vectors",
        [{"learns": "head"}],
    ),
    "tfidf": ("TF-IDF and a linear SVM (for numbers ridge regression), the sanity row", [{"learns": "head"}]),
}
"""Name to a line of description and to the stages, in what they differ from the default."""


def methods() -> dict[str, str]:
    """Returns the known methods: name to one line of description."""
    return {name: description for name, (description, _) in METHODS.items()}


def method_recipe(method: str, base: Recipe | None = None) -> Recipe:
    """Returns the recipe of a method, on the data, encoder and schedule of another recipe.

    Args:
        method: A name from `methods()`.
        base: Where everything else comes from, and options of the objective if it is the same one; by
            default the defaults.

    Raises:
        RecipeError: There is no such method.
    """
    if method not in METHODS:
        raise RecipeError(
            f'there is no method "{method}"' + did_you_mean(method, METHODS),
            "choose from " + ", ".join(METHODS),
        )
    content = (base or Recipe()).model_dump(exclude_unset=True)
    given = content.get("stages") or [{}]
    stages = [
        _stage(own, given[number] if number < len(given) else {})
        for number, own in enumerate(METHODS[method][1])
    ]
    content |= {"method": method, "stages": stages}
    if method == "tfidf":
        content["encoder"] = {
            **content.get("encoder", {}),
            "name": "tfidf",
            "second": None,
            "windows": "none",
        }
    return validated(content)


def regression_recipe(recipe: Recipe) -> Recipe:
    """Returns a recipe for labels that are numbers: where nothing is said of what is minimised, squared error is."""
    content = recipe.model_dump(exclude_unset=True)
    stages = [
        {"objective": {"name": REGRESSION_METHOD}} | stage if "objective" not in stage else stage
        for stage in content.get("stages") or [{}]
    ]
    return validated({"method": REGRESSION_METHOD} | content | {"stages": stages})


def _stage(own: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """A stage of a method on the schedule of another stage; options of an objective stay where it is the same."""
    given = dict(given)
    before = given.pop("objective", {})
    own = dict(own)
    if "objective" in own and own["objective"]["name"] == before.get("name"):
        own["objective"] = before | own["objective"]
    return given | own
