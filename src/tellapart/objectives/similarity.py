"""What the objectives over pairs of rows share: cosines, which pairs count, and means over those pairs."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Different = Literal["not_identical", "disjoint"]

ZERO_LENGTH = 1e-8  # a row with no entry above this has no direction


def cosine_similarities(vectors: Tensor) -> Tensor:
    """Returns the cosine of every pair of rows.

    A zero vector has no direction: its cosines are 0, with itself too, and its gradient is finite.

    Args:
        vectors: float (B, d).

    Returns:
        float (B, B), symmetric.
    """
    units = _unit_vectors(vectors)
    return units @ units.T


def _unit_vectors(vectors: Tensor) -> Tensor:
    largest = vectors.detach().abs().amax(dim=1, keepdim=True)
    has_direction = largest > ZERO_LENGTH
    # Directions do not depend on length: scaling by a constant changes neither them nor their gradient, and
    # keeps the squares within what the type can hold.
    vectors = vectors / torch.where(has_direction, largest, 1.0)
    lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / torch.where(has_direction, lengths, 1.0)


def pair_masks(labels: Tensor, different: Different = "not_identical") -> tuple[Tensor, Tensor]:
    """Tells for every pair of rows whether their labels differ or agree.

    Args:
        labels: Class ids, int64 (B,); or multi-hot (B, K).
        different: When two sets of labels differ: `not_identical`, or `disjoint` (no label in common, as for
            two rows without any label). Without effect on class ids.

    Returns:
        Two bool masks (B, B), `different` and `same`. Together they hold every pair of two rows once; the
        diagonal is in neither.
    """
    others = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    if labels.dim() == 1:
        differing = labels[:, None] != labels[None, :]
    elif different == "disjoint":
        differing = labels @ labels.T == 0
    else:
        differing = torch.cdist(labels, labels, p=0) > 0  # p = 0 counts the labels that differ
    return differing & others, ~differing & others


def choose(candidates: Tensor, count: int | Literal["all"], scores: Tensor | None = None) -> Tensor:
    """Chooses columns for every row among its candidates.

    Args:
        candidates: bool (B, B).
        count: How many columns a row takes; a row with fewer candidates takes those it has. Or `all`.
        scores: The highest are taken, float (B, B); None draws uniformly without replacement, from the
            default generator of the candidates' device.

    Returns:
        bool (B, B), a subset of `candidates`.
    """
    if count == "all":
        return candidates
    if scores is None:
        scores = torch.rand(candidates.shape, device=candidates.device)
    ranked = scores.detach().masked_fill(~candidates, -torch.inf)
    columns = ranked.topk(min(count, len(candidates)), dim=1).indices
    return torch.zeros_like(candidates).scatter(1, columns, True) & candidates


def mean_where(values: Tensor, mask: Tensor, dim: int | None = None) -> Tensor:
    """Returns the mean of the values under a mask; where there are none 0, still joined to the graph.

    Args:
        values: Finite everywhere, of any shape.
        mask: bool, of the same shape.
        dim: The dimension to reduce; None reduces all.
    """
    return torch.where(mask, values, 0.0).sum(dim) / mask.sum(dim).clamp_min(1)


def log_softmax_over_others(logits: Tensor) -> Tensor:
    """Returns the log-softmax of each row over all columns but its own.

    Args:
        logits: float (B, B).

    Returns:
        float (B, B); the diagonal is hugely negative, yet finite: times a target of 0 it must be 0, not NaN.
    """
    itself = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    return logits.masked_fill(itself, torch.finfo(logits.dtype).min).log_softmax(dim=1)
