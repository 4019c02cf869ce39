"""Nearest neighbours by cosine among many vectors, exact, in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tellapart.encoders.precision import default_device

# Similarities of this many rows with so many others at once: 128 MiB, large enough for fast matrix products.
_QUERIES, _OTHERS = 2048, 16_384


class Neighbours(NamedTuple):
    """The nearest neighbours of each row, nearest first.

    Args:
        rows: Row numbers, int64 (N, k); never the row itself.
        cosines: float32 (N, k).
    """

    rows: np.ndarray
    cosines: np.ndarray


def nearest_neighbours(
    vectors: np.ndarray,
    count: int,
    *,
    rows: np.ndarray | None = None,
    progress: Callable[[int], object] | None = None,
) -> Neighbours:
    """Finds the nearest neighbours of each vector by the cosine after subtracting the mean vector.

    Without the mean, the vectors of many encoders all point in a similar direction, so that every cosine is large.
    All pairs are compared: the time grows with N², memory only with N · `count`.

    Args:
        vectors: (M, d), in memory or mapped from disk.
        count: Neighbours per row; fewer if there are fewer rows.
        rows: The N rows to search and to be found, ascending; by default all.
        progress: Called with the number of rows done.

    Returns:
        Neighbours as places in `rows`.
    """
    numbers = np.arange(len(vectors)) if rows is None else np.asarray(rows)
    count = max(0, min(count, len(numbers) - 1))
    found = Neighbours(
        np.empty((len(numbers), count), dtype=np.int64), np.empty((len(numbers), count), dtype=np.float32)
    )
    if not count:
        return found
    device = default_device()
    mean = _mean(vectors, numbers)

    def unit(start: int, size: int) -> Tensor:
        block = np.asarray(vectors[numbers[start : start + size]], dtype=np.float32) - mean
        return torch.nn.functional.normalize(torch.from_numpy(block).to(device))

    for start in range(0, len(numbers), _QUERIES):
        queries = unit(start, _QUERIES)
        own = torch.arange(start, start + len(queries), device=device)
        best = torch.full((len(queries), count), -torch.inf, device=device)
        places = torch.zeros((len(queries), count), dtype=torch.int64, device=device)
        for first in range(0, len(numbers), _OTHERS):
            cosines = queries @ unit(first, _OTHERS).T
            itself = own - first
            inside = (itself >= 0) & (itself < cosines.shape[1])
            cosines[inside, itself[inside]] = -torch.inf
            nearest, among = cosines.topk(min(count, cosines.shape[1]))
            best, order = torch.cat([best, nearest], 1).topk(count)
            places = torch.cat([places, among + first], 1).gather(1, order)
        found.rows[start : start + len(queries)] = places.cpu().numpy()
        found.cosines[start : start + len(queries)] = best.cpu().numpy()
        if progress is not None:
            progress(len(queries))
    return found


def _mean(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns the mean vector (d,) of some rows, float32."""
    total = np.zeros(vectors.shape[1])
    for start in range(0, len(rows), _OTHERS):
        total += np.asarray(vectors[rows[start : start + _OTHERS]], dtype=np.float64).sum(0)
    return (total / len(rows)).astype(np.float32)
