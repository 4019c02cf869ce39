"""The rows of a run: read, split and sampled as its recipe says."""

from __future__ import annotations

import dataclasses

from tellapart.data.examples import TextData
from tellapart.data.reading import read_data
from tellapart.data.splits import prepare_splits, sample
from tellapart.errors import RecipeError
from tellapart.recipes import Recipe


def load_data(recipe: Recipe) -> TextData:
    """Reads the rows that a recipe names, with the splits it asks for.

    Raises:
        DataError: They cannot be used.
        RecipeError: The recipe names none.
    """
    given = recipe.data
    if given.source is None:
        raise RecipeError("the recipe names no data", "set data.source, or give DATA on the command line")
    data = read_data(
        given.source,
        text=given.text,
        text_pair=given.text_pair,
        label=given.label,
        label_delimiter=given.label_delimiter,
        multi_label=given.multi_label,
    )
    return split_data(recipe, data)


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
    if given.train_rows is None or given.train_rows >= len(prepared.train):
        return prepared
    fewer = sample(prepared.train, given.train_rows, seed=recipe.seed)
    note = f"{len(fewer)} of {len(prepared.train)} training rows were drawn."
    return dataclasses.replace(prepared, train=fewer, notes=(*prepared.notes, note))
