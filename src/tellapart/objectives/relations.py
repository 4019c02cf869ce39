"""Class names to ids, and the order or the hierarchy of classes as objectives take them."""

from __future__ import annotations

from typing import Any, Protocol

from tellapart.data.examples import LabelSpace
from tellapart.errors import DataError, RecipeError, did_you_mean


class ClassRelations(Protocol):
    """A part of a recipe that relates the classes: the data or a label distance."""

    order: list[str] | None
    hierarchy_separator: str | None


def with_relations(labels: LabelSpace, recipe: ClassRelations) -> LabelSpace:
    """Returns the classes with the order or the hierarchy that a part of a recipe sets.

    Raises:
        RecipeError: It sets both, or they do not fit the classes.
    """
    if recipe.order is not None and recipe.hierarchy_separator is not None:
        raise RecipeError(
            "the classes are given both an order and a hierarchy", "give --ordered or --hierarchy, not both"
        )
    try:
        if recipe.order is not None:
            return labels.in_order(recipe.order)
        if recipe.hierarchy_separator is not None:
            return labels.in_hierarchy(recipe.hierarchy_separator)
    except DataError as error:
        raise RecipeError(error.cause, error.remedy) from None
    return labels


def prior_relations(labels: LabelSpace) -> dict[str, Any]:
    """Returns `order`, the class ids from first to last; or `paths`, the levels of each class from the root.

    Raises:
        RecipeError: The classes have neither an order nor a hierarchy.
    """
    if labels.order is not None:
        return {"order": [labels.label2id[name] for name in labels.order]}
    if labels.hierarchy_separator is not None:
        return {"paths": [name.split(labels.hierarchy_separator) for name in labels.names]}
    raise RecipeError(
        "a prior distance of classes needs to know how they are related",
        "name them in order (--ordered bad,fair,good), or give the separator of the levels in their names"
        " (--hierarchy .)",
    )


def class_id(name: str, labels: LabelSpace, option: str) -> int:
    """Returns the id of a class that an option names.

    Raises:
        RecipeError: The data have no such class.
    """
    if name not in labels.label2id:
        raise RecipeError(
            f'{option} names the class "{name}", which the data do not have'
            + did_you_mean(name, labels.names),
            "use the class names of the label column",
        )
    return labels.label2id[name]
