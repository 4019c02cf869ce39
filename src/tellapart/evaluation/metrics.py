"""Metrics of classification from logits, and the registry of all metrics; scikit-learn is imported when needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from scipy.special import expit, log_softmax, softmax

from tellapart.data.examples import LabelSpace
from tellapart.errors import DataError, ModelError, RecipeError, did_you_mean
from tellapart.evaluation.calibration import CALIBRATION_BINS, calibration_error


@dataclass(frozen=True)
class Metric:
    """Direction and unit of a metric.

    Args:
        description: Description for help texts.
        greater_is_better: The direction of improvement.
        percentage: Whether it is a share, stored as 0 to 1 and shown times 100.
        bounds: Smallest and largest possible value.
    """

    description: str
    greater_is_better: bool = True
    percentage: bool = True
    bounds: tuple[float, float] = (0.0, 1.0)

    @property
    def best(self) -> float:
        """The best possible value: 1 for accuracy, 0 for the mean squared error."""
        return self.bounds[self.greater_is_better]

    @property
    def scale(self) -> int:
        """Factor by which values are multiplied in figures: 100 for shares."""
        return 100 if self.percentage else 1

    def display(self, value: float, signed: bool = False) -> str:
        """Formats a value for tables: shares times 100 with two decimals, others with four."""
        sign = "+" if signed else ""
        return f"{100 * value:{sign}.2f}" if self.percentage else f"{value:{sign}.4f}"

    def display_interval(self, interval: tuple[float, float] | None, signed: bool = False) -> str:
        """Formats an interval for tables; empty for None."""
        return "" if interval is None else " to ".join(self.display(bound, signed) for bound in interval)


_CORRELATION = (-1.0, 1.0)
_ERROR = (0.0, float("inf"))

METRICS: dict[str, Metric] = {
    "mean_average_precision": Metric("mean over questions of the average precision of the relevant rows"),
    "mean_reciprocal_rank": Metric("mean over questions of 1/rank of the first relevant row"),
    "precision_at_1": Metric("share of the questions whose first row is relevant"),
    "pearson_correlation": Metric("linear correlation of gold and predicted targets", bounds=_CORRELATION),
    "spearman_correlation": Metric(
        "correlation of the ranks of gold and predicted targets", bounds=_CORRELATION
    ),
    "mean_squared_error": Metric(
        "mean squared difference of predicted and gold targets",
        greater_is_better=False,
        percentage=False,
        bounds=_ERROR,
    ),
    "accuracy": Metric("share of rows whose class is predicted"),
    "macro_f1": Metric("mean F1 of all classes"),
    "weighted_f1": Metric("mean F1 of the classes, weighted by their rows"),
    "macro_precision": Metric("mean precision of all classes"),
    "macro_recall": Metric("mean recall of all classes"),
    "log_loss": Metric(
        "mean negative log probability of the gold class",
        greater_is_better=False,
        percentage=False,
        bounds=_ERROR,
    ),
    "expected_calibration_error": Metric(
        f"mean gap between confidence and accuracy over {CALIBRATION_BINS} bins", greater_is_better=False
    ),
    "quadratic_kappa": Metric(
        "agreement beyond chance, errors weighted by the square of their ranks' distance",
        percentage=False,
        bounds=_CORRELATION,
    ),
    "mean_absolute_error": Metric(
        "mean distance of the predicted from the gold class in ranks, or of predicted from gold targets",
        greater_is_better=False,
        percentage=False,
        bounds=_ERROR,
    ),
    "f1": Metric("F1 of the second of two classes; for answers to questions the mean F1 of their words"),
    "matthews_correlation": Metric(
        "correlation of gold and predicted class, two classes", bounds=_CORRELATION
    ),
    "micro_f1": Metric("F1 over all decisions on a label"),
    "micro_precision": Metric("share of the predicted labels that are gold"),
    "micro_recall": Metric("share of the gold labels that are predicted"),
    "samples_f1": Metric("mean F1 of the rows' label sets"),
    "exact_match": Metric("share of rows whose label set, or whose answer, is predicted exactly"),
    "hamming_loss": Metric("share of wrong decisions on a label", greater_is_better=False),
    "iteration_level": Metric("share of the sequences in which a wrong prediction is a synonym"),
    "prediction_level": Metric("share of the wrong predictions that are synonyms"),
    "exact_match_before": Metric("exact match on the questions that an attack changes, before it"),
    "exact_match_after": Metric("the same after the attack"),
    "exact_match_lost": Metric("the decrease", greater_is_better=False, bounds=_CORRELATION),
    "f1_before": Metric("mean F1 of the answers to the questions that an attack changes, before it"),
    "f1_after": Metric("the same after the attack"),
    "f1_lost": Metric("the decrease", greater_is_better=False, bounds=_CORRELATION),
    "changed_questions": Metric("share of the questions that an attack changes"),
    "coverage": Metric("share of the rows on which the model does not abstain"),
    "selective_risk": Metric("share of the accepted rows that are wrong", greater_is_better=False),
    "risk_coverage_area": Metric("mean share of wrong rows over all coverages", greater_is_better=False),
    "out_of_scope_auroc": Metric("probability that a row of the classes scores above an out-of-scope row"),
    "out_of_scope_fpr": Metric("share of out-of-scope rows at 95 % recall", greater_is_better=False),
    "out_of_scope_accepted": Metric("share of out-of-scope rows accepted", greater_is_better=False),
}
"""Every metric that tellapart reports, by name."""

RANKING_METRICS = ("mean_average_precision", "mean_reciprocal_rank", "precision_at_1")
_REGRESSION = ("pearson_correlation", "spearman_correlation", "mean_squared_error", "mean_absolute_error")
_SINGLE_LABEL = (
    "accuracy",
    "macro_f1",
    "weighted_f1",
    "macro_precision",
    "macro_recall",
    "log_loss",
    "expected_calibration_error",
)
_ORDERED = ("quadratic_kappa", "mean_absolute_error")
_TWO_CLASSES = ("f1", "matthews_correlation")
_MULTI_LABEL = (
    "micro_f1",
    "macro_f1",
    "weighted_f1",
    "micro_precision",
    "micro_recall",
    "samples_f1",
    "exact_match",
    "hamming_loss",
    "expected_calibration_error",
)


class ClassMetrics(TypedDict):
    """Name, number of gold rows, precision, recall and F1 of one class."""

    name: str
    support: int
    precision: float
    recall: float
    f1: float


def main_metric(labels: LabelSpace, ranking: bool = False) -> str:
    """Returns the default metric for model selection and comparisons.

    Args:
        labels: The classes.
        ranking: Whether rows are ranked by question, see `tellapart.evaluation.task.is_ranking`.
    """
    if ranking:
        return "mean_average_precision"
    if labels.regression:
        return "pearson_correlation"
    return "micro_f1" if labels.multi_label else "accuracy"


def metric_names(labels: LabelSpace, ranking: bool = False) -> tuple[str, ...]:
    """Returns the names of the metrics of a task, the main one first.

    Args:
        labels: The classes.
        ranking: Whether rows are ranked by question, see `tellapart.evaluation.task.is_ranking`. If not, the
            names are those of `classification_metrics` or `regression_metrics`.
    """
    if labels.regression:
        return _REGRESSION
    if labels.multi_label:
        return _MULTI_LABEL
    ordered = _ORDERED if labels.order is not None else ()
    two = _TWO_CLASSES if len(labels) == 2 else ()
    return (RANKING_METRICS if ranking else ()) + _SINGLE_LABEL + ordered + two


def find_metric(labels: LabelSpace, name: str, ranking: bool = False) -> Metric:
    """Looks up a metric of the task by name.

    Args:
        labels: The classes.
        name: Its name in `METRICS`.
        ranking: Whether rows are ranked by question.

    Raises:
        RecipeError: The task has no metric of that name.
    """
    known = metric_names(labels, ranking)
    if name not in known:
        raise RecipeError(
            f'this task has no metric "{name}"' + did_you_mean(name, known), "use one of " + ", ".join(known)
        )
    return METRICS[name]


def metric_label(name: str) -> str:
    """Returns a metric's name as a heading, with its unit: `macro f1 (%)`."""
    return name.replace("_", " ") + (" (%)" if METRICS[name].percentage else "")


