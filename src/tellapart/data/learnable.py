"""Refuses rows from which nothing can be learned: classes without a text, one text for all, ids for labels."""

from __future__ import annotations

from collections.abc import Sequence

from tellapart.data.examples import TextData, TextSplit
from tellapart.data.label_texts import with_rows
from tellapart.errors import DataError

MOST_SINGLE = 20
"""Classes of one row each up to which they are taken for classes; more are taken for ids of the rows."""


def check_learnable(train: TextSplit, label_texts: TextSplit | None = None) -> None:
    """Checks that the training texts can tell the labels apart.

    Args:
        train: The labelled training rows.
        label_texts: Texts of the classes, which are training rows too; None for none.

    Raises:
        DataError: All texts are one text (white space ignored), or a class has only empty texts or rows of weight 0.
    """
    train = _weighted(train)
    rows = train if label_texts is None else with_rows(train, label_texts)
    if has_one_text(rows):
        raise DataError(
            f"all {len(rows)} training rows have "
            + ("the same text" if _says_something(rows, 0) else "empty texts"),
            "check the text column (--text), or add rows with other texts",
        )
    silent = classes_without_text(rows)
    if silent:
        others = f" and {len(silent) - 1} more have" if len(silent) > 1 else " has"
        raise DataError(
            f'the class "{silent[0]}"{others} training rows with empty texts only',
            "fill in their texts, remove these rows, or check the text column (--text)",
        )


def check_labels_repeat(data: TextData) -> None:
    """Checks that the labels of rows that were read from a column are not ids of the rows.

    Raises:
        DataError: They are, see `has_ids_as_labels`.
    """
    if has_ids_as_labels(data):
        assert data.columns is not None
        raise DataError(
            f'every one of the {len(data.train)} rows has a label of its own in column "{data.columns.label}"',
            "name the column of the labels with --label (in Python label=...), or set --few-shot 1 if there is one "
            "row per class",
        )


def has_ids_as_labels(data: TextData) -> bool:
    """Returns whether the labels are unique ids: a single split of over `MOST_SINGLE` rows, all labels different."""
    if (
        data.columns is None
        or data.columns.label is None
        or data.validation is not None
        or data.test is not None
    ):
        return False
    labels, rows = data.train.labels or [], len(data.train)
    return rows > MOST_SINGLE and isinstance(labels[0], str) and len({*map(str, labels)}) == rows


def _weighted(train: TextSplit) -> TextSplit:
    """Returns the rows with a weight above 0, which must be of all classes."""
    if train.weights is None:
        return train
    kept = train.select(row for row, weight in enumerate(train.weights) if weight > 0)
    lost = frozenset().union(*train.label_sets()) - frozenset().union(*kept.label_sets())
    if lost:
        raise DataError(
            f'all training rows of the class "{min(lost)}" have weight 0',
            "give one of them a weight above 0, or leave the class out",
        )
    return kept


def has_one_text(rows: TextSplit) -> bool:
    """Whether all rows have one text (one pair of texts), white space ignored; False without rows."""
    texts = zip(*rows.columns, strict=True)
    first = next(texts, None)
    return first is not None and all(text == first or _words(text) == _words(first) for text in texts)


def classes_without_text(rows: TextSplit) -> list[str]:
    """Returns the classes with rows, of which all have empty texts; in pairs, two empty texts."""
    silent: set[str] = set()
    spoken: set[str] = set()
    for row, labels in enumerate(rows.label_sets()):
        (spoken if _says_something(rows, row) else silent).update(labels)
    return sorted(silent - spoken)


def _says_something(rows: TextSplit, row: int) -> bool:
    return any(column[row].strip() for column in rows.columns)


def _words(texts: Sequence[str]) -> list[list[str]]:
    return [text.split() for text in texts]
