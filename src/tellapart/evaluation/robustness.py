"""Robustness: predictions before and after an attack that preserves the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from tellapart.errors import DataError
from tellapart.evaluation.metrics import METRICS, metric_label
from tellapart.evaluation.significance import Flips, mcnemar, paired_share_interval
from tellapart.evaluation.trials import Interval

SCHEMA_VERSION = 1

Attack = Literal["swap-synonyms", "add-sentence"]
ATTACKS: tuple[Attack, ...] = get_args(Attack)
"""Attacks on texts; `add-sentence` is for extractive question answering in the format of SQuAD."""

EXAMPLES = 50
"""Maximum number of example rows of each kind."""


@dataclass(frozen=True)
class ChangedRow:
    """A row whose prediction became wrong or correct.

    Args:
        original: The original text.
        transformed: The attacked text.
        gold: The gold label or answer; all of several.
        before: Prediction for the original.
        after: Prediction for the attacked text.
    """

    original: str
    transformed: str
    gold: str
    before: str
    after: str


@dataclass(frozen=True)
class ChangedRows:
    """Effect of an attack on the rows that it changes.

    Args:
        before: Metric on their original texts.
        after: Metric on the attacked texts.
        difference: `after` − `before`.
        interval: Its 95 % confidence interval, as for all rows.
    """

    before: float
    after: float
    difference: float
    interval: Interval


@dataclass(frozen=True)
class Robustness:
    """Effect of an attack on a model.

    Args:
        attack: One of `ATTACKS`.
        settings: Settings of the attack.
        model: Path or name of the model.
        source: Source of the rows.
        rows: Evaluated rows.
        changed_rows: Rows changed by the attack; the others are evaluated unchanged.
        changes: Total number of changed or added words or sentences.
        metric: Name of the metric: the share of correct rows.
        before: Metric on all original rows.
        after: Metric on all rows after the attack, which leaves some unchanged.
        difference: `after` − `before`.
        interval: Its 95 % confidence interval, see `tellapart.evaluation.significance.paired_share_interval`.
        flips: Rows that became correct (gained) or wrong (lost), and McNemar's exact test on them.
        metrics_before: All metrics on the original rows.
        metrics_after: All metrics on the attacked rows.
        became_wrong: Examples of rows that became wrong.
        became_right: Examples of rows that became correct.
        changed: The same metric on the changed rows alone, where the attack is not diluted by the others; None if
            there are none.
        schema_version: Version of the JSON form.
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
    changed: ChangedRows | None = None
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form: dictionaries, lists, strings and numbers."""
        return asdict(self)


@dataclass(frozen=True)
class Answers:
    """A model's predictions for N rows.

    Args:
        texts: The texts.
        given: Predictions in readable form.
        correct: Whether each prediction is correct, bool (N,).
        metrics: All metrics.
    """

    texts: Sequence[str]
    given: Sequence[str]
    correct: np.ndarray
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
    """Compares the predictions for attacked texts with those for the original texts.

    Args:
        before: For the original texts.
        after: For the attacked texts of the same rows.
        gold: Gold label or answer of each row in readable form.
        changes: Number of changes per row; 0 for an unchanged one.
        attack: One of `ATTACKS`.
        settings: Settings of the attack; JSON values.
        model: Path or name of the model.
        source: Source of the rows.
        metric: Name of the share of correct rows.

    Raises:
        DataError: There are no rows.
    """
    if len(before.correct) == 0:
        raise DataError(f"{source} has no rows to transform", "give rows with labels or answers")
    was, is_now = np.asarray(before.correct, dtype=bool), np.asarray(after.correct, dtype=bool)
    attacked = np.asarray(changes) > 0

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
        **_effect(was, is_now),
        flips=mcnemar(was, is_now),
        metrics_before=dict(before.metrics),
        metrics_after=dict(after.metrics),
        became_wrong=rows(was & ~is_now),
        became_right=rows(is_now & ~was),
        changed=ChangedRows(**_effect(was[attacked], is_now[attacked])) if attacked.any() else None,
    )


def _effect(was: np.ndarray, is_now: np.ndarray) -> dict[str, Any]:
    """Returns the fields of `ChangedRows`, which `Robustness` has for all rows."""
    before, after = float(was.mean()), float(is_now.mean())
    return {
        "before": before,
        "after": after,
        "difference": after - before,
        "interval": paired_share_interval(was, is_now),
    }


def robustness_rows(result: Robustness) -> list[list[str]]:
    """Returns the metric on the changed rows and on all rows as a table; the first row is the header."""
    metric = METRICS[result.metric]
    parts: list[tuple[str, int, ChangedRows | Robustness]] = [("all rows", result.rows, result)]
    if result.changed is not None:
        parts.insert(0, ("changed rows", result.changed_rows, result.changed))
    return [
        ["", "rows", metric_label(result.metric), "after", "difference", "95 % interval"],
        *(
            [
                name,
                f"{rows:,}",
                metric.display(part.before),
                metric.display(part.after),
                metric.display(part.difference, signed=True),
                metric.display_interval(part.interval, signed=True),
            ]
            for name, rows, part in parts
        ),
    ]


def robustness_sentence(result: Robustness) -> str:
    """Summarises in one sentence how many predictions became wrong or correct."""
    flips, untouched = result.flips, result.rows - result.changed_rows
    return (
        f"{flips.lost} correct answers became wrong and {flips.gained} wrong ones correct "
        f"(McNemar p = {flips.p_value:.2g}); {untouched} of {result.rows} rows are unchanged."
    )