def probabilities(labels: LabelSpace, logits: np.ndarray) -> np.ndarray:
    """Turns logits into probabilities: softmax over the classes, or a sigmoid per label when `multi_label`.

    Args:
        labels: The classes.
        logits: (N, K), any float type.

    Returns:
        float64 (N, K).

    Raises:
        ModelError: A logit is NaN or infinite.
    """
    finite = finite_logits(logits)
    return expit(finite) if labels.multi_label else softmax(finite, axis=1)


def finite_logits(logits: np.ndarray) -> np.ndarray:
    """Converts logits of any shape and float type to float64 and checks that they are finite.

    Raises:
        ModelError: One is NaN or infinite.
    """
    exact = np.asarray(logits, dtype=np.float64)
    if not np.isfinite(exact).all():
        raise ModelError(
            "the model's logits are not finite numbers, so training has diverged",
            "lower the learning rate, or train in float32",
        )
    return exact


def predicted_ids(labels: LabelSpace, logits: np.ndarray, thresholds: float | np.ndarray = 0.5) -> np.ndarray:
    """Predicts classes from logits.

    Args:
        labels: The classes.
        logits: (N, K).
        thresholds: Multi-label only: the probability from which a label is predicted, for all labels or
            one a label (K,). Default 0.5.

    Returns:
        Class ids, int64 (N,); or multi-hot, int64 (N, K).

    Raises:
        ModelError: A logit is NaN or infinite.
    """
    if labels.multi_label:
        return (probabilities(labels, logits) >= thresholds).astype(np.int64)
    return finite_logits(logits).argmax(axis=1)


