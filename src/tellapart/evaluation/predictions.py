"""Tables of predictions: labels and probabilities, abstentions and prediction sets, or predicted targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.errors import UserError
from tellapart.evaluation.decision import Decision
from tellapart.evaluation.metrics import (
    finite_logits,
    predicted_ids,
    probabilities,
)

PREDICTED, PROBABILITY, PREDICTED_SCORE = "predicted_label", "probability", "predicted_score"
SECOND, MARGIN, DECISION, SET = "second_label", "margin", "decision", "prediction_set"
ACCEPTED, ABSTAINED = "accepted", "abstained"

_DECIMALS = 4  # of stored probabilities


def prediction_table(
    labels: LabelSpace, split: TextSplit, logits: np.ndarray, decision: Decision
) -> pa.Table:
    """Returns texts, gold labels and predictions as a table."""
    columns: dict[str, Any] = {}
    if split.question_ids is not None:
        columns["question_id"] = split.question_ids
    columns["text"] = split.texts
    if split.text_pairs is not None:
        columns["text_pair"] = split.text_pairs
    if split.labels is not None:
        columns["label"] = split.labels
    return pa.table(columns | added_columns(labels, logits, decision))


def added_columns(
    labels: LabelSpace, logits: np.ndarray, decision: Decision, *, margin: bool = False, top_k: int = 0
) -> dict[str, pa.Array]:
    """Returns the columns of `predict`.

    Args:
        labels: The K classes.
        logits: (N, K), calibrated.
        decision: How logits become labels; with abstention and prediction sets, `decision` and `prediction_set` are
            added.
        margin: Whether to add `second_label`, the most probable other class, and `margin`, the difference of the two
            probabilities.
        top_k: Number of most probable labels to add, as `top_1_label`, `top_1_probability` and so on.

    Returns:
        `predicted_label` and `probability`, or `predicted_score`; then the others.

    Raises:
        UserError: The task has no second class or no `top_k` classes.
    """
    _check_asked(labels, margin, top_k)
    if labels.regression:
        return {PREDICTED_SCORE: _column(finite_logits(logits)[:, 0])}
    columns = _predicted(labels, logits, decision)
    if not (margin or top_k or decision.abstention or decision.conformal):
        return columns
    names, chances = _text_column(labels.names), probabilities(labels, logits)
    order = most_probable(logits, max(top_k, 2 if margin else 0))
    highest = np.take_along_axis(chances, order, axis=1)
    if margin:
        columns[SECOND] = names.take(_column(order[:, 1]))
        columns[MARGIN] = _column(highest[:, 0] - highest[:, 1])
    if decision.abstention is not None:
        accepted = decision.abstention.accepts(logits)
        columns[DECISION] = _text_column((ABSTAINED, ACCEPTED)).take(_column(accepted.astype(np.int64)))
    if decision.conformal is not None:
        sizes = decision.conformal.members(chances).sum(axis=1)
        ranked = most_probable(logits, sizes.max(initial=0))
        inside = np.arange(ranked.shape[1]) < sizes[:, None]
        columns[SET] = _list_column(sizes, names.take(_column(ranked[inside])))
    for place in range(top_k):
        columns[f"top_{place + 1}_label"] = names.take(_column(order[:, place]))
        columns[f"top_{place + 1}_probability"] = _column(highest[:, place])
    return columns


def most_probable(logits: np.ndarray, count: int) -> np.ndarray:
    """Finds the classes with the highest logits; logits tell apart what probabilities round to ties.

    Args:
        logits: (N, K).
        count: Number of classes C per row, at most K.

    Returns:
        Class ids, the most probable first, of equal ones the lowest id first; int64 (N, C).

    Raises:
        ModelError: A logit is not finite.
    """
    exact = finite_logits(logits)
    if 4 * count > exact.shape[1]:  # where sorting whole rows is faster
        return np.argsort(-exact, axis=1, kind="stable")[:, :count]
    left, rows = exact.copy(), np.arange(len(exact))
    found = np.empty((len(exact), count), dtype=np.int64)
    for place in range(count):
        found[:, place] = left.argmax(axis=1)
        left[rows, found[:, place]] = -np.inf
    return found


def _check_asked(labels: LabelSpace, margin: bool, top_k: int) -> None:
    if labels.regression and (margin or top_k):
        raise UserError(
            "the model predicts numbers, and has no most probable classes", "leave the option out"
        )
    if margin and labels.multi_label:
        raise UserError(
            "a text can have several labels, so that none is the second", "use --top-k (in Python top_k)"
        )
    wanted = max(top_k, 2 if margin else 0)
    if wanted > len(labels):
        raise UserError(f"the model has {len(labels)} classes, and {wanted} are asked for", "ask for fewer")


def _predicted(labels: LabelSpace, logits: np.ndarray, decision: Decision) -> dict[str, pa.Array]:
    """Returns `predicted_label` and `probability`, lists where a text can have several labels."""
    if labels.multi_label:
        chosen = predicted_ids(labels, logits, decision.applied_thresholds) > 0
        sizes, chances = chosen.sum(axis=1), probabilities(labels, logits)[chosen]
        members = _text_column(labels.names).take(_column(np.nonzero(chosen)[1]))
        return {
            PREDICTED: _list_column(sizes, members),
            PROBABILITY: _list_column(sizes, _column(chances)),
        }
    chances, chosen = probabilities(labels, logits), predicted_ids(labels, logits)
    return {
        PREDICTED: _text_column(labels.names).take(_column(chosen)),
        PROBABILITY: _column(chances[np.arange(len(chosen)), chosen]),
    }


def _column(values: np.ndarray) -> pa.Array:
    """Returns numbers (N,) as an Arrow array. `pa.array` would import pandas, which takes half a second."""
    memory = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, memory])


def _text_column(texts: Sequence[str]) -> pa.Array:
    """As `_column`, for texts."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))


