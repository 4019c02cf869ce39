"""The metrics of a task, from the rows themselves: those of its classes, and of its questions if it has any."""

from __future__ import annotations

import numpy as np

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.errors import DataError
from tellapart.evaluation.metrics import classification_metrics
from tellapart.evaluation.ranking import WithoutPositive, ranking_metrics

RELEVANT = 1
"""The class id of relevant rows in ranking tasks: the second of two, as for the metric `f1`."""


def is_ranking(labels: LabelSpace, split: TextSplit) -> bool:
    """Whether the rows are answers to be ranked by question: question ids, two classes, one label a row."""
    return split.question_ids is not None and not labels.multi_label and len(labels) == 2


def task_metrics(
    labels: LabelSpace,
    split: TextSplit,
    logits: np.ndarray,
    thresholds: float | np.ndarray = 0.5,
    *,
    without_positive: WithoutPositive = "skip",
) -> dict[str, float]:
    """Computes every metric of a task.

    Ranking tasks rank by the probability of the second class. It grows with the difference of the two logits,
    and that is what is compared: probabilities near 1 would round to ties.

    Args:
        labels: The classes.
        split: The rows, labelled.
        logits: (N, K), in the order of the rows.
        thresholds: Multi-label only, see `tellapart.evaluation.metrics.predicted_ids`.
        without_positive: Ranking only, see `tellapart.evaluation.ranking.ranking_metrics`.

    Returns:
        The metrics of `metric_names(labels, ranking=is_ranking(labels, split))`, in that order. Shares are 0 to 1.

    Raises:
        DataError: The rows are unlabelled or none, have a label that is not one of `labels`, or cannot be ranked.
        ModelError: A logit is NaN or infinite.
        RecipeError: `without_positive` is unknown.
    """
    if split.labels is None:
        raise DataError("the rows to evaluate have no labels", "give a split that has labelled rows")
    gold = labels.encode(split.labels)
    metrics = classification_metrics(labels, gold, logits, thresholds)
    if not is_ranking(labels, split):
        return metrics
    assert split.question_ids is not None
    exact = np.asarray(logits, dtype=np.float64)  # before the difference, which lower precision would round
    margins = exact[:, RELEVANT] - exact[:, 1 - RELEVANT]
    ranked = ranking_metrics(margins, gold == RELEVANT, split.question_ids, without_positive=without_positive)
    return ranked | metrics
