"""Validates recipes and reads them from YAML; the parser of `path=value` assignments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tellapart.errors import RecipeError, did_you_mean, invalid_setting, shortened
from tellapart.recipes.schema import Recipe

Model = TypeVar("Model", bound=BaseModel)


def validated(content: Mapping[str, Any]) -> Recipe:
    """Returns the recipe with the given keys.

    Raises:
        RecipeError: A key is unknown (with the closest known one), or a value is not allowed.
    """
    return validated_as(Recipe, content)


def validated_as(model: type[Model], content: Mapping[str, Any], owner: str = "the recipe") -> Model:
    """Returns an instance of a model of settings; messages call the place of its keys `owner`.

    Raises:
        RecipeError: A key is unknown (with the closest known one), or a value is not allowed.
    """
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        raise invalid_setting(error, model, owner) from None


def read_mapping(path: str | Path) -> dict[str, Any]:
    """Reads a YAML file of keys and values.

    Raises:
        RecipeError: The file is missing, no plain YAML (see `tellapart.plain_yaml`), or not a mapping.
    """
    from tellapart.plain_yaml import read_yaml  # not needed for --help

    try:
        there = Path(path).is_file()
    except OSError:  # a name longer than the file system allows
        there = False
    if not there:
        raise RecipeError(
            f"there is no recipe file {shortened(path)}", "check the path, or list them: tellapart recipes"
        )
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise RecipeError(f"{path} holds no recipe", "write keys such as method, data, encoder, stages")
    return content


def with_values(recipe: Recipe, assignments: Iterable[str]) -> Recipe:
    """Returns the recipe with changed values.

    Args:
        recipe: The recipe to start from.
        assignments: `path=value` strings, such as `stages.0.objective.tau=3`; values are YAML.

    Raises:
        RecipeError: A path does not exist or a value is not allowed.
    """
    return validated(assigned(recipe, assignments, example="stages.0.epochs=5"))


def assigned(settings: BaseModel, assignments: Iterable[str], example: str) -> dict[str, Any]:
    """Returns the values that are set in a model of settings, with changes; they are not validated.

    Args:
        settings: The settings to start from.
        assignments: `path=value` strings; values are YAML.
        example: A correct assignment, for messages.

    Raises:
        RecipeError: A path does not exist or a value is no YAML.
    """
    content = settings.model_dump(exclude_unset=True)
    for assignment in assignments:
        path, text = split_assignment(assignment, "assignment", f"write --set {example}")
        _assign(content, settings, path, _parsed(text, path))
    return content


def split_assignment(text: str, kind: str, remedy: str) -> tuple[str, str]:
    """Splits `path=value` into path and value.

    Raises:
        RecipeError: The path or the equals sign is missing: the text is no `kind`.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise RecipeError(f'"{shortened(text)}" is no {kind}', remedy)
    return path, value


def assignment(path: str, value: Any) -> str:
    """Returns `path=value` with the value as JSON, which is YAML and keeps a name such as `1` or `true` a string."""
    return f"{path}={json.dumps(value, ensure_ascii=False, default=_plain)}"


def _plain(value: Any) -> Any:
    """The JSON form of a NumPy value; other values as strings."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


_EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")


def _parsed(value: str, path: str) -> Any:
    from tellapart.plain_yaml import parse_yaml

    parsed = parse_yaml(value, f'the value of "{path}"', remedy="quote it")
    if isinstance(parsed, str) and _EXPONENT.fullmatch(parsed):
        return float(parsed)  # YAML reads 1e-5 as a word: it wants 1.0e-5
    return parsed


def _assign(content: dict[str, Any], model: Any, path: str, value: Any) -> None:
    """Sets a value in the dumped content; `model` is the validated one, for defaults and known keys."""
    place: Any = content
    keys = path.split(".")
    for depth, name in enumerate(keys):
        key: Any = name
        if isinstance(model, list):
            if not name.isdigit() or int(name) >= len(model):
                raise RecipeError(
                    f'"{path}": there are {len(model)} stages, numbered from 0', "use stages.0, stages.1 …"
                )
            key = int(name)
            model = model[key]
        elif isinstance(model, BaseModel):
            known = type(model).model_fields
            if name not in known:
                raise RecipeError(
                    f'"{path}": no key "{name}"' + did_you_mean(name, known),
                    "choose from " + ", ".join(known),
                )
            model = getattr(model, name)
        if depth == len(keys) - 1:
            place[key] = value
            return
        if isinstance(place, dict) and key not in place:
            place[key] = _as_content(model)
        place = place[key]


def _as_content(model: Any) -> Any:
    if isinstance(model, BaseModel):
        # The name tells the members of a union apart, also where it is the default.
        return {"name": model.name} if hasattr(model, "name") and "name" in type(model).model_fields else {}
    if isinstance(model, list):
        return [_as_content(item) for item in model]
    return dict(model) if isinstance(model, dict) else {}