def classification_metrics(
    labels: LabelSpace, gold: np.ndarray, logits: np.ndarray, thresholds: float | np.ndarray = 0.5
) -> dict[str, float]:
    """Computes all metrics of a task.

    Averages called `macro` run over all K classes: one without gold rows counts as 0 rather than leave the
    mean, so that figures from different splits can be compared.

    Args:
        labels: The classes.
        gold: Class ids (N,), or multi-hot (N, K).
        logits: (N, K).
        thresholds: Multi-label only, see `predicted_ids`.

    Returns:
        The metrics of `metric_names(labels)`, in that order. Shares are 0 to 1.

    Raises:
        DataError: There are no rows.
        ModelError: A logit is NaN or infinite.
    """
    gold = np.asarray(gold)
    if len(gold) == 0:
        raise DataError("there are no rows to evaluate", "give a split that has labelled rows")
    if labels.multi_label:
        gold = gold.astype(np.int64)
        return _multi_label_metrics(labels, gold, predicted_ids(labels, logits, thresholds), logits)
    return _single_label_metrics(labels, gold, finite_logits(logits))


def per_class(labels: LabelSpace, gold: np.ndarray, predicted: np.ndarray) -> list[ClassMetrics]:
    """Computes precision, recall and F1 of each class, in the order of `labels`.

    Args:
        labels: The classes.
        gold: Class ids (N,), or multi-hot (N, K).
        predicted: The same for the predictions.

    Returns:
        One entry per class; 0 / 0 counts as 0.
    """
    columns = zip(labels.names, *_per_class_columns(labels, gold, predicted), strict=True)
    return [
        ClassMetrics(
            name=name, support=int(support), precision=float(precision), recall=float(recall), f1=float(f1)
        )
        for name, precision, recall, f1, support in columns
    ]


