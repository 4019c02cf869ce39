"""Confusion counts as sparse matrices: memory grows with the rows, not with the square of the classes."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import coo_array, csr_array, issparse, triu

DENSE_CLASSES = 256
"""Most classes with which confusion counts are written as a full list of lists."""

Confusions: TypeAlias = csr_array
"""Counts (K, K), rows are gold classes; without stored zeros or repeated cells, columns ascending."""


def count_cells(
    gold: ArrayLike, predicted: ArrayLike, classes: int, counts: ArrayLike | None = None
) -> Confusions:
    """Adds up cells of a confusion matrix.

    Args:
        gold: Gold class of each cell, int (C,).
        predicted: Predicted class of each cell, int (C,).
        classes: The number of classes K.
        counts: What each cell adds (C,); None for 1.
    """
    rows, columns = np.asarray(gold, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    values = np.ones(len(rows), dtype=np.int64) if counts is None else np.asarray(counts)
    return _canonical(coo_array((values, (rows, columns)), shape=(classes, classes)).tocsr())


def as_confusions(matrix: Any) -> Confusions:
    """Returns a matrix (K, K), dense or sparse, as sparse confusion counts."""
    return _canonical(csr_array(matrix if issparse(matrix) else np.asarray(matrix)))


def cells(matrix: Confusions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns gold class, predicted class and count of all cells that are not 0, each (C,), row by row."""
    listed = matrix.tocoo()
    return listed.row.astype(np.int64), listed.col.astype(np.int64), listed.data


def row_sums(matrix: Any) -> np.ndarray:
    """Returns the number of rows of each gold class, (K,)."""
    return np.asarray(matrix.sum(axis=1)).ravel()


def pair_sums(matrix: Confusions) -> Confusions:
    """Adds up both directions of each pair of classes, above the diagonal (K, K); hits are left out."""
    return _canonical(csr_array(triu(matrix + matrix.T, k=1)))


def values_at(matrix: Confusions, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Returns the entries of some cells, 0 where nothing is stored.

    Args:
        matrix: (K, K).
        rows: Row of each cell, int (C,).
        columns: Column of each cell, int (C,).
    """
    first, second, stored = cells(matrix)
    width = matrix.shape[1]
    known, wanted = first * width + second, np.asarray(rows, dtype=np.int64) * width + np.asarray(columns)
    if not len(known):
        return np.zeros(len(wanted), dtype=stored.dtype)
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[places] == wanted, stored[places], stored.dtype.type(0))


def among(matrix: Confusions, classes: np.ndarray) -> np.ndarray:
    """Returns the dense entries between some classes (C, C), in their order."""
    return matrix[classes][:, classes].toarray()


def to_json(matrix: Confusions) -> list[list[int]] | dict[str, Any]:
    """Returns the JSON form: lists of all cells up to `DENSE_CLASSES` classes, else those that are not 0."""
    classes = matrix.shape[0]
    if classes <= DENSE_CLASSES:
        return matrix.toarray().tolist()
    gold, predicted, counts = cells(matrix)
    return {
        "classes": classes,
        "gold": gold.tolist(),
        "predicted": predicted.tolist(),
        "counts": counts.tolist(),
    }


def from_json(written: Any) -> Confusions:
    """Reads either JSON form of `to_json`; a list of lists may be of any size."""
    if isinstance(written, dict):
        return count_cells(written["gold"], written["predicted"], written["classes"], written["counts"])
    return as_confusions(np.asarray(written, dtype=np.int64))


def _canonical(matrix: csr_array) -> csr_array:
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix
