"""Confusion matrices and the most confused pairs of classes."""

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
    """Two classes that are confused with each other.

    Args:
        a: The first class.
        b: The second class.
        a_as_b: Rows of class a predicted as b.
        b_as_a: Rows of class b predicted as a.
        rate: Sum of both counts as a share of the rows of both classes, 0 to 1.
    """

    a: str
    b: str
    a_as_b: int
    b_as_a: int
    rate: float

    @property
    def errors(self) -> int:
        """Rows of either class predicted as the other."""
        return self.a_as_b + self.b_as_a


def confusion_matrix(labels: LabelSpace, gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Counts the rows of each gold class by predicted class.

    Single-label: entry (i, j) counts rows of class i predicted as j. Multi-label: entry (i, j) counts rows in
    which label i was missed and label j wrongly added, and entry (i, i) those in which label i was found.

    Args:
        labels: The K classes; absent classes keep their row and column.
        gold: Class ids (N,), or multi-hot (N, K).
        predicted: The same for the predictions.

    Returns:
        int64 (K, K), rows are gold.
    """
    if not labels.multi_label:
        return count_confusions(gold, predicted, labels=range(len(labels))).astype(np.int64)
    wanted, given = np.asarray(gold) > 0, np.asarray(predicted) > 0
    missed, added = wanted & ~given, given & ~wanted
    matrix = missed.T.astype(np.float64) @ added  # float64 uses the fast matrix product; the diagonal is 0
    np.fill_diagonal(matrix, (wanted & given).sum(axis=0))
    return matrix.astype(np.int64)


def most_confused_pairs(matrix: np.ndarray, names: Sequence[str], top: int = 10) -> list[ConfusedPair]:
    """Returns the pairs of classes with the most errors between them, in descending order.

    Args:
        matrix: Confusion counts (K, K), rows are gold.
        names: The K classes.
        top: Maximum number of pairs; pairs without errors are left out.
    """
    counts = np.asarray(matrix)
    rows = counts.sum(axis=1)
    return [
        ConfusedPair(
            names[a],
            names[b],
            int(counts[a, b]),
            int(counts[b, a]),
            float((counts[a, b] + counts[b, a]) / max(rows[a] + rows[b], 1)),
        )
        for a, b in _ranked_pairs(counts)[:top]
    ]


def _ranked_pairs(matrix: np.ndarray) -> np.ndarray:
    """Returns the ids (P, 2) of the pairs with errors: most errors first, of equal counts the highest rate."""
    rows = matrix.sum(axis=1)
    errors = np.triu(matrix + matrix.T, k=1)
    rates = errors / np.maximum(rows[:, None] + rows[None, :], 1)
    first, second = np.nonzero(errors)
    order = np.lexsort((-rates[first, second], -errors[first, second]))
    return np.stack([first, second], axis=1)[order]


def row_shares(matrix: np.ndarray) -> np.ndarray:
    """Divides each row by its sum, float64 (K, K); a row without counts stays 0."""
    counts = np.asarray(matrix, dtype=np.float64)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def look_alike_classes(matrix: np.ndarray, top: int, ranks: np.ndarray | None = None) -> np.ndarray:
    """Selects the classes to draw: those of the most similar pairs.

    Args:
        matrix: Square matrix (K, K) whose off-diagonal entries grow with similarity.
        top: Maximum number of classes.
        ranks: Rank of each class in an order, int64 (K,), `LabelSpace.ranks`; None for unordered classes.

    Returns:
        int64 ids of all classes if K is at most `top`, else of `top` classes: both classes of the pairs of
        `most_confused_pairs`, from the first pair on. Ordered classes are in their order. Of the others, all K keep
        their order, and a selection is ordered by hierarchical clustering, so that similar classes are adjacent.
    """
    likeness = np.asarray(matrix, dtype=np.float64) + np.asarray(matrix, dtype=np.float64).T
    np.fill_diagonal(likeness, 0.0)
    classes = len(likeness)
    chosen = np.arange(classes) if classes <= top else _classes_of_pairs(matrix, top)
    if ranks is not None:
        return chosen[np.argsort(ranks[chosen])]
    if classes <= top or top < 3:
        return chosen
    among = likeness[np.ix_(chosen, chosen)]
    distances = squareform(among.max() - among, checks=False)
    return chosen[leaves_list(linkage(distances, method="average", optimal_ordering=True))]


def _classes_of_pairs(matrix: np.ndarray, top: int) -> np.ndarray:
    """Returns the ids of `top` classes, sorted: of every pair for which there is room, then the first others."""
    chosen: set[int] = set()
    for pair in _ranked_pairs(np.asarray(matrix)).tolist():
        if len(chosen.union(pair)) <= top:
            chosen.update(pair)
        if len(chosen) == top:
            break
    others = [one for one in range(len(matrix)) if one not in chosen]
    return np.sort(np.array([*chosen, *others[: top - len(chosen)]], dtype=np.int64))
