"""Recipes from YAML files, and values changed by path."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from tellapart.errors import RecipeError, did_you_mean
from tellapart.recipes.methods import METHODS, method_recipe
from tellapart.recipes.schema import Recipe
from tellapart.recipes.validation import validated


def read_mapping(path: str | Path) -> dict[str, Any]:
    """Reads a YAML file that holds keys and values.

    Raises:
        RecipeError: The file is missing, or holds something else.
    """
    file = Path(path)
    if not file.is_file():
        raise RecipeError(
            f"there is no recipe file {path}", "check the path, or list them: tellapart recipes"
        )
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f" at line {line + 1}"
        raise RecipeError(
            f"{path} is not readable YAML{where}", "correct its indentation and colons"
        ) from None
    if not isinstance(content, dict):
        raise RecipeError(f"{path} holds no recipe", "write keys such as method, data, encoder, stages")
    return content


def load_recipe(path: str | Path) -> Recipe:
    """Reads a recipe from YAML.

    A file may name only a `method` and what differs from it: the method's stages are filled in.

    Raises:
        RecipeError: The file is missing, no YAML, or has a key or value that no recipe has.
    """
    content = read_mapping(path)
    if "method" in content and "stages" not in content and content["method"] in METHODS:
        return method_recipe(content["method"], validated(content))
    return validated(content)


def with_stages_of(path: str | Path, base: Recipe) -> Recipe:
    """Returns the method that a recipe file describes, named after the file, on the data of another recipe.

    Args:
        path: A recipe file; its data and seed are not looked at.
        base: Where those come from, and the encoder, the decision and the first stage's schedule where the file
            leaves them open.

    Raises:
        RecipeError: As `load_recipe`.
    """
    content = base.model_dump(exclude_unset=True)
    shared = {key: value for key, value in (content.get("stages") or [{}])[0].items() if key != "objective"}
    given = load_recipe(path).model_dump(exclude_unset=True)
    return validated(
        content
        | {
            "method": Path(path).stem,
            "encoder": content.get("encoder", {}) | given.get("encoder", {}),
            "decision": content.get("decision", {}) | given.get("decision", {}),
            "stages": [
                shared | stage if number == 0 else stage
                for number, stage in enumerate(given.get("stages") or [{}])
            ],
        }
    )


def with_values(recipe: Recipe, assignments: Iterable[str]) -> Recipe:
    """Returns the recipe with values changed by path.

    Args:
        recipe: Where to start from.
        assignments: `path=value` strings, such as `stages.0.objective.tau=3`; values are YAML.

    Raises:
        RecipeError: A path leads nowhere or a value is not allowed.
    """
    content = recipe.model_dump(exclude_unset=True)
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        if not equals or not path:
            raise RecipeError(f'"{assignment}" is no assignment', "write --set stages.0.epochs=5")
        _assign(content, recipe, path.split("."), parsed_value(value, path), path)
    return validated(content)


def parsed_value(value: str, path: str) -> Any:
    """Returns the value of an assignment, which is YAML.

    Args:
        value: What stands after the equals sign.
        path: What stands before it, for messages.

    Raises:
        RecipeError: It is no YAML.
    """
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise RecipeError(f'the value of "{path}" is not readable YAML', "quote it") from None
    if isinstance(parsed, str) and _NUMBER.fullmatch(parsed):
        return float(parsed)  # YAML takes 1e-5 for a word: it wants 1.0e-5
    return parsed


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")


def _assign(content: dict[str, Any], model: Any, keys: list[str], value: Any, path: str) -> None:
    """Walks `keys` down the dumped content; `model` is the validated recipe, for defaults and known names."""
    place: Any = content
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(model, list):
            if not key.isdigit() or int(key) >= len(model):
                raise RecipeError(
                    f'"{path}": there are {len(model)} stages, numbered from 0', "use stages.0, stages.1 …"
                )
            key_or_index: Any = int(key)
            model = model[int(key)]
        else:
            if isinstance(model, BaseModel):
                known = type(model).model_fields
                if key not in known:
                    raise RecipeError(
                        f'"{path}": no key "{key}"' + did_you_mean(key, known),
                        "choose from " + ", ".join(known),
                    )
                model = getattr(model, key)
            key_or_index = key
        if last:
            place[key_or_index] = value
            return
        if isinstance(place, dict) and key_or_index not in place:
            place[key_or_index] = _as_content(model)
        place = place[key_or_index]


def _as_content(model: Any) -> Any:
    if isinstance(model, BaseModel):
        # A union is told apart by its name, which must not get lost with the defaults.
        return {"name": model.name} if hasattr(model, "name") and "name" in type(model).model_fields else {}
    if isinstance(model, list):
        return [_as_content(item) for item in model]
    return dict(model) if isinstance(model, dict) else {}