def confidences(labels: LabelSpace, gold: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the confidence of each prediction and whether it is correct, for calibration.

    Args:
        labels: The classes.
        gold: Class ids (N,), or multi-hot (N, K).
        logits: (N, K).

    Returns:
        The probability of each row's most probable class and whether that is the gold one, both (N,). For several
        labels a row the probability of each label and whether it is gold, both (N · K,).
    """
    chances = probabilities(labels, logits)
    if labels.multi_label:
        return chances.ravel(), np.asarray(gold).ravel() > 0.5
    return chances.max(axis=1), finite_logits(logits).argmax(axis=1) == gold


def _single_label_metrics(labels: LabelSpace, gold: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import matthews_corrcoef

    predicted = logits.argmax(axis=1)
    log_probabilities = log_softmax(logits, axis=1)  # (N, K); unlike a log of probabilities, not clipped
    precision, recall, f1, support = _per_class_columns(labels, gold, predicted)
    metrics = {
        "accuracy": (predicted == gold).mean(),
        "macro_f1": f1.mean(),
        "weighted_f1": np.average(f1, weights=support),
        "macro_precision": precision.mean(),
        "macro_recall": recall.mean(),
        "log_loss": -log_probabilities[np.arange(len(gold)), gold].mean(),
        "expected_calibration_error": calibration_error(*confidences(labels, gold, logits)),
    }
    if labels.ranks is not None:
        metrics |= _ordered_metrics(labels.ranks[gold], labels.ranks[predicted])
    if len(labels) == 2:
        metrics["f1"] = f1[1]
        one_class = np.unique([gold, predicted]).size == 1  # undefined, and scikit-learn would warn
        metrics["matthews_correlation"] = 0.0 if one_class else matthews_corrcoef(gold, predicted)
    return {name: float(value) for name, value in metrics.items()}


def _ordered_metrics(gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Computes the metrics of ordered classes from their ranks."""
    # From moments: scikit-learn's cohen_kappa_score fills matrices of all pairs of classes.
    expected = gold.var() + predicted.var() + (gold.mean() - predicted.mean()) ** 2
    observed = ((gold - predicted) ** 2).mean()
    kappa = 1 - observed / expected if expected else 0.0  # undefined for a single class
    return {"quadratic_kappa": kappa, "mean_absolute_error": np.abs(gold - predicted).mean()}


def _multi_label_metrics(
    labels: LabelSpace, gold: np.ndarray, predicted: np.ndarray, logits: np.ndarray
) -> dict[str, float]:
    from sklearn.metrics import f1_score, precision_recall_fscore_support

    _, _, f1, support = _per_class_columns(labels, gold, predicted)
    micro_precision, micro_recall, micro_f1, _ = precision_recall_fscore_support(
        gold, predicted, average="micro", zero_division=0
    )
    metrics = {
        "micro_f1": micro_f1,
        "macro_f1": f1.mean(),
        "weighted_f1": f1 @ support / max(support.sum(), 1),
        "micro_precision": micro_precision,
        "micro_recall": micro_recall,
        # A row with neither gold nor predicted labels is correct, hence 1 for 0/0.
        "samples_f1": f1_score(gold, predicted, average="samples", zero_division=1),
        "exact_match": (gold == predicted).all(axis=1).mean(),
        "hamming_loss": (gold != predicted).mean(),
        "expected_calibration_error": calibration_error(*confidences(labels, gold, logits)),
    }
    return {name: float(value) for name, value in metrics.items()}


def _per_class_columns(
    labels: LabelSpace, gold: np.ndarray, predicted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns precision, recall, F1 and support, each (K,), whether or not a class occurs."""
    from sklearn.metrics import precision_recall_fscore_support

    return precision_recall_fscore_support(gold, predicted, labels=range(len(labels)), zero_division=0)