def _list_column(sizes: np.ndarray, values: pa.Array) -> pa.Array:
    """Returns a column of lists.

    Args:
        sizes: Number of values of each row (N,).
        values: The values of all rows, one row after the other.
    """
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return pa.ListArray.from_arrays(_column(ends), values)


def predicted_columns(
    labels: LabelSpace, logits: np.ndarray, thresholds: float | np.ndarray = 0.5
) -> tuple[list, list]:
    """Returns predicted labels and their probabilities, for classification.

    In multi-label tasks both are lists over the labels whose probability reaches the threshold.
    """
    chances = probabilities(labels, logits)
    chosen = predicted_ids(labels, logits, thresholds)
    names = np.asarray(labels.names, dtype=object)
    if not labels.multi_label:
        return names[chosen].tolist(), chances[np.arange(len(chosen)), chosen].tolist()
    masks = chosen.astype(bool)
    return [names[mask].tolist() for mask in masks], [
        row[mask].tolist() for row, mask in zip(chances, masks, strict=True)
    ]


@dataclass(frozen=True)
class WrongRows:
    """The wrongly predicted rows of a split, as columns of equal length W.

    Args:
        rows: Row numbers in the split, ascending.
        predicted: The ids of the predicted classes: one, or any number in multi-label tasks.
        probability: Probability of the predicted class, 0 to 1; of several the highest, without any 0.
        second: The runner-up: id of the most probable class that is not predicted; None without any.
        second_probability: Its probability; None without any.
    """

    rows: list[int]
    predicted: list[list[int]]
    probability: list[float]
    second: list[int | None]
    second_probability: list[float | None]


def wrong_rows(
    labels: LabelSpace, gold: np.ndarray, logits: np.ndarray, thresholds: float | np.ndarray = 0.5
) -> WrongRows:
    """Finds the wrong predictions of a classification task, each with its runner-up.

    Args:
        labels: The K classes.
        gold: Class ids (N,), or multi-hot (N, K).
        logits: (N, K).
        thresholds: Multi-label only: decision thresholds on probabilities, a number or (K,).

    Raises:
        ModelError: A logit is not finite.
    """
    ids = predicted_ids(labels, logits, thresholds)
    wrong = np.flatnonzero((ids != gold).any(axis=1) if labels.multi_label else ids != gold)
    chances = probabilities(labels, np.asarray(logits)[wrong])
    chosen = ids[wrong] > 0 if labels.multi_label else np.eye(len(labels), dtype=bool)[ids[wrong]]
    highest = np.where(chosen, chances, 0.0).max(axis=1, initial=0.0)
    others = np.where(chosen, -1.0, chances)
    second = others.argmax(axis=1)
    return WrongRows(
        rows=wrong.tolist(),
        predicted=[np.flatnonzero(mask).tolist() for mask in chosen],
        probability=highest.round(_DECIMALS).tolist(),
        second=[None if mask.all() else int(place) for mask, place in zip(chosen, second, strict=True)],
        second_probability=[
            None if chance < 0 else round(float(chance), _DECIMALS) for chance in others.max(axis=1)
        ],
    )
