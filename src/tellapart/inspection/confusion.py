"""Confusion matrices and the most confused pairs of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.sparse import csr_array
from scipy.spatial.distance import squareform

from tellapart.data.examples import LabelSpace
from tellapart.evaluation.confusions import (
    Confusions,
    among,
    as_confusions,
    cells,
    count_cells,
    pair_sums,
    row_sums,
    values_at,
)


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


def confusion_matrix(labels: LabelSpace, gold: np.ndarray, predicted: np.ndarray) -> Confusions:
    """Counts the rows of each gold class by predicted class.

    Single-label: entry (i, j) counts rows of class i predicted as j. Multi-label: entry (i, j) counts rows in
    which label i was missed and label j wrongly added, and entry (i, i) those in which label i was found.

    Args:
        labels: The K classes; absent classes keep their row and column.
        gold: Class ids (N,), or multi-hot (N, K).
        predicted: The same for the predictions.

    Returns:
        Sparse int64 (K, K), rows are gold.
    """
    if not labels.multi_label:
        return count_cells(gold, predicted, len(labels))
    wanted, given = np.asarray(gold) > 0, np.asarray(predicted) > 0
    missed = csr_array(wanted & ~given, dtype=np.int64)
    added = csr_array(given & ~wanted, dtype=np.int64)
    found = np.nonzero(wanted & given)[1]
    return as_confusions(missed.T @ added + count_cells(found, found, len(labels)))


def most_confused_pairs(
    matrix: Any, names: Sequence[str], top: int = 10, rows: np.ndarray | None = None
) -> list[ConfusedPair]:
    """Returns the pairs of classes with the most errors between them, in descending order.

    Args:
        matrix: Confusion counts (K, K), dense or sparse, rows are gold.
        names: The K classes.
        top: Maximum number of pairs; pairs without errors are left out.
        rows: Number of rows of each gold class (K,), where the matrix lacks some classes; None for its row sums.
    """
    counts = as_confusions(matrix)
    sizes = row_sums(counts) if rows is None else rows
    first, second = _ranked_pairs(counts, sizes)[:top].T
    columns = (first, second, values_at(counts, first, second), values_at(counts, second, first))
    return [
        ConfusedPair(
            names[a],
            names[b],
            int(forth),
            int(back),
            float((forth + back) / max(sizes[a] + sizes[b], 1)),
        )
        for a, b, forth, back in zip(*columns, strict=True)
    ]


def _ranked_pairs(matrix: Confusions, rows: np.ndarray) -> np.ndarray:
    """Returns the ids (P, 2) of the pairs with errors: most errors first, of equal counts the highest rate."""
    first, second, errors = cells(pair_sums(matrix))
    rates = errors / np.maximum(rows[first] + rows[second], 1)
    order = np.lexsort((-rates, -errors))
    return np.stack([first, second], axis=1)[order]


def row_shares(matrix: Any, classes: np.ndarray) -> np.ndarray:
    """Divides the entries between some classes by the sums of their whole rows.

    Args:
        matrix: Counts (K, K), dense or sparse.
        classes: Ids of C classes.

    Returns:
        float64 (C, C); a row without counts stays 0.
    """
    counts = as_confusions(matrix)
    return among(counts, classes) / np.maximum(row_sums(counts)[classes], 1)[:, None]


def look_alike_classes(matrix: Any, top: int, ranks: np.ndarray | None = None) -> np.ndarray:
    """Selects the classes to draw: those of the most similar pairs.

    Args:
        matrix: Square matrix (K, K), dense or sparse, whose off-diagonal entries grow with similarity.
        top: Maximum number of classes.
        ranks: Rank of each class in an order, int64 (K,), `LabelSpace.ranks`; None for unordered classes.

    Returns:
        int64 ids of all classes if K is at most `top`, else of `top` classes: both classes of the pairs of
        `most_confused_pairs`, from the first pair on. Ordered classes are in their order. Of the others, all K keep
        their order, and a selection is ordered by hierarchical clustering, so that similar classes are adjacent.
    """
    counts = as_confusions(matrix)
    classes = counts.shape[0]
    chosen = np.arange(classes) if classes <= top else classes_of_pairs(counts, top)
    if ranks is not None:
        return chosen[np.argsort(ranks[chosen])]
    if classes <= top or top < 3:
        return chosen
    entries = among(counts, chosen).astype(np.float64)
    likeness = entries + entries.T
    np.fill_diagonal(likeness, 0.0)
    distances = squareform(likeness.max() - likeness, checks=False)
    return chosen[leaves_list(linkage(distances, method="average", optimal_ordering=True))]


def classes_of_pairs(matrix: Any, top: int) -> np.ndarray:
    """Selects the classes of the most confused pairs.

    Args:
        matrix: Counts (K, K), dense or sparse.
        top: The number of classes.

    Returns:
        int64 ids of `top` classes, sorted: of every pair for which there is room, then the first others.
    """
    counts = as_confusions(matrix)
    chosen: set[int] = set()
    for a, b in _ranked_pairs(counts, row_sums(counts)).tolist():
        if len(chosen) + (a not in chosen) + (b not in chosen) <= top:
            chosen.update((a, b))
        if len(chosen) == top:
            break
    others = (one for one in range(counts.shape[0]) if one not in chosen)
    return np.sort(np.array([*chosen, *islice(others, top - len(chosen))], dtype=np.int64))
