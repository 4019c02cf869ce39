"""Checks data for problems before training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from tellapart.data.checks import DataReport, check_data
from tellapart.data.examples import TextData
from tellapart.data.reading.rows import read_task
from tellapart.encoders.resolve import FROM_SCRATCH
from tellapart.encoders.token_counter import load_token_counter
from tellapart.fitting.rows import column_names
from tellapart.recipes import Recipe, with_values
from tellapart.recipes.reading import assignment
from tellapart.training.defaults import default_max_length


def check(
    source: Any,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    label_delimiter: str | None = None,
    label_names: Sequence[str] | None = None,
    regression: bool | None = None,
    encoder: str | None = None,
    max_length: int | None = None,
    settings: Sequence[str] = (),
    read: tuple[TextData, Recipe] | None = None,
) -> DataReport:
    """Looks for duplicates, leaks between splits, contradicting labels, empty texts, small classes, truncation.

    Args:
        source: What `tellapart.data.reading.rows.read_task` reads.
        text: The text column; found by its name when not given.
        text_pair: The second text's column.
        label: The label column, or several of 0 and 1 with commas between them.
        label_delimiter: Separates the labels in a multi-label cell.
        label_names: The labels of the positions of vectors of 0 and 1, in order.
        regression: Whether the labels are scores; None for those of a benchmark set of scores.
        encoder: The encoder whose tokeniser counts tokens; by default that of a recipe.
        max_length: The truncation length in tokens; by default that of training.
        settings: Keys of a recipe as for `--set`, such as `data.multi_label=true`. They override the other
            arguments; those of training change nothing.
        read: From `read_checked` with these arguments, if the rows are read already.

    Raises:
        DataError: The data cannot be read at all.
        RecipeError: There is no such key, or it cannot have the value.
    """
    data, recipe = read or read_checked(
        source,
        settings,
        text=text,
        text_pair=text_pair,
        label=label,
        label_delimiter=label_delimiter,
        label_names=label_names,
        regression=regression,
        encoder=encoder,
        max_length=max_length,
    )
    encoder = recipe.encoder.name
    length = recipe.encoder.max_length or default_max_length(from_scratch=encoder in FROM_SCRATCH)
    tokenizer = load_token_counter(encoder, [*chain(*data.train.columns)])
    return check_data(data, tokenizer=tokenizer, max_length=length)


def read_checked(source: Any, settings: Sequence[str], **given: Any) -> tuple[TextData, Recipe]:
    """Reads rows as training does, from the arguments of a check.

    Args:
        source: What `tellapart.data.reading.rows.read_task` reads.
        settings: Keys of a recipe as for `--set`; they override the arguments.
        given: Arguments of `check`, and `seed`; None for those that are left to their default.
    """
    written = [assignment(_PATHS[name], value) for name, value in given.items() if value is not None]
    recipe = with_values(Recipe(), [*written, *settings])
    rows = recipe.data
    data = read_task(source, column_names(rows), multi_label=rows.multi_label, regression=rows.regression)
    return data, recipe


_PATHS = {
    "text": "data.text",
    "text_pair": "data.text_pair",
    "label": "data.label",
    "label_delimiter": "data.label_delimiter",
    "label_names": "data.label_names",
    "regression": "data.regression",
    "encoder": "encoder.name",
    "max_length": "encoder.max_length",
    "seed": "seed",
}
