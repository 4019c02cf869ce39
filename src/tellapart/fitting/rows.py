"""Reads, splits and samples the rows of a recipe."""

from __future__ import annotations

import dataclasses
from typing import Any

from tellapart.data.examples import TextData
from tellapart.data.reading.columns import ColumnNames
from tellapart.data.reading.rows import read_task
from tellapart.data.splits import prepare_splits, sample
from tellapart.errors import RecipeError
from tellapart.evaluation.task import RELEVANT, is_ranking
from tellapart.objectives.relations import with_relations
from tellapart.recipes import Recipe


def read_rows(recipe: Recipe) -> TextData:
    """Reads the rows of a recipe, in the splits of the source.

    Raises:
        DataError: The rows cannot be used.
        RecipeError: No data are named, or an order, a hierarchy or few-shot sampling does not fit the classes.
    """
    given = recipe.data
    if given.source is None:
        raise RecipeError("the recipe names no data", "set data.source, or give DATA on the command line")
    names = ColumnNames(given.text, given.text_pair, given.label, given.question_id, given.label_delimiter)
    data = read_task(given.source, names, multi_label=given.multi_label, regression=given.regression)
    if data.labels.regression and given.few_shot is not None:
        raise RecipeError(
            "few-shot sampling takes rows per class, but the labels are numeric targets",
            "use --set data.train_rows=N in place of --few-shot",
        )
    data = dataclasses.replace(data, labels=with_relations(data.labels, given))
    if not is_ranking(data.labels, data.train):
        return data
    note = f'Answers are ranked by question; the correct ones are those labelled "{data.labels.names[RELEVANT]}".'
    return dataclasses.replace(data, notes=(*data.notes, note))


def split_data(recipe: Recipe, data: TextData) -> TextData:
    """Splits and samples rows by the recipe's seed, shares and row counts."""
    given = recipe.data
    prepared = prepare_splits(
        data,
        few_shot=given.few_shot,
        validation_share=given.validation_share,
        test_share=given.test_share,
        seed=recipe.seed,
    )
    asked = {"train": given.train_rows, "validation": given.validation_rows, "test": given.test_rows}
    for name, rows in asked.items():
        split = prepared.splits.get(name)
        if rows is not None and split is not None and rows < len(split):
            drawn = sample(split, rows, seed=recipe.seed)
            note = f"{len(drawn)} of {len(split)} {name} rows were drawn."
            changes: dict[str, Any] = {name: drawn, "notes": (*prepared.notes, note)}
            prepared = dataclasses.replace(prepared, **changes)
    return prepared


def load_data(recipe: Recipe) -> TextData:
    """Reads and splits the rows of a recipe.

    Raises:
        DataError: The rows cannot be used.
        RecipeError: No data are named.
    """
    return split_data(recipe, read_rows(recipe))
