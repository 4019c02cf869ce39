"""Unlabelled texts for self-training: which of them a run may use."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import numpy as np

from tellapart.data.examples import TextSplit, check_second_texts
from tellapart.errors import DataError

REST = "rest"
"""Value of `data.unlabelled` for the training rows that were not drawn."""


def unlabelled_rows(
    texts: TextSplit,
    train: TextSplit,
    validation: TextSplit | None,
    test: TextSplit | None,
    *,
    outside: Iterable[TextSplit] = (),
    where: str = "the unlabelled texts",
) -> tuple[TextSplit, tuple[str, ...]]:
    """Leaves out texts that are empty, repeated, rows of another split or out of scope.

    Rows are equal if their texts differ only in case and white space. A text that is a test or validation row would
    make the scores worthless; one that is a training row has a label already; one that is out of scope has no class.

    Args:
        texts: The texts, labelled or not.
        train: The training rows of the run.
        validation: All validation rows, also those that were not sampled; or None.
        test: All test rows, also those that were not sampled; or None.
        outside: All out-of-scope rows.
        where: Name of the texts in messages.

    Returns:
        The other texts in their order, and a note on their number.

    Raises:
        DataError: None are left, or they have other columns than the training rows.
    """
    texts = _in_the_form_of(texts, train, where)
    keys = texts.keys()
    known = {
        name: set(split.keys())
        for name, split in {"test": test, "validation": validation, "training": train}.items()
        if split is not None
    }
    known["out-of-scope"] = set(chain.from_iterable(split.keys() for split in outside))
    dropped = dict.fromkeys(("empty", "repeated", *known), 0)
    kept: list[int] = []
    seen: set[str] = set()
    for row, key in enumerate(keys):
        reason = next((name for name, rows in known.items() if key in rows), None)
        if not key.strip():
            reason = "empty"
        elif reason is None and key in seen:
            reason = "repeated"
        if reason is not None:
            dropped[reason] += 1
            continue
        seen.add(key)
        kept.append(row)
    reasons = _listed(
        f"{count} {'are' if name in ('empty', 'repeated') else 'equal'} "
        f"{name if name in ('empty', 'repeated') else f'{name} rows'}"
        for name, count in dropped.items()
        if count
    )
    if not kept:
        raise DataError(
            f"no text of {where} can be used: of {len(texts)} rows, {reasons or 'there are none'}",
            "give texts that are in no other split, or leave out --unlabelled",
        )
    note = f"{len(kept)} of {len(texts)} unlabelled texts can be used"
    return texts.select(kept), (note + (f": {reasons}." if reasons else "."),)


def undrawn_rows(
    pool: TextSplit, train: TextSplit, validation: TextSplit | None, test: TextSplit | None
) -> TextSplit:
    """Returns the rows of a pool whose texts are in no split: those that a few-shot draw or a sample left out.

    Args:
        pool: The training rows before any draw.
        train: The training rows of the run.
        validation: All validation rows, or None.
        test: All test rows, or None.

    Raises:
        DataError: All rows were drawn.
    """
    splits = [split for split in (train, validation, test) if split is not None]
    drawn = set(chain.from_iterable(split.keys() for split in splits))
    rows = [row for row, key in enumerate(pool.keys()) if key not in drawn]
    if not rows:
        raise DataError(
            "the unlabelled texts are the training rows that are not drawn, and all were drawn",
            "draw fewer: --few-shot N, or --set data.train_rows=N; or give a file as --unlabelled",
        )
    return pool.select(rows)


def known_classes(texts: TextSplit, names: Iterable[str]) -> np.ndarray:
    """Returns whether all labels of each row are classes of the task, bool (N,); all False without labels.

    Args:
        texts: The texts.
        names: The classes.
    """
    if texts.labels is None:
        return np.zeros(len(texts), dtype=bool)
    classes = frozenset(names)
    return np.array([labels <= classes for labels in texts.label_sets()], dtype=bool)


def _in_the_form_of(texts: TextSplit, train: TextSplit, where: str) -> TextSplit:
    """The texts with the columns of the training rows, and their own labels."""
    check_second_texts(texts, train, where)
    if train.question_ids is not None and texts.question_ids is None:
        raise DataError(
            f"the training rows have question ids, and {where} has none",
            "add a column question_id, or name it with --question-id",
        )
    return TextSplit(
        texts.texts,
        None if train.text_pairs is None else texts.text_pairs,
        texts.labels,
        None if train.question_ids is None else texts.question_ids,
    )


def _listed(parts: Iterable[str]) -> str:
    *others, last = [*parts] or [""]
    return f"{', '.join(others)} and {last}" if others else last
