"""Checks data for problems before training."""

from __future__ import annotations

from typing import Any

from tellapart.data.checks import DataReport, check_data
from tellapart.data.reading.columns import ColumnNames
from tellapart.data.reading.rows import read_task
from tellapart.encoders.loading import load_tokenizer
from tellapart.encoders.resolve import FROM_SCRATCH
from tellapart.encoders.scratch import build_tokenizer, texts_of
from tellapart.training.defaults import default_max_length


def check(
    source: Any,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    label_delimiter: str | None = None,
    regression: bool | None = None,
    encoder: str = "minilm",
    max_length: int | None = None,
) -> DataReport:
    """Looks for duplicates, leaks between splits, contradicting labels, empty texts, small classes, truncation.

    Args:
        source: What `tellapart.data.reading.rows.read_task` reads.
        text: The text column; found by its name when not given.
        text_pair: The second text's column.
        label: The label column.
        label_delimiter: Separates the labels in a multi-label cell.
        regression: Whether the labels are scores; None for those of a benchmark set of scores.
        encoder: The encoder whose tokeniser counts tokens.
        max_length: The truncation length in tokens; by default that of training.

    Raises:
        DataError: The data cannot be read at all.
    """
    names = ColumnNames(text, text_pair, label, label_delimiter=label_delimiter)
    data = read_task(source, names, regression=regression)
    from_scratch = encoder in FROM_SCRATCH
    tokenizer = build_tokenizer(encoder, texts_of(data.train)) if from_scratch else load_tokenizer(encoder)
    max_length = max_length or default_max_length(from_scratch=from_scratch)
    return check_data(data, tokenizer=tokenizer, max_length=max_length)
