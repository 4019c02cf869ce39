"""The rows of a run: read, split and sampled as its recipe says."""

from __future__ import annotations

import dataclasses
from typing import Any

from tellapart.data.examples import TextData
from tellapart.data.reading import read_data
from tellapart.data.splits import prepare_splits, sample
from tellapart.errors import RecipeError
from tellapart.recipes import Recipe


def read_rows(recipe: Recipe) -> TextData:
    """Reads the rows that a recipe names, with the splits they come with.

    Raises:
        DataError: They cannot be used.
        RecipeError: The recipe names none.
    """
    given = recipe.data
    if given.source is None:
        raise RecipeError("the recipe names no data", "set data.source, or give DATA on the command line")
    return read_data(
        given.source,
        text=given.text,
        text_pair=given.text_pair,
        label=given.label,
        label_delimiter=given.label_delimiter,
        multi_label=given.multi_label,
    )


def split_data(recipe: Recipe, data: TextData) -> TextData:
    """Gives rows that were read the splits and samples that a recipe's seed and shares ask for."""
    given = recipe.data
    prepared = prepare_splits(
        data,
        few_shot=given.few_shot,
        validation_share=given.validation_share,
        test_share=given.test_share,
        seed=recipe.seed,
    )
    for name, rows in (("train", given.train_rows), ("test", given.test_rows)):
        split = prepared.splits.get(name)
        if rows is not None and split is not None and rows < len(split):
            note = f"{rows} of {len(split)} {name} rows were drawn."
            drawn: dict[str, Any] = {
                name: sample(split, rows, seed=recipe.seed),
                "notes": (*prepared.notes, note),
            }
            prepared = dataclasses.replace(prepared, **drawn)
    return prepared


def load_data(recipe: Recipe) -> TextData:
    """Reads and splits the rows that a recipe names.

    Raises:
        DataError: They cannot be used.
        RecipeError: The recipe names none.
    """
    return split_data(recipe, read_rows(recipe))
