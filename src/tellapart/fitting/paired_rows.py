"""Rows of compared recipes: every seed has the same evaluated rows for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tellapart.data.examples import TextData
from tellapart.data.learnable import check_labels_repeat
from tellapart.errors import RecipeError
from tellapart.fitting.rows import read_rows, split_data
from tellapart.fitting.trials import evaluated_split
from tellapart.recipes import Recipe


class PairedRows:
    """Reads and splits the rows of compared recipes; recipes with the same `data` section share them.

    Methods are compared seed by seed on the same rows. Recipes may therefore differ in their training rows, such as
    by `data.few_shot`, but not in the rows, labels and classes that they are evaluated on.

    Args:
        recipes: The recipes by name, the baseline first.
        seeds: The seeds of the comparison.

    Raises:
        DataError: The rows cannot be used.
        RecipeError: Two recipes would be evaluated on different rows.
    """

    def __init__(self, recipes: Mapping[str, Recipe], seeds: Sequence[int]) -> None:
        self._read: dict[str, TextData] = {}
        self._split: dict[tuple[str, int], TextData] = {}
        baseline = next(iter(recipes))
        others = {_key(recipe): name for name, recipe in recipes.items()}  # one of each `data` section
        if len(others) > 1:
            for seed in seeds:
                expected = _evaluated(recipes[baseline], self.of(recipes[baseline], seed))
                for name in others.values():
                    if _evaluated(recipes[name], self.of(recipes[name], seed)) != expected:
                        raise RecipeError(
                            f'"{name}" would be evaluated on other rows than "{baseline}" with seed {seed}',
                            "change only values of data that leave the test rows, their labels and classes as they"
                            " are, such as data.few_shot",
                        )

    def of(self, recipe: Recipe, seed: int) -> TextData:
        """Returns the splits of a recipe with a seed; those of one seed at a time are kept."""
        key = _key(recipe)
        if key not in self._read:
            self._read[key] = read_rows(recipe)
        if (key, seed) not in self._split:
            self._split = {kept: data for kept, data in self._split.items() if kept[1] == seed}
            data = split_data(recipe.model_copy(update={"seed": seed}), self._read[key])
            if recipe.data.few_shot is None:
                check_labels_repeat(data)
            self._split[key, seed] = data
        return self._split[key, seed]


def _key(recipe: Recipe) -> str:
    return recipe.data.model_dump_json()


def _evaluated(recipe: Recipe, data: TextData) -> tuple[Any, ...]:
    """Everything that decides which rows are evaluated, and what is right."""
    split = evaluated_split(data)
    rows = (split.texts, split.text_pairs, split.labels, split.question_ids)
    return (*rows, data.labels.names, data.labels.problem_type, recipe.data.without_positive)
