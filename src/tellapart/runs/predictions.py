"""Logits as the columns of a table: labels and probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.evaluation.metrics import (
    predicted_ids,
    probabilities,
)


def prediction_table(
    labels: LabelSpace, split: TextSplit, logits: np.ndarray, thresholds: float | np.ndarray = 0.5
) -> pa.Table:
    """Returns texts, gold labels, predicted labels and probabilities as a table."""
    columns: dict[str, Any] = {}
    if split.question_ids is not None:
        columns["question_id"] = split.question_ids
    columns["text"] = split.texts
    if split.text_pairs is not None:
        columns["text_pair"] = split.text_pairs
    if split.labels is not None:
        columns["label"] = split.labels
    predicted, probability = predicted_columns(labels, logits, thresholds)
    return pa.table(columns | {"predicted_label": predicted, "probability": probability})


def predicted_columns(
    labels: LabelSpace, logits: np.ndarray, thresholds: float | np.ndarray = 0.5
) -> tuple[list, list]:
    """Returns what `predict` adds to a table: labels and their probabilities.

    For multi-label tasks both are lists, of the labels whose probability reaches the threshold.
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
