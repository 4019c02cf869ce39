"""Search spaces of a sweep: `path=values` with a list or a range of values of a recipe."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from tellapart.errors import RecipeError
from tellapart.plain_yaml import parse_yaml
from tellapart.recipes.private_options import refuse_private
from tellapart.recipes.reading import assignment, split_assignment, with_values
from tellapart.recipes.schema import Recipe

_NUMBER = r"[+-]?(?:\d{1,18}(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d{1,3})?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?::(log|{_NUMBER}))?")
_HINT = "write --over stages.0.objective.weight=0.1,0.5,1, or a range: --over stages.0.learning_rate=1e-5..1e-3:log"


_MAX_VALUES = 1_000


@dataclass(frozen=True)
class SearchSpace:
    """The values that one key of a recipe may take: a list or a range.

    Args:
        path: The key, as for `--set`.
        values: The list, in the order given; None for a range.
        low: The smallest value of a range; None for a list.
        high: The largest value of a range, which it includes; None for a list.
        step: The step of a range; None for a continuous range.
        log: Whether a range is searched on a logarithmic scale.
    """

    path: str
    values: tuple[Any, ...] | None = None
    low: int | float | None = None
    high: int | float | None = None
    step: int | float | None = None
    log: bool = False

    @property
    def numeric(self) -> bool:
        """Whether all values are numbers."""
        return self.values is None or all(type(value) in (int, float) for value in self.values)

    @property
    def size(self) -> float:
        """Number of values; infinity for a continuous range."""
        if self.values is not None:
            return len(self.values)
        return math.inf if self.step is None else self._steps() + 1

    def points(self) -> tuple[Any, ...]:
        """Returns every value in order; for a list or a range with a step only."""
        if self.values is not None:
            return self.values
        return tuple(_stepped(self.low, self.step, number) for number in range(self._steps() + 1))

    def _steps(self) -> int:
        assert self.low is not None
        assert self.high is not None
        assert self.step is not None
        return math.floor((self.high - self.low) / self.step + 1e-9)


def parse_spaces(recipe: Recipe, texts: Sequence[str]) -> tuple[SearchSpace, ...]:
    """Parses search spaces and validates their values, for a range both ends, against the recipe.

    A list has commas between its values, which are YAML: `2,4,8`. A range has two dots between its ends, both
    inclusive: `4..40` or `4..40:4`, whole numbers with a step of 1 or of 4; `0.1..0.9`, continuous if an end is
    written with a point or an exponent or if the recipe's value is not a whole number; `1e-5..1e-3:log`, on a
    logarithmic scale.

    Args:
        recipe: The recipe whose values are searched.
        texts: `path=values`, one per key.

    Raises:
        RecipeError: A text cannot be parsed, a key is named twice or cannot be searched, or a value is not
            allowed.
    """
    spaces = tuple(_parsed_space(recipe, text) for text in texts)
    if not spaces:
        raise RecipeError("nothing is named to search for", _HINT)
    paths = [space.path for space in spaces]
    for path in paths:
        if paths.count(path) > 1:
            raise RecipeError(f'"{path}" is searched twice', "give all its values at once")
    return spaces


def combinations(spaces: Sequence[SearchSpace]) -> list[dict[str, Any]]:
    """Returns every combination of values, path to value; the last space changes fastest."""
    paths = [space.path for space in spaces]
    rows = itertools.product(*(space.points() for space in spaces))
    return [dict(zip(paths, row, strict=True)) for row in rows]


def with_parameters(recipe: Recipe, parameters: Mapping[str, Any]) -> Recipe:
    """Returns the recipe with the values of a trial, path to value.

    Raises:
        RecipeError: The recipe does not allow a value, or it is a secret, which must not be written.
    """
    changed = with_values(recipe, [assignment(path, value) for path, value in parameters.items()])
    for stage in changed.stages:
        refuse_private(stage.trainer)
    return changed


def _parsed_space(recipe: Recipe, text: str) -> SearchSpace:
    path, values = (part.strip() for part in split_assignment(text, "search space", _HINT))
    _check_searchable(path)
    written = _RANGE.fullmatch(values)
    if written is None:
        return _list_space(recipe, path, values)
    return _range_space(recipe, path, *written.groups())


def _check_searchable(path: str) -> None:
    """Refuses keys whose values would make the trials of a search incomparable."""
    if path == "seed":
        raise RecipeError("the seed cannot be searched", "repeat each trial over several: --seeds 3")
    if path == "method":
        raise RecipeError(
            "the name of the method cannot be searched", "compare methods: tellapart compare --methods a,b"
        )
    if path.split(".")[0] == "data" and path not in ("data.train_rows", "data.label_texts"):
        raise RecipeError(
            f'"{path}" can change the rows that trials are scored on, so that their scores are not comparable',
            "search another key, or run one sweep for each value",
        )


def _list_space(recipe: Recipe, path: str, text: str) -> SearchSpace:
    values = parse_yaml(f"[{text}]", f'the list of values of "{path}"', remedy="write them as 2,4,8")
    if len(values) > _MAX_VALUES:
        raise RecipeError(
            f'"{path}" has {len(values):,} values to search', f"name {_MAX_VALUES:,} at most, or a range"
        )
    if not values:
        raise RecipeError(f'no values of "{path}" are named', _HINT)
    recipes = [with_parameters(recipe, {path: value}) for value in values]
    for number, one in enumerate(recipes):
        if one in recipes[:number]:
            raise RecipeError(f'the values of "{path}" have {values[number]!r} twice', "name each value once")
    return SearchSpace(
        path, tuple(_normal(value, one, path) for value, one in zip(values, recipes, strict=True))
    )


def _range_space(recipe: Recipe, path: str, first: str, last: str, how: str | None) -> SearchSpace:
    whole = all(re.fullmatch(r"[+-]?\d+", bound) for bound in (first, last))
    ends: list[Any] = []
    for bound in (first, last):
        value = int(bound) if whole else float(bound)
        ends.append(_normal(value, with_parameters(recipe, {path: value}), path))
    low, high = ends
    if not all(type(end) in (int, float) for end in ends):
        raise RecipeError(f'"{path}" takes no numbers, so there is no range of them', "list its values: a,b")
    if low >= high:
        raise RecipeError(f'the range of "{path}" goes from {first} to {last}', "write the smaller end first")
    if how == "log":
        if low <= 0:
            raise RecipeError(
                f'the range of "{path}" starts at {first}, which has no logarithm',
                "start above 0, or leave out :log",
            )
        return SearchSpace(path, low=low, high=high, step=1 if type(low) is int else None, log=True)
    step = _step(path, how, type(low) is int)
    if step is not None and (high - low) / step > 2**53:
        raise RecipeError(f'the step of "{path}" is too short for its range', "give a longer step")
    space = SearchSpace(path, low=low, high=high, step=step)
    if space.size == 1:
        raise RecipeError(f'the step of "{path}" is longer than its range', "give a smaller step")
    return space if space.step is None else replace(space, high=_stepped(low, space.step, space._steps()))


def _step(path: str, text: str | None, whole: bool) -> int | float | None:
    if text is None:
        return 1 if whole else None
    step = float(text)
    if step <= 0 or (whole and not step.is_integer()):
        kind = "whole number" if whole else "number"
        raise RecipeError(f'the step of "{path}" is {text}', f"give a {kind} above 0, or log")
    return int(step) if whole else step


def _stepped(low: Any, step: Any, number: int) -> Any:
    """Returns low + number · step in decimal arithmetic: 0.3 rather than 0.30000000000000004."""
    return type(low)(Decimal(str(low)) + number * Decimal(str(step)))


def _normal(value: Any, recipe: Recipe, path: str) -> Any:
    """Returns the value as the recipe holds it: 1 becomes 1.0 for a float; whole sections stay as written."""
    place: Any = recipe
    for key in path.split("."):
        if isinstance(place, list):
            place = place[int(key)]
        else:
            place = place[key] if isinstance(place, dict) else getattr(place, key)
    if isinstance(place, float) and not math.isfinite(place):
        raise RecipeError(f'"{path}" has a value that is not a finite number', "leave it out")
    return place if isinstance(place, str | int | float | bool | None) else value
