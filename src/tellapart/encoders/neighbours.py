"""Nearest neighbours by cosine among many vectors: exact in blocks, or by an index where there are very many."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tellapart.encoders.precision import default_device
from tellapart.errors import MissingDependencyError

EXACT_ROWS = 200_000
"""Up to this number of rows all pairs are compared: some minutes on two cores."""

_PROBES = 32  # of the index's cells, about 4 √N, that are searched for each row
_SAMPLE = 64  # rows per cell from which the cells' centres are learned

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
    Up to `EXACT_ROWS` all pairs are compared: the time grows with N², memory only with N · `count`. For more rows
    faiss's inverted file compares each with those of the nearest cells: a few neighbours may be missed, cosines are
    rounded to 16 bits, and the index takes 2 · N · d bytes.

    Args:
        vectors: (M, d), in memory or mapped from disk.
        count: Neighbours per row; fewer if there are fewer rows.
        rows: The N rows to search and to be found, ascending; by default all.
        progress: Called with the number of rows done.

    Returns:
        Neighbours as places in `rows`.

    Raises:
        MissingDependencyError: There are more than `EXACT_ROWS` rows, and faiss is not installed.
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

    def unit(places: np.ndarray) -> Tensor:
        block = np.asarray(vectors[numbers[places]], dtype=np.float32) - mean
        return torch.nn.functional.normalize(torch.from_numpy(block).to(device))

    held: dict[int, Tensor] = {}

    def unit_held(places: np.ndarray) -> Tensor:
        """As `unit`, and holds the vectors: copying them to a GPU again takes longer than their products."""
        if int(places[0]) not in held:
            held[int(places[0])] = unit(places)
        return held[int(places[0])]

    if len(numbers) > EXACT_ROWS:
        _by_index(unit, found, progress)
    else:
        others = unit if device == "cpu" else unit_held
        for block in _blocks(len(numbers), _QUERIES):
            found.rows[block], found.cosines[block] = _exact(unit, others, block, len(numbers), count)
            if progress is not None:
                progress(len(block))
    return found


def _blocks(rows: int, size: int) -> Iterator[np.ndarray]:
    """Yields the places of all rows, in order, in arrays of a size."""
    for start in range(0, rows, size):
        yield np.arange(start, min(start + size, rows))


def _exact(
    unit: Callable[[np.ndarray], Tensor],
    unit_others: Callable[[np.ndarray], Tensor],
    block: np.ndarray,
    rows: int,
    count: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Compares the rows of a block with all rows; returns places and cosines, (len(block), count)."""
    queries = unit(block)
    own = torch.from_numpy(block).to(queries.device)
    best = torch.full((len(queries), count), -torch.inf, device=queries.device)
    places = torch.zeros((len(queries), count), dtype=torch.int64, device=queries.device)
    for others in _blocks(rows, _OTHERS):
        cosines = queries @ unit_others(others).T
        if block[0] <= others[-1] and others[0] <= block[-1]:
            itself = own - int(others[0])
            inside = ((itself >= 0) & (itself < cosines.shape[1])).nonzero().squeeze(1)
            cosines[inside, itself[inside]] = -torch.inf
        nearest, among = cosines.topk(min(count, cosines.shape[1]))
        best, order = torch.cat([best, nearest], 1).topk(count)
        places = torch.cat([places, among + int(others[0])], 1).gather(1, order)
    return places.cpu().numpy(), best.cpu().numpy()


def _by_index(
    unit: Callable[[np.ndarray], Tensor], found: Neighbours, progress: Callable[[int], object] | None
) -> None:
    """Fills in the neighbours from an inverted file; rows for which it finds too few are compared with all."""
    check_index(len(found.rows))
    import faiss

    rows, count = found.rows.shape
    cells = max(1, int(4 * np.sqrt(rows)))
    sample = np.sort(np.random.default_rng(0).permutation(rows)[: _SAMPLE * cells])
    size = unit(sample[:1]).shape[1]
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(size), size, cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.train(unit(sample).cpu().numpy())
    index.nprobe = min(_PROBES, cells)
    for block in _blocks(rows, _OTHERS):
        index.add(unit(block).cpu().numpy())
    for block in _blocks(rows, _QUERIES):
        cosines, places = index.search(unit(block).cpu().numpy(), count + 1)
        # The row itself is not always the first one: copies have the same cosine.
        cosines[(places == block[:, None]) | (places < 0)] = -np.inf
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
        found.rows[block] = np.take_along_axis(places, order, axis=1)
        found.cosines[block] = np.take_along_axis(cosines, order, axis=1)
        few = block[~np.isfinite(found.cosines[block]).all(axis=1)]
        if len(few):
            found.rows[few], found.cosines[few] = _exact(unit, unit, few, rows, count)
        if progress is not None:
            progress(len(block))


def check_index(rows: int) -> None:
    """Raises `MissingDependencyError` if an index is needed for so many rows, and faiss is not installed."""
    if rows > EXACT_ROWS and importlib.util.find_spec("faiss") is None:
        raise MissingDependencyError("faiss-cpu", "audit", f"an audit of more than {EXACT_ROWS:,} texts")


def _mean(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns the mean vector (d,) of some rows, float32."""
    total = np.zeros(vectors.shape[1])
    for start in range(0, len(rows), _OTHERS):
        total += np.asarray(vectors[rows[start : start + _OTHERS]], dtype=np.float64).sum(0)
    return (total / len(rows)).astype(np.float32)
