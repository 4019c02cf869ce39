"""Reads, splits and samples the rows of a recipe."""

from __future__ import annotations

import dataclasses
from typing import Any

from tellapart.data.examples import TextData, check_second_texts
from tellapart.data.fingerprints import column_fingerprints
from tellapart.data.label_texts import NONE, label_text_note, read_label_texts
from tellapart.data.out_of_scope import out_of_scope_note, shared_out
from tellapart.data.reading.columns import ColumnNames
from tellapart.data.reading.out_of_scope import read_out_of_scope
from tellapart.data.reading.rows import is_regression_set, read_task
from tellapart.data.reading.unlabelled import read_unlabelled
from tellapart.data.splits import prepare_splits, sample
from tellapart.data.unlabelled import REST, undrawn_rows, unlabelled_rows
from tellapart.errors import RecipeError
from tellapart.evaluation.task import RELEVANT, is_ranking
from tellapart.files import user_path
from tellapart.objectives.relations import with_relations
from tellapart.recipes import DataRecipe, Recipe, SelfTrainingRecipe, regression_recipe


def read_rows(recipe: Recipe) -> TextData:
    """Reads the rows of a recipe, in the splits of the source.

    Raises:
        DataError: The rows cannot be used.
        RecipeError: No data are named, or an order, a hierarchy or few-shot sampling does not fit the classes.
    """
    given = recipe.data
    if given.source is None:
        raise RecipeError("the recipe names no data", "set data.source, or give DATA on the command line")
    names = column_names(given)
    data = read_task(given.source, names, multi_label=given.multi_label, regression=given.regression)
    if data.labels.regression and given.few_shot is not None:
        raise RecipeError(
            "few-shot sampling takes rows per class, but the labels are numeric targets",
            "use --set data.train_rows=N in place of --few-shot",
        )
    data = with_label_texts(dataclasses.replace(data, labels=with_relations(data.labels, given)), recipe)
    if _uses_label_texts(recipe):
        text_note = label_text_note(given.label_texts, data.label_texts, data.labels)
        data = dataclasses.replace(data, notes=(*data.notes, text_note))
    if given.unlabelled is not None and given.unlabelled != REST:
        texts, notes = read_unlabelled(given.unlabelled, names, multi_label=data.labels.multi_label)
        notes += check_second_texts(texts, data.train, given.unlabelled)
        data = dataclasses.replace(data, unlabelled=texts, notes=(*data.notes, *notes))
    if given.out_of_scope is not None and names.out_of_scope is None:
        outside, notes = read_out_of_scope(
            given.out_of_scope, names, data.train, data.labels, trained=data.columns
        )
        data = dataclasses.replace(data, out_of_scope={"test": outside}, notes=(*data.notes, *notes))
    data = dataclasses.replace(data, fingerprints=column_fingerprints(data))
    if not is_ranking(data.labels, data.train):
        return data
    note = f'Answers are ranked by question; the correct ones are those labelled "{data.labels.names[RELEVANT]}".'
    return dataclasses.replace(data, notes=(*data.notes, note))


def resolve_method(recipe: Recipe, data: TextData | None = None) -> Recipe:
    """Returns the recipe with squared error as its objective if the labels are numeric and it names no objective.

    Args:
        recipe: The recipe.
        data: The rows; None to tell from the recipe's `data` section alone.
    """
    if data is not None:
        regression = data.labels.regression
    elif recipe.data.regression is not None:
        regression = recipe.data.regression
    else:
        regression = is_regression_set(recipe.data.source)
    return regression_recipe(recipe) if regression else recipe


def column_names(given: DataRecipe) -> ColumnNames:
    """Returns the column names of a recipe, with the label of out-of-scope rows if there is one."""
    return ColumnNames(
        given.text,
        given.text_pair,
        given.label,
        given.question_id,
        given.label_delimiter,
        None if given.label_names is None else tuple(given.label_names),
        out_of_scope_label(given.out_of_scope),
    )


def out_of_scope_label(named: str | None) -> str | None:
    """Returns what marks out-of-scope rows if it is a label; None if it is the path of a file."""
    return None if named is None or user_path(named).is_file() else named


