"""From plain dicts to a recipe, or to one sentence about what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from pydantic import BaseModel, ValidationError

from tellapart.errors import RecipeError, did_you_mean
from tellapart.recipes.schema import (
    OBJECTIVES,
    DataRecipe,
    DecisionRecipe,
    EncoderRecipe,
    Recipe,
    StageRecipe,
)


def validated(content: Mapping[str, Any]) -> Recipe:
    """Turns plain dicts into a recipe.

    Raises:
        RecipeError: A key is unknown (with the closest known one), or a value is not allowed.
    """
    try:
        return Recipe.model_validate(dict(content))
    except ValidationError as error:
        raise _explained(error) from None


def _explained(error: ValidationError) -> RecipeError:
    # The deepest one: of a union it belongs to the member that the user must have meant.
    problem = max(error.errors(), key=lambda one: _path([str(part) for part in one["loc"]]).count("."))
    names = [str(part) for part in problem["loc"]]
    if problem["type"] == "extra_forbidden":
        known = _known_keys(names[:-1])
        return RecipeError(
            f'the recipe has an unknown key "{_path(names)}"' + did_you_mean(names[-1], known),
            "choose from " + ", ".join(known) if known else "remove it",
        )
    if problem["type"].startswith("union_tag"):
        given = str(problem.get("ctx", {}).get("tag", problem["input"]))
        return RecipeError(
            f'the recipe\'s {_path(names)}.name "{given}" is no objective' + did_you_mean(given, OBJECTIVES),
            "choose from " + ", ".join(sorted(OBJECTIVES)),
        )
    path = _path(names)
    same = [other for other in error.errors() if _path([str(part) for part in other["loc"]]) == path]
    messages = dict.fromkeys(other["msg"][0].lower() + other["msg"][1:] for other in same)
    return RecipeError(
        f"the recipe's {path} cannot be {problem['input']!r} ({', or '.join(messages)})",
        _QUOTES if problem["type"] == "string_type" and _is_bare(problem["input"]) else "correct the value",
    )


_QUOTES = 'write names in quotes, such as "no" or "1": without them YAML reads a truth value or a number'


def _is_bare(value: Any) -> bool:
    """Whether YAML may have made a value out of what was meant as a name."""
    return isinstance(value, bool | int | float | date)


# What pydantic puts into a place for the members of a union: no key of a recipe.
_TYPE = re.compile(r"[^.]*[\[(].*|float|int|str|bool|constrained-\w+")


def _path(names: list[str]) -> str:
    """The place that the user knows, from one that pydantic names."""
    return ".".join(name for name in names if name not in OBJECTIVES and not _TYPE.fullmatch(name))


def _known_keys(names: list[str]) -> list[str]:
    """The keys allowed at a place that pydantic names: data, encoder, stages.0, stages.0.objective.<name>."""
    if not names:
        return list(Recipe.model_fields)
    if names[-1] in OBJECTIVES:
        return list(OBJECTIVES[names[-1]].model_fields)
    kinds: dict[str, type[BaseModel]] = {
        "data": DataRecipe,
        "encoder": EncoderRecipe,
        "stages": StageRecipe,
        "decision": DecisionRecipe,
    }
    return list(kinds[names[0]].model_fields) if names[0] in kinds else []
