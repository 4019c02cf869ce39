"""Distance matrices of classes: given, from an order or a hierarchy, or from confusion counts.

A distance multiplies the similarity of two rows: the larger it is, the harder an objective pushes the two classes
apart; 1 is the plain objective and 0 does not push them.
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

MOST_CLASSES = 5_000
"""Most classes of a distance matrix, which then takes 100 MB."""


def as_distance_matrix(matrix: Tensor | Sequence[Sequence[float]]) -> Tensor:
    """Checks a distance matrix given by the user.

    Args:
        matrix: (K, K), finite and not negative; symmetric or not: row i has the distances for anchors of
            class i.

    Returns:
        float32 (K, K).

    Raises:
        RecipeError: The matrix is not square, or has an entry that is negative or not finite.
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
            "give a square matrix, one row and one column per class",
        )
    if not torch.isfinite(distances).all() or (distances < 0).any():
        raise RecipeError(
            "a label distance has an entry that is negative or not finite",
            "use 1 for an ordinary pair, more to push it apart harder, 0 not to push it",
        )
    return distances


def check_classes(num_labels: int) -> None:
    """Raises RecipeError for more classes than `MOST_CLASSES`."""
    if num_labels > MOST_CLASSES:
        raise RecipeError(
            f"a label distance needs a matrix of all pairs of classes, at most {MOST_CLASSES:,}, and the task has "
            f"{num_labels:,}",
            "use another method: cross-entropy, contrast or negative-supervision",
        )


def check_size(matrix: Tensor, num_labels: int) -> None:
    """Raises RecipeError unless `matrix` is (K, K) for the task's K = `num_labels`."""
    if len(matrix) != num_labels:
        raise RecipeError(
            f"a label distance is for {len(matrix)} classes, but the task has {num_labels}",
            "give one row and one column per class, in the order of the model's outputs",
        )


def static_distance(num_labels: int, pairs: Sequence[tuple[int, int]], tau: float = 5.0) -> Tensor:
    """Returns distance tau for chosen pairs of classes, 1 for all others.

    Args:
        num_labels: K.
        pairs: Class ids of the chosen pairs.
        tau: Their distance.

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
    """Returns distances that grow linearly along an order, such as from negative to positive.

    With `tau` above 1 classes far apart are pushed harder than neighbours; with `tau` below 1 neighbours are
    pushed harder.

    Args:
        num_labels: K.
        tau: The distance from the first to the last class.
        order: The class ids from first to last; None for 0 to K − 1.

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
    """Returns distances that grow linearly with the number of steps between two classes in a tree.

    With `tau` above 1 distant branches are pushed apart harder than siblings; below 1 siblings are pushed harder.

    Args:
        paths: The levels of each class from the root down, such as `["rec", "sport", "hockey"]`, K of them.
        tau: The distance of the two classes farthest apart.

    Returns:
        float32 (K, K), symmetric, diagonal 1.

    Raises:
        RecipeError: A path is a string instead of a list of levels.
    """
    for path in paths:
        if isinstance(path, str):
            raise RecipeError(f'the path "{path}" is a string', 'list its levels, such as ["rec", "autos"]')
    return _spread(torch.tensor([[_steps(one, other) for other in paths] for one in paths]).float(), tau)


def _steps(one: Sequence[str], other: Sequence[str]) -> int:
    shared = sum(1 for _ in takewhile(lambda levels: levels[0] == levels[1], zip(one, other, strict=False)))
    return len(one) + len(other) - 2 * shared


def counted_distance(confusion: Tensor, tau: float = 5.0, normalise: Normalise = "max") -> Tensor:
    """Returns distances that grow with the confusion of two classes (Algorithm 1, lines 6 and 7).

    Args:
        confusion: Counts over all K classes (K, K), rows are gold; a class without rows is never confused.
        tau: The distance of the most confused pair.
        normalise: `max` takes the share of each gold class predicted as the other, averaged over both directions,
            relative to the largest such share; pairs that are never confused have 1. `none` takes the counts,
            averaged over both directions and at least 1, as printed in the paper: they saturate the softmax.

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
    """Interpolates between the old and the newly counted distances (Algorithm 1, line 10).

    Args:
        old: (K, K).
        counted: (K, K).
        epsilon: Weight of `counted`: 0 keeps `old`, 1 gives `counted`.
    """
    return (counted - old) * epsilon + old


def pair_distances(labels: Tensor, matrix: Tensor) -> Tensor:
    """Returns the distance of every pair of rows (Eq. 7).

    For label sets it is the mean over all pairs of a label of one row and a label of the other. A row without
    labels counts as a class of its own, at distance 1 from all classes.

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
