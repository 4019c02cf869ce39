"""Which classes are taken for which: confusion matrices and the pairs that stand out in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import confusion_matrix as count_confusions

from tellapart.data.examples import LabelSpace


@dataclass(frozen=True)
class ConfusedPair:
    """Two classes that are taken for each other.

    Args:
        a: A class.
        b: Another class.
        a_as_b: Rows of a that were predicted as b.
        b_as_a: Rows of b that were predicted as a.
        rate: Both counts as a share of the rows of both classes, 0 to 1.
    """

    a: str
    b: str
    a_as_b: int
    b_as_a: int
    rate: float

    @property
    def errors(self) -> int:
        """Rows of either class that were predicted as the other."""
        return self.a_as_b + self.b_as_a


def confusion_matrix(labels: LabelSpace, gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Counts what was predicted for what.

    Single-label: entry (i, j) counts rows of class i predicted as j. Multi-label: entry (i, j) counts rows in
    which label i was missed and label j wrongly added, and entry (i, i) those in which label i was found.

    Args:
        labels: The K classes; those that do not occur keep their row and column.
        gold: Class ids (N,), or multi-hot (N, K).
        predicted: The same for the predictions.

    Returns:
        int64 (K, K), rows are gold.
    """
    if not labels.multi_label:
        return count_confusions(gold, predicted, labels=range(len(labels))).astype(np.int64)
    wanted, given = np.asarray(gold) > 0, np.asarray(predicted) > 0
    missed, added = wanted & ~given, given & ~wanted
    matrix = missed.T.astype(np.float64) @ added  # in floats for the fast product; its diagonal is 0
    np.fill_diagonal(matrix, (wanted & given).sum(axis=0))
    return matrix.astype(np.int64)


def most_confused_pairs(matrix: np.ndarray, names: Sequence[str], top: int = 10) -> list[ConfusedPair]:
    """Returns the pairs of classes with the most errors between them, the worst first.

    Args:
        matrix: Confusion counts (K, K), rows are gold.
        names: The K classes.
        top: At most so many pairs; pairs without errors are left out.
    """
    counts = np.asarray(matrix)
    rows_of_both = counts.sum(axis=1)[:, None] + counts.sum(axis=1)[None, :]
    errors = np.triu(counts + counts.T, k=1)
    rates = errors / np.maximum(rows_of_both, 1)
    first, second = np.nonzero(errors)
    worst = np.lexsort((-rates[first, second], -errors[first, second]))[:top]
    return [
        ConfusedPair(names[a], names[b], int(counts[a, b]), int(counts[b, a]), float(rates[a, b]))
        for a, b in zip(first[worst], second[worst], strict=True)
    ]


def row_shares(matrix: np.ndarray) -> np.ndarray:
    """Divides each row by its sum, float64 (K, K); a row without counts stays 0."""
    counts = np.asarray(matrix, dtype=np.float64)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def look_alike_classes(matrix: np.ndarray, top: int) -> np.ndarray:
    """Chooses the classes that a picture has room for.

    Args:
        matrix: Any square matrix (K, K) whose entries off the diagonal grow with likeness.
        top: How many classes there is room for.

    Returns:
        int64 ids: all K in their own order if there is room; else the `top` with the largest sums off the
        diagonal, ordered so that classes alike stand side by side.
    """
    likeness = np.asarray(matrix, dtype=np.float64) + np.asarray(matrix, dtype=np.float64).T
    np.fill_diagonal(likeness, 0.0)
    if len(likeness) <= top:
        return np.arange(len(likeness))
    chosen = np.sort(np.argsort(-likeness.sum(axis=1), kind="stable")[:top])
    if top < 3:
        return chosen
    among = likeness[np.ix_(chosen, chosen)]
    distances = squareform(among.max() - among, checks=False)
    return chosen[leaves_list(linkage(distances, method="average", optimal_ordering=True))]
