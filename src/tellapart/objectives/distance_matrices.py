"""Distances between classes: made by hand, from an order, from a hierarchy, or counted from confusions.

A distance multiplies the similarity of two rows, so the larger it is, the harder an objective pushes the two
classes apart; 1 is the plain objective and 0 leaves the pair alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import takewhile
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from tellapart.errors import RecipeError

Normalise = Literal["max", "none"]


def as_distance_matrix(matrix: Tensor | Sequence[Sequence[float]]) -> Tensor:
    """Checks a matrix that the user gave.

    Args:
        matrix: (K, K), finite and not negative; symmetric or not: row i holds the distances that anchors of
            class i see.

    Returns:
        float32 (K, K).

    Raises:
        RecipeError: It is not square, or has an entry that is negative or not finite.
    """
    try:
        distances = torch.as_tensor(matrix, dtype=torch.float32).detach().clone()
    except (TypeError, ValueError) as error:
        raise RecipeError(
            f"a label distance is no matrix of numbers ({error})", "give K rows of K numbers"
        ) from error
    if distances.dim() != 2 or distances.shape[0] != distances.shape[1]:
        raise RecipeError(
            f"a label distance has the shape {tuple(distances.shape)}",
            "give a square matrix, one row and one column a class",
        )
    if not torch.isfinite(distances).all() or (distances < 0).any():
        raise RecipeError(
            "a label distance has an entry that is negative or not finite",
            "use 1 for an ordinary pair, more to push it apart harder, 0 to leave it alone",
        )
    return distances


def check_size(matrix: Tensor, num_labels: int) -> None:
    """Raises RecipeError unless `matrix` is (K, K) for the task's K = `num_labels`."""
    if len(matrix) != num_labels:
        raise RecipeError(
            f"a label distance is for {len(matrix)} classes, but the task has {num_labels}",
            "give one row and one column a class, in the order of the model's outputs",
        )


def static_distance(num_labels: int, pairs: Sequence[tuple[int, int]], tau: float = 5.0) -> Tensor:
    """Sets chosen pairs of classes apart.

    Args:
        num_labels: K.
        pairs: Class ids of the pairs to push apart harder.
        tau: Their distance; every other pair has 1.

    Returns:
        float32 (K, K), symmetric, diagonal 1.

    Raises:
        RecipeError: A pair is not two different ids below K.
    """
    chosen = torch.zeros(num_labels, num_labels)
    for pair in pairs:
        if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= set(range(num_labels)):
            raise RecipeError(
                f"{tuple(pair)} is no pair of classes",
                f"give two different class ids from 0 to {num_labels - 1}",
            )
        chosen[pair[0], pair[1]] = chosen[pair[1], pair[0]] = 1.0
    return _spread(chosen, tau)


def ordinal_distance(num_labels: int, tau: float = 5.0, order: Sequence[int] | None = None) -> Tensor:
    """Lets the distance grow linearly along an order, such as from negative to positive.

    With `tau` above 1 classes far apart are pushed harder than neighbours, which may stay alike; with `tau`
    below 1 it is the neighbours that are pushed harder.

    Args:
        num_labels: K.
        tau: The distance from the first to the last class.
        order: The class ids from first to last; None takes them as they are numbered.

    Returns:
        float32 (K, K), symmetric, `1 + (tau - 1) |i - j| / (K - 1)`.

    Raises:
        RecipeError: `order` does not name every class once.
    """
    if order is None:
        order = range(num_labels)
    if sorted(order) != list(range(num_labels)):
        raise RecipeError(
            f"the order {list(order)} does not name each of the {num_labels} classes once",
            f"list the class ids 0 to {num_labels - 1} from first to last",
        )
    positions = torch.argsort(torch.tensor(order)).float()
    return _spread((positions[:, None] - positions[None, :]).abs(), tau)


def hierarchy_distance(paths: Sequence[Sequence[str]], tau: float = 5.0) -> Tensor:
    """Lets the distance grow with the number of steps between two classes in a tree.

    With `tau` above 1 distant branches are pushed apart harder than siblings; below 1 it is the siblings.

    Args:
        paths: The levels of each class from the root down, such as `["rec", "sport", "hockey"]`, K of them.
        tau: The distance of the two classes farthest apart.

    Returns:
        float32 (K, K), symmetric, diagonal 1.

    Raises:
        RecipeError: A path is a text rather than a list of levels.
    """
    for path in paths:
        if isinstance(path, str):
            raise RecipeError(f'the path "{path}" is a text', 'list its levels, such as ["rec", "autos"]')
    return _spread(torch.tensor([[_steps(one, other) for other in paths] for one in paths]).float(), tau)


def _steps(one: Sequence[str], other: Sequence[str]) -> int:
    shared = sum(1 for _ in takewhile(lambda levels: levels[0] == levels[1], zip(one, other, strict=False)))
    return len(one) + len(other) - 2 * shared


def counted_distance(confusion: Tensor, tau: float = 5.0, normalise: Normalise = "max") -> Tensor:
    """Turns a confusion matrix into distances: the more confused, the farther (Algorithm 1, lines 6 and 7).

    Args:
        confusion: Counts over all K classes (K, K), rows are gold; a class without rows is never confused.
        tau: The distance of the most confused pair.
        normalise: `max` takes the share of each gold class that was predicted as the other, the mean of both
            directions, relative to the largest such share; pairs that are never confused have 1. `none` takes
            the counts themselves, the mean of both directions and at least 1, as printed in the paper: they
            saturate the softmax.

    Returns:
        float32 (K, K), symmetric, diagonal 1.
    """
    confused = confusion.float()
    if normalise == "max":
        rows = confused.sum(dim=1, keepdim=True)
        confused = confused / torch.where(rows > 0, rows, 1.0)
    confused = ((confused + confused.T) / 2).fill_diagonal_(0.0)
    return _spread(confused, tau) if normalise == "max" else confused.clamp_min(1.0)


def updated_distance(old: Tensor, counted: Tensor, epsilon: float) -> Tensor:
    """Moves the distances towards newly counted ones (Algorithm 1, line 10, its two matrices told apart).

    Args:
        old: (K, K).
        counted: (K, K).
        epsilon: The share of the way to go: 0 keeps `old`, 1 gives `counted`.
    """
    return (counted - old) * epsilon + old


def pair_distances(labels: Tensor, matrix: Tensor) -> Tensor:
    """Looks up the distance of every pair of rows (Eq. 7).

    For sets of labels it is the mean over the pairs of a label of the one and a label of the other. A row
    without labels counts as of a class of its own, at distance 1 from all.

    Args:
        labels: Class ids, int64 (B,); or multi-hot (B, K).
        matrix: (K, K).

    Returns:
        (B, B), of the type of `matrix`.
    """
    if labels.dim() == 1:
        return matrix[labels][:, labels]
    members = torch.cat([labels, 1 - labels.amax(dim=1, keepdim=True)], dim=1).to(matrix.dtype)  # (B, K + 1)
    shares = members / members.sum(dim=1, keepdim=True)
    return shares @ functional.pad(matrix, (0, 1, 0, 1), value=1.0) @ shares.T


def _spread(amounts: Tensor, tau: float) -> Tensor:
    """Maps amounts linearly to distances: 0 to 1, the largest to tau."""
    if not 0 <= tau < math.inf:
        raise RecipeError(
            f"tau is {tau}", "give the largest label distance, a number from 0 up, usually above 1"
        )
    return 1.0 + (tau - 1.0) * amounts / amounts.max().clamp_min(torch.finfo(amounts.dtype).tiny)
