"""Out-of-scope rows: texts of no class, which are never trained on and measure when a model abstains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.errors import DataError, did_you_mean

_PURPOSE = 5  # random stream; those below are of tellapart.data.splits


def without_label(
    splits: Mapping[str, TextSplit], label: str
) -> tuple[dict[str, TextSplit], dict[str, TextSplit]]:
    """Takes the rows with a label out of splits.

    Args:
        splits: Split name to labelled rows with one label each.
        label: The label of the out-of-scope rows.

    Returns:
        The other rows, and the out-of-scope rows without their label, with their numbers in the splits; splits
        without any row are left out.

    Raises:
        DataError: The rows have several labels or numbers.
    """
    kept, outside = {}, {}
    for name, split in splits.items():
        labels = split.labels or []
        if labels and not isinstance(labels[0], str):
            raise DataError(
                f'"{label}" marks the rows that belong to no class, but the rows have several labels or numbers',
                "leave out --out-of-scope; rows of a multi-label task can have no label",
            )
        marked = np.array([one == label for one in labels], dtype=bool)
        rows = {True: np.flatnonzero(marked), False: np.flatnonzero(~marked)}
        split = replace(split, numbers=[split.number(row) for row in range(len(split))])
        if len(rows[False]):
            kept[name] = split.select(rows[False])
        if len(rows[True]):
            outside[name] = replace(split.select(rows[True]), labels=None)
    return kept, outside


def check_found(outside: Mapping[str, TextSplit], splits: Mapping[str, TextSplit], label: str) -> None:
    """Checks that there are out-of-scope rows.

    Args:
        outside: The out-of-scope rows by split.
        splits: The other rows, for the message.
        label: The label that the user gave.

    Raises:
        DataError: No row has the label.
    """
    if not outside:
        names = sorted({name for split in splits.values() for names in split.label_sets() for name in names})
        raise DataError(
            f'no row has the label "{label}", which out_of_scope names{did_you_mean(label, names)}',
            "give a label of the label column, or the path of a file of texts",
        )


def check_one_class(labels: LabelSpace) -> None:
    """Checks that a task can have out-of-scope rows.

    Raises:
        DataError: The rows have several labels or numbers.
    """
    if labels.multi_label or labels.regression:
        kind = "numeric targets" if labels.regression else "any number of labels"
        raise DataError(
            f"out-of-scope texts measure a model of one class per text, but the rows have {kind}",
            "leave out --out-of-scope (data.out_of_scope)",
        )


def distinct_texts(texts: TextSplit, where: str) -> tuple[TextSplit, tuple[str, ...]]:
    """Leaves out blank and repeated texts; case and white space make no difference.

    Returns:
        The other texts in their order, and a note on the number that is left out, if any is.

    Raises:
        DataError: No text is left.
    """
    first: dict[str, int] = {}
    blank = 0
    for row, key in enumerate(texts.keys()):
        blank += not key.strip()
        if key.strip():
            first.setdefault(key, row)
    if not first:
        raise DataError(f"{where} has no texts, only blank ones", "give a file with out-of-scope texts")
    repeated = len(texts) - blank - len(first)
    counts = [f"{count} {kind}" for kind, count in {"blank": blank, "repeated": repeated}.items() if count]
    note = f"Of the {len(texts)} texts of {where}, {' and '.join(counts)} are left out."
    return texts.select(first.values()), (note,) if counts else ()


def shared_out(
    outside: Mapping[str, TextSplit],
    train_rows: int,
    sizes: Mapping[str, int],
    seed: int,
    whole: Mapping[str, int] | None = None,
) -> dict[str, TextSplit]:
    """Gives out-of-scope rows of the training split to the validation and test rows, as far as these have none.

    A split gets as many per row as there are per training row, so that they are as frequent as in the training split:
    a precision depends on that. Rows that are left over are not used. A split of which some rows are drawn keeps the
    same share of its own out-of-scope rows.

    Args:
        outside: Split name to out-of-scope rows, as read.
        train_rows: Number of the other training rows, as read, at least 1.
        sizes: Number of rows of the run by the name of their split.
        seed: Seed of the draws; the same on every machine.
        whole: Number of rows by the name of their split, before some were drawn; a split that is absent keeps all its
            out-of-scope rows.

    Returns:
        `validation` and `test`, as far as there are rows for them; no text is drawn for both.
    """
    whole, found = whole or {}, {}
    for stream, name in enumerate(("validation", "test")):
        rows, before = outside.get(name), whole.get(name)
        if rows is not None and before:
            order = np.random.default_rng([seed, _PURPOSE, stream]).permutation(len(rows))
            rows = rows.select(np.sort(order[: _part(len(rows), sizes.get(name, 0), before)]))
        if rows is not None:
            found[name] = rows
    rows = outside.get("train")
    if rows is None:
        return found
    keys = rows.keys()
    order = np.random.default_rng([seed, _PURPOSE]).permutation(len(rows))
    for name in ("validation", "test"):
        if name not in found and sizes.get(name):
            drawn = order[: _part(len(rows), sizes[name], train_rows)]
            taken = {keys[row] for row in drawn}
            order = np.array([row for row in order if keys[row] not in taken], dtype=np.int64)
            if len(drawn):
                found[name] = rows.select(np.sort(drawn))
    return found


def _part(count: int, part: int, whole: int) -> int:
    """Returns `part / whole` of a number of rows, rounded up."""
    return -(-count * part // whole)


def out_of_scope_note(outside: Mapping[str, TextSplit]) -> str:
    """Returns a sentence on the number of out-of-scope rows per split."""
    counts = " and ".join(f"{len(rows)} with the {name} rows" for name, rows in outside.items())
    return f"Out-of-scope rows are not trained on: {counts or 'none are left to measure'}."