def with_label_texts(data: TextData, recipe: Recipe) -> TextData:
    """Returns the data with the label texts that a recipe asks for; without, if no stage uses them.

    Raises:
        DataError: The label texts do not fit the classes.
    """
    texts = read_label_texts(recipe.data.label_texts, data.labels, pairs=data.train.text_pairs is not None)
    return dataclasses.replace(data, label_texts=texts if _uses_label_texts(recipe) else None)


def _uses_label_texts(recipe: Recipe) -> bool:
    used = any(stage.label_text_weight > 0 or stage.label_text_anchors for stage in recipe.stages)
    return used and recipe.data.label_texts != NONE


def split_data(recipe: Recipe, data: TextData) -> TextData:
    """Splits and samples rows by the recipe's seed, shares and row counts; out-of-scope rows in proportion to them.

    Unlabelled texts that are rows of a split or out of scope are left out.

    Raises:
        DataError: No unlabelled text is left.
    """
    given = recipe.data
    prepared = prepare_splits(
        data,
        few_shot=given.few_shot,
        validation_share=given.validation_share,
        test_share=given.test_share,
        seed=recipe.seed,
    )
    whole = prepared
    asked = {"train": given.train_rows, "validation": given.validation_rows, "test": given.test_rows}
    for name, rows in asked.items():
        split = prepared.splits.get(name)
        if rows is not None and split is not None and rows < len(split):
            drawn = sample(split, rows, seed=recipe.seed)
            note = f"{len(drawn)} of {len(split)} {name} rows were drawn."
            changes: dict[str, Any] = {name: drawn, "notes": (*prepared.notes, note)}
            prepared = dataclasses.replace(prepared, **changes)
    if data.out_of_scope:
        prepared = _with_out_of_scope(data, whole, prepared, recipe.seed)
    return prepared if given.unlabelled is None else _with_unlabelled(given.unlabelled, data, whole, prepared)


def _with_out_of_scope(read: TextData, whole: TextData, drawn: TextData, seed: int) -> TextData:
    """Returns the drawn rows with their part of the out-of-scope rows; texts of a file are all kept.

    Args:
        read: The rows as read.
        whole: The splits before validation and test rows are sampled.
        drawn: The splits of the run.
        seed: Seed of the draws.
    """
    sizes, before = ({name: len(split) for name, split in data.splits.items()} for data in (drawn, whole))
    labelled = read.columns is not None and read.columns.out_of_scope is not None
    outside = shared_out(read.out_of_scope, len(read.train), sizes, seed, whole=before if labelled else None)
    return dataclasses.replace(drawn, out_of_scope=outside, notes=(*drawn.notes, out_of_scope_note(outside)))


def _with_unlabelled(source: str, read: TextData, whole: TextData, drawn: TextData) -> TextData:
    """Returns the drawn rows with the unlabelled texts.

    Args:
        source: The key `data.unlabelled`.
        read: The rows as read.
        whole: The splits before validation and test rows are sampled: the others must not be trained on either.
        drawn: The splits of the run.
    """
    others = drawn.train, whole.validation, whole.test
    texts = undrawn_rows(read.train, *others) if source == REST else read.unlabelled
    assert texts is not None
    where = "the training rows that are not drawn" if source == REST else source
    texts, notes = unlabelled_rows(texts, *others, outside=read.out_of_scope.values(), where=where)
    return dataclasses.replace(drawn, unlabelled=texts, notes=(*drawn.notes, *notes))


def load_data(recipe: Recipe) -> TextData:
    """Reads and splits the rows of a recipe; a note says if its settings of self-training have no effect.

    Raises:
        DataError: The rows cannot be used.
        RecipeError: No data are named.
    """
    data = split_data(recipe, read_rows(recipe))
    if recipe.data.unlabelled is not None or recipe.self_training == SelfTrainingRecipe():
        return data
    note = "The settings of self_training have no effect without unlabelled texts: add --unlabelled FILE."
    return dataclasses.replace(data, notes=(*data.notes, note))
