"""Pseudo-labels: which unlabelled texts a classifier's predictions are trusted on, and a report of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.data.unlabelled import known_classes
from tellapart.evaluation.metrics import predicted_ids, probabilities


@dataclass(frozen=True)
class PseudoLabels:
    """The unlabelled texts that are used, with what the classifier predicts for them.

    Args:
        split: The n texts, with the predicted labels as names.
        targets: The predicted probabilities, float64 (n, K); rows of single-label tasks sum to 1.
        report: The content of a round in `metrics.json`, see `pseudo_labelled`.
    """

    split: TextSplit
    targets: np.ndarray
    report: dict[str, Any]


def pseudo_labelled(
    texts: TextSplit,
    labels: LabelSpace,
    logits: np.ndarray,
    *,
    share: float,
    balanced: bool,
    of_each: bool = False,
    thresholds: float | np.ndarray = 0.5,
) -> PseudoLabels:
    """Labels unlabelled texts by a classifier's predictions and selects the most confident ones.

    The confidence is the probability of the predicted class; for several labels per text, that of the predicted set
    of labels, with labels independent of each other.

    The report has `texts` (N), `used` (n), `mean_confidence`, and `per_class`, the number of used texts by predicted
    class. If labels are known, `known_labels` has the number of used `rows` with a label that is a class, their
    `accuracy`, and `accuracy_of_all` over all N texts with one: the share of rows whose predicted class (set of
    labels) is the known one. Known labels affect nothing else.

    Args:
        texts: The N texts; labels, if there are any, are only compared with.
        labels: The K classes.
        logits: (N, K), calibrated.
        share: Share of the texts to use, above 0 and up to 1.
        balanced: Whether the classes are balanced, see `select_confident`.
        of_each: Whether the share is taken of each class, see `select_confident`.
        thresholds: Multi-label only: the thresholds on probabilities, a number or (K,).
    """
    chances = probabilities(labels, logits)
    predicted = predicted_ids(labels, logits, thresholds)
    confidence = predicted_probability(chances, predicted)
    main = chances.argmax(axis=1) if labels.multi_label else predicted
    rows = select_confident(confidence, main, share, balanced=balanced, of_each=of_each)
    names = _named(predicted, labels)
    used = Counter(name for row in rows for name in (names[row] if labels.multi_label else [names[row]]))
    report: dict[str, Any] = {
        "texts": len(texts),
        "used": len(rows),
        "mean_confidence": float(confidence[rows].mean()),
        "per_class": {name: used[name] for name in labels.names},
    }
    known = known_classes(texts, labels.names)
    if known[rows].any():
        sets = texts.label_sets()
        found = [frozenset(name if labels.multi_label else [name]) for name in names]
        right = np.array([found[row] == sets[row] for row in range(len(texts))])
        report["known_labels"] = {
            "rows": int(known[rows].sum()),
            "accuracy": float(right[rows][known[rows]].mean()),
            "accuracy_of_all": float(right[known].mean()),
        }
    chosen = texts.select(rows)
    split = TextSplit(chosen.texts, chosen.text_pairs, [names[row] for row in rows], chosen.question_ids)
    return PseudoLabels(split, chances[rows], report)


def predicted_probability(chances: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Returns the probability of each prediction (N,): of a class, or of a set of independent labels.

    Args:
        chances: Probabilities (N, K).
        predicted: Class ids (N,), or multi-hot (N, K).
    """
    if predicted.ndim == 1:
        return chances[np.arange(len(chances)), predicted]
    return np.where(predicted > 0, chances, 1 - chances).prod(axis=1)


def select_confident(
    confidence: np.ndarray, predicted: np.ndarray, share: float, *, balanced: bool, of_each: bool = False
) -> np.ndarray:
    """Selects a share of the rows, the most confident ones: of all rows, or evenly or in proportion of the classes.

    Balanced, the numbers of two classes differ by at most 1, unless a class has no further rows: the equal quota of
    the classes is as high as the share allows, and what small classes leave of it is filled by the others. Within a
    class the most confident rows are taken, and of the classes' last rows again the most confident ones. Easy
    classes, whose texts all have a high confidence, thus cannot crowd out others.

    Args:
        confidence: (N,), N at least 1.
        predicted: Class ids (N,).
        share: Share of the N rows to select, above 0 and up to 1; at least one row is selected.
        balanced: Whether to select evenly.
        of_each: Whether to select the share of each predicted class instead; shares of small classes are rounded.

    Returns:
        The rows, int64, ascending. Of equally confident rows the earlier ones are taken.

    References:
        Zou et al. 2018, Unsupervised Domain Adaptation for Semantic Segmentation via Class-Balanced Self-Training,
        §4.2, has a share per class.
    """
    order = np.argsort(-confidence, kind="stable")  # most confident first
    if balanced or of_each:
        places = np.empty(len(order))  # place of each row within its class
        for label in np.unique(predicted):
            members = order[predicted[order] == label]
            places[members] = (np.arange(len(members)) + 0.5) / (len(members) if of_each else 1)
        order = order[np.argsort(places[order], kind="stable")]
    return np.sort(order[: max(1, round(share * len(order)))])


def _named(predicted: np.ndarray, labels: LabelSpace) -> list[Any]:
    """The names of predicted class ids (N,), or lists of names for multi-hot rows (N, K)."""
    if predicted.ndim == 1:
        return [labels.names[label] for label in predicted]
    return [[labels.names[label] for label in np.flatnonzero(row)] for row in predicted]
