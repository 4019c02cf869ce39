"""Tables of predictions: labels and probabilities, or predicted targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.evaluation.metrics import (
    finite_logits,
    predicted_ids,
    probabilities,
)

PREDICTED, PROBABILITY, PREDICTED_SCORE = "predicted_label", "probability", "predicted_score"


def prediction_table(
    labels: LabelSpace, split: TextSplit, logits: np.ndarray, thresholds: float | np.ndarray = 0.5
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
    return pa.table(columns | added_columns(labels, logits, thresholds))


def added_columns(
    labels: LabelSpace, logits: np.ndarray, thresholds: float | np.ndarray = 0.5
) -> dict[str, pa.Array]:
    """Returns the columns of `predict`: `predicted_label` and `probability`, or `predicted_score`."""
    if labels.regression:
        return {PREDICTED_SCORE: pa.array(finite_logits(logits)[:, 0])}
    predicted, probability = predicted_columns(labels, logits, thresholds)
    listed = labels.multi_label
    return {
        PREDICTED: pa.array(predicted, pa.list_(pa.string()) if listed else pa.string()),
        PROBABILITY: pa.array(probability, pa.list_(pa.float64()) if listed else pa.float64()),
    }


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
