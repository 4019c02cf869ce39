"""Recipes of a comparison: methods, recipe files, and variants of either with other values.

A variant is written behind a method or a file, each change after a colon:
`label-distance:stages.0.objective.tau=3:stages.0.epochs=5`.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence

from tellapart.errors import RecipeError
from tellapart.recipes.methods import METHODS, method_recipe, with_stages_of
from tellapart.recipes.reading import split_assignment, with_values
from tellapart.recipes.schema import Recipe

_EXAMPLE = "cross-entropy:stages.0.epochs=5"
# A quoted value, or a single character.
_TOKEN = re.compile(r"""(?<=[=\[{,:\s])(?:'(?:[^']|'')*'|"(?:[^"\\]|\\.)*")|.""", re.DOTALL)
_COMMA = re.compile(",")
# The colon in `C:\method.yaml` or in a value begins no change: no key and equals sign follow.
_COLON = re.compile(r":(?=\s*[A-Za-z_]\w*(?:\.[^=:,\[\]{}]+)*\s*=)")


def split_methods(text: str) -> list[str]:
    """Splits a comma-separated list of methods; commas in brackets or quotes belong to a value.

    Args:
        text: Such as `cross-entropy,label-distance-static:stages.0.objective.pairs=[[lost, stolen]]`.
    """
    return [part for part in _split(text, _COMMA) if part]


def compared_recipes(
    recipe: Recipe, methods: Sequence[str], settings: Sequence[str] = ()
) -> dict[str, Recipe]:
    """Returns the recipe of each compared method by its name.

    A variant is named after its method and its values, `cross-entropy epochs=5`. A key is the last part of its path,
    or the whole path where two keys of the comparison end alike.

    Args:
        recipe: Data, encoder and schedule for all.
        methods: Names from `methods()` or recipe files, either with changes: `name:path=value:path=value`. Values are
            YAML; those with a comma or a colon that begins another change need quotes or brackets.
        settings: `path=value` changes for the methods that have the path; those of a variant override them.

    Raises:
        RecipeError: A method is unknown or named twice, a change is not possible, a variant changes the seed, or it
            has the same settings as another method.
    """
    written = [_split(method, _COLON) for method in methods]
    changes = [[_change(part) for part in parts] for _, *parts in written]
    recipes = [_unchanged(base, recipe) for base, *_ in written]
    for setting in settings:
        recipes = _changed(recipes, setting)
    keys = _short_keys([path for its_changes in changes for path, _ in its_changes])
    named: dict[str, Recipe] = {}
    for base, its_changes in zip(recipes, changes, strict=True):
        name = " ".join([base.method, *(f"{keys[path]}={value}" for path, value in its_changes)])
        changed = with_values(base, [f"{path}={value}" for path, value in its_changes])
        named[name] = changed.model_copy(update={"method": name})
    if len(named) < len(methods) or not methods:
        raise RecipeError("the methods to compare are not distinct", "name each once: --methods a,b")
    _check_distinct(named, {name for name, its in zip(named, changes, strict=True) if its})
    return named


def _split(text: str, mark: re.Pattern[str]) -> list[str]:
    """Splits at a mark outside brackets and quotes; parts are stripped."""
    parts, depth = [""], 0
    for token in _TOKEN.finditer(text):
        if depth == 0 and mark.match(text, token.start()):
            parts.append("")
            continue
        depth += (token.group() in ("[", "{")) - (token.group() in ("]", "}"))
        parts[-1] += token.group()
    return [part.strip() for part in parts]


def _unchanged(name: str, recipe: Recipe) -> Recipe:
    if name.endswith((".yaml", ".yml")):
        return with_stages_of(name, recipe)
    method, colon, rest = name.partition(":")
    if colon and method in METHODS:
        raise RecipeError(f'"{rest}" changes no value of {method}', f"write {_EXAMPLE}")
    return method_recipe(name, recipe)


def _change(text: str) -> tuple[str, str]:
    path, value = (part.strip() for part in split_assignment(text, "change of a method", f"write {_EXAMPLE}"))
    if path == "seed":
        raise RecipeError(
            "a variant cannot change the seed, which the compared methods share",
            "leave it out, and set the number of seeds by --trials",
        )
    if path == "method":
        raise RecipeError("a variant cannot change the name of its method", f"write {_EXAMPLE}")
    return path, value


def _changed(recipes: list[Recipe], setting: str) -> list[Recipe]:
    """Changes a value in all recipes that have it.

    Raises:
        RecipeError: None of them has it.
    """
    changed, errors = [], []
    for recipe in recipes:
        try:
            changed.append(with_values(recipe, [setting]))
        except RecipeError as error:
            errors.append(error)
            changed.append(recipe)
    if errors and len(errors) == len(recipes):
        raise errors[-1]
    return changed


def _short_keys(paths: Sequence[str]) -> dict[str, str]:
    """Returns the name of each path: its last part, or all of it where another path ends in the same."""
    by_end = defaultdict(set)
    for path in paths:
        by_end[path.rpartition(".")[2]].add(path)
    return {path: end if len(alike) == 1 else path for end, alike in by_end.items() for path in alike}


def _check_distinct(named: dict[str, Recipe], variants: set[str]) -> None:
    contents = {name: recipe.model_dump(exclude={"method"}) for name, recipe in named.items()}
    for first, second in itertools.combinations(named, 2):
        if {first, second} & variants and contents[first] == contents[second]:
            raise RecipeError(
                f'"{first}" and "{second}" have the same settings', "change a value or leave one of them out"
            )
