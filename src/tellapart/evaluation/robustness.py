"""What becomes of a model's answers when its texts are changed in a way that should not change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from tellapart.errors import DataError
from tellapart.evaluation.significance import Flips, mcnemar, paired_share_interval
from tellapart.evaluation.trials import Interval

SCHEMA_VERSION = 1

Attack = Literal["swap-synonyms", "add-sentence"]
ATTACKS: tuple[Attack, ...] = get_args(Attack)
"""What can be done to texts; the second is for questions about a text, in the format of SQuAD."""

EXAMPLES = 50
"""Rows that are kept as examples, at most, of each kind."""


@dataclass(frozen=True)
class ChangedRow:
    """A row whose answer changed sides.

    Args:
        original: The text as it was.
        transformed: The text as it was made.
        gold: What is right; of several labels or answers, all.
        before: The model's answer to the original.
        after: Its answer to the transformed text.
    """

    original: str
    transformed: str
    gold: str
    before: str
    after: str


@dataclass(frozen=True)
class Robustness:
    """What an attack did to a model.

    Args:
        attack: One of `ATTACKS`.
        settings: What it was done with.
        model: Where the model lies.
        source: Where the rows come from.
        rows: How many were evaluated.
        changed_rows: How many the attack changed; the others are evaluated as they are.
        changes: Words or sentences that were changed or added, in all.
        metric: What `before`, `after` and `difference` are: the share of rows that are right.
        before: On the rows as they were.
        after: On the rows as they were made.
        difference: `after` − `before`.
        interval: Its 95 % confidence interval, see `tellapart.evaluation.significance.paired_share_interval`.
        flips: Rows that became right (gained) or wrong (lost), and McNemar's exact test on them.
        metrics_before: Every metric, on the rows as they were.
        metrics_after: Every metric, on the rows as they were made.
        became_wrong: Some rows that were right and are not any more.
        became_right: Some of the others that changed sides.
        schema_version: Of the JSON form.
    """

    attack: Attack
    settings: dict[str, Any]
    model: str
    source: str
    rows: int
    changed_rows: int
    changes: int
    metric: str
    before: float
    after: float
    difference: float
    interval: Interval
    flips: Flips
    metrics_before: dict[str, float]
    metrics_after: dict[str, float]
    became_wrong: tuple[ChangedRow, ...]
    became_right: tuple[ChangedRow, ...]
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form: dictionaries, lists, strings and numbers."""
        return asdict(self)


@dataclass(frozen=True)
class Answers:
    """A model's answers to N rows.

    Args:
        texts: What it was asked.
        given: Its answers, as people read them.
        right: Whether each is right, bool (N,).
        metrics: Every metric of them.
    """

    texts: Sequence[str]
    given: Sequence[str]
    right: np.ndarray
    metrics: Mapping[str, float]


def compare_answers(
    before: Answers,
    after: Answers,
    gold: Sequence[str],
    changes: Sequence[int],
    *,
    attack: Attack,
    settings: Mapping[str, Any],
    model: str,
    source: str,
    metric: str,
) -> Robustness:
    """Holds the answers to transformed texts against those to the texts as they were.

    Args:
        before: To the texts as they were.
        after: To the same rows, transformed.
        gold: What is right in each row, as people read it.
        changes: How much of each row was changed; 0 for a row that is as it was.
        attack: One of `ATTACKS`.
        settings: What it was done with; JSON values.
        model: Where the model lies.
        source: Where the rows come from.
        metric: The name of the share of rows that are right.

    Raises:
        DataError: There are no rows.
    """
    if len(before.right) == 0:
        raise DataError(f"{source} has no rows to transform", "give rows with labels or answers")
    was, is_now = np.asarray(before.right, dtype=bool), np.asarray(after.right, dtype=bool)

    def rows(wanted: np.ndarray) -> tuple[ChangedRow, ...]:
        return tuple(
            ChangedRow(before.texts[row], after.texts[row], gold[row], before.given[row], after.given[row])
            for row in np.flatnonzero(wanted)[:EXAMPLES]
        )

    return Robustness(
        attack=attack,
        settings=dict(settings),
        model=model,
        source=source,
        rows=len(was),
        changed_rows=int(np.count_nonzero(changes)),
        changes=int(np.sum(changes)),
        metric=metric,
        before=float(was.mean()),
        after=float(is_now.mean()),
        difference=float(is_now.mean() - was.mean()),
        interval=paired_share_interval(was, is_now),
        flips=mcnemar(was, is_now),
        metrics_before=dict(before.metrics),
        metrics_after=dict(after.metrics),
        became_wrong=rows(was & ~is_now),
        became_right=rows(is_now & ~was),
    )


def robustness_rows(result: Robustness) -> list[list[str]]:
    """Returns the figures as a table; the first row is the header."""
    low, high = result.interval
    return [
        ["rows", "changed", f"{result.metric.replace('_', ' ')} (%)", "after", "difference", "95 % interval"],
        [
            f"{result.rows:,}",
            f"{result.changed_rows:,}",
            f"{100 * result.before:.2f}",
            f"{100 * result.after:.2f}",
            f"{100 * result.difference:+.2f}",
            f"{100 * low:+.2f} to {100 * high:+.2f}",
        ],
    ]


def robustness_sentence(result: Robustness) -> str:
    """Says which rows changed sides."""
    flips, untouched = result.flips, result.rows - result.changed_rows
    return (
        f"{flips.lost} right answers became wrong and {flips.gained} wrong ones right "
        f"(McNemar p = {flips.p_value:.2g}); {untouched} of {result.rows} rows are as they were."
    )
