"""Metrics of a task: classification, regression, and ranking by question."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.errors import DataError
from tellapart.evaluation.metrics import METRICS, classification_metrics, finite_logits, metric_label
from tellapart.evaluation.ranking import WithoutPositive, ranking_metrics

RELEVANT = 1
"""The class id of relevant rows in ranking tasks: the second of two, as for the metric `f1`."""


def is_ranking(labels: LabelSpace, split: TextSplit) -> bool:
    """Whether rows are ranked by question: they have question ids and two classes, and are not multi-label."""
    return split.question_ids is not None and not labels.multi_label and len(labels) == 2


def task_metrics(
    labels: LabelSpace,
    split: TextSplit,
    logits: np.ndarray,
    thresholds: float | np.ndarray = 0.5,
    *,
    without_positive: WithoutPositive = "skip",
) -> dict[str, float]:
    """Computes all metrics of a task.

    Ranking tasks rank by the difference of the two logits, which orders rows like the probability of the second class
    but does not round to ties near 1.

    Args:
        labels: The classes.
        split: The rows, labelled.
        logits: (N, K), in the order of the rows; predicted targets (N, 1) for regression.
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
    if labels.regression:
        return regression_metrics(gold, logits)
    metrics = classification_metrics(labels, gold, logits, thresholds)
    if not is_ranking(labels, split):
        return metrics
    assert split.question_ids is not None
    exact = np.asarray(logits, dtype=np.float64)  # before the difference, which lower precision would round
    margins = exact[:, RELEVANT] - exact[:, 1 - RELEVANT]
    ranked = ranking_metrics(margins, gold == RELEVANT, split.question_ids, without_positive=without_positive)
    return ranked | metrics


def regression_metrics(gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Computes the metrics of numeric targets.

    Args:
        gold: The gold targets (N,).
        predicted: The predicted targets, (N,) or (N, 1), in the same unit.

    Returns:
        Pearson's and Spearman's correlation (ties get their mean rank), mean squared and mean absolute error. A
        correlation is 0 where it is undefined, because either side is constant.

    Raises:
        DataError: There are no rows.
        ModelError: A prediction is NaN or infinite.
    """
    from scipy.stats import rankdata  # only now: other tasks do not need it

    gold = np.asarray(gold, dtype=np.float64)
    if len(gold) == 0:
        raise DataError("there are no rows to evaluate", "give a split that has labelled rows")
    predicted = finite_logits(predicted).reshape(len(gold))
    differences = predicted - gold
    return {
        "pearson_correlation": _correlation(gold, predicted),
        "spearman_correlation": _correlation(rankdata(gold), rankdata(predicted)),
        "mean_squared_error": float((differences**2).mean()),
        "mean_absolute_error": float(np.abs(differences).mean()),
    }


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's correlation of two columns (N,); 0 where it is undefined, where SciPy would warn."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def unseen_rows(train: TextSplit, split: TextSplit) -> np.ndarray:
    """Finds rows whose text is not in train, ignoring case and white space.

    With question ids, a question counts as seen as a whole if any of its rows is in train; otherwise a part of it
    would be ranked separately.

    Args:
        train: The training rows.
        split: The rows to evaluate.

    Returns:
        bool (N,), one per row of `split`.
    """
    known = set(train.keys())
    seen = np.fromiter((key in known for key in split.keys()), bool, len(split))  # noqa: SIM118  no dict
    if split.question_ids is not None:
        questions = {question for question, row in zip(split.question_ids, seen, strict=True) if row}
        seen = np.fromiter((question in questions for question in split.question_ids), bool, len(split))
    return ~seen


def unseen_metrics(
    labels: LabelSpace,
    train: TextSplit,
    split: TextSplit,
    logits: np.ndarray,
    thresholds: float | np.ndarray = 0.5,
    *,
    without_positive: WithoutPositive = "skip",
) -> dict[str, float] | None:
    """Computes the metrics on rows whose text is not in train.

    Args:
        labels: The classes.
        train: The training rows.
        split: The rows to evaluate, labelled.
        logits: (N, K), in the order of `split`.
        thresholds: Multi-label only, see `tellapart.evaluation.metrics.predicted_ids`.
        without_positive: Ranking only, see `tellapart.evaluation.ranking.ranking_metrics`.

    Returns:
        `rows`, the number of these rows, then their metrics as in `task_metrics`; None if no row is in train. Only
        `rows` if every row is in train, or the others cannot be ranked.
    """
    unseen = np.flatnonzero(unseen_rows(train, split))
    if len(unseen) == len(split):
        return None
    rows: dict[str, float] = {"rows": len(unseen)}
    try:
        own = task_metrics(
            labels, split.select(unseen), logits[unseen], thresholds, without_positive=without_positive
        )
    except DataError:  # no row is left, or no question with a correct answer
        return rows
    return rows | own


def seen_note(rows: int, unseen: Mapping[str, float], name: str = "test") -> str:
    """Formats how many evaluated rows are in train, and the main metric on the others.

    Args:
        rows: Number of evaluated rows.
        unseen: Result of `unseen_metrics`.
        name: Name of their split.
    """
    left = int(unseen["rows"])
    note = f"{rows - left} of {rows} {name} rows have a text that is also in train"
    main = next((metric for metric in unseen if metric in METRICS), None)
    if main is None:
        return note + "."
    return f"{note}; on the other {left}, {metric_label(main)} is {METRICS[main].display(unseen[main])}."
