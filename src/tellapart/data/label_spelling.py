"""Spelling of label names: names that look alike, truth values, and labels that a task does not have."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.errors import DataError, did_you_mean

_TRUTH = ("false", "true")
_HIDDEN = {"Cf", "Cc"}  # Unicode categories: format and control characters, such as the zero-width space
_LONGEST = 80  # characters of a name in a message


def similar_names(names: Iterable[str]) -> list[list[str]]:
    """Returns the names that look alike.

    They differ only in case, white space, Unicode form (NFKC), invisible characters, or as `1` and `1.0`.

    Args:
        names: Different names.

    Returns:
        The groups of two or more, in the order of the names.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[_key(name)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def shown_name(name: str) -> str:
    """Returns a name for a message: invisible characters and decomposed accents as escapes, long names cut."""
    cut = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
    hidden = _HIDDEN if unicodedata.is_normalized("NFC", cut) else {*_HIDDEN, "Mn"}
    return "".join(
        each.encode("unicode_escape").decode("ascii")
        if unicodedata.category(each) in hidden or (each.isspace() and each != " ")
        else each
        for each in cut
    )


def known_labels(split: TextSplit, labels: LabelSpace, where: str, owner: str) -> TextSplit:
    """Returns the rows with labels of a task, and refuses other labels.

    Truth values are spelled as in the task: `True` of a CSV file that pandas wrote is `true` of a Parquet file.

    Args:
        split: Rows with labels.
        labels: The classes, or the output of a regression task, for which all rows are returned.
        where: Name of the rows in messages.
        owner: What has the classes, such as `the training rows` (in the plural).

    Raises:
        DataError: A label is not one of the classes; the message names the first such row.
    """
    if labels.regression or split.labels is None:
        return split
    spelled = _spelled(split, labels)
    known = labels.label2id.keys()
    unknown = [(spelled.number(row), names - known) for row, names in enumerate(spelled.label_sets())]
    rows = [(row, min(names)) for row, names in unknown if names]
    if rows:
        first, name = rows[0]
        raise DataError(
            f'{len(rows)} row(s) of {where} have labels that {owner} lack, the first is "{shown_name(name)}" in row '
            f"{first}{did_you_mean(name[:_LONGEST], labels.names)}",
            "correct them, remove those rows, or add training rows with these labels",
        )
    return spelled


def _spelled(split: TextSplit, labels: LabelSpace) -> TextSplit:
    """Returns the rows with truth values as the task spells them."""
    known = {name.lower(): name for name in labels.names if name.lower() in _TRUTH}
    assert split.labels is not None
    if not known:
        return split
    ids = labels.label2id

    def spelled(name: str) -> str:
        return name if name in ids else known.get(name.lower(), name)

    if labels.multi_label:
        lists = [[spelled(name) for name in each] for each in split.labels]  # type: ignore[union-attr]
        return replace(split, labels=lists)
    return replace(split, labels=[spelled(str(name)) for name in split.labels])


def _key(name: str) -> str:
    plain = " ".join(unicodedata.normalize("NFKC", name).split())
    key = "".join(each for each in plain if unicodedata.category(each) not in _HIDDEN).strip().casefold()
    try:
        number = float(key)
    except ValueError:
        return key
    return f"{number:g}" if number.is_integer() and abs(number) < 1e6 else key
