"""Cosine similarities, masks of pairs, and masked means, for objectives over pairs of rows."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Different = Literal["not_identical", "disjoint"]

ZERO_LENGTH = 1e-8  # rows without an entry above this count as zero vectors


def cosine_similarities(vectors: Tensor) -> Tensor:
    """Returns the cosine of every pair of rows.

    The cosines of a zero vector are 0, also with itself, and its gradient is finite.

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
    # Scaling by a constant changes neither the direction nor its gradient, and keeps the squares within the range
    # of the type.
    vectors = vectors / torch.where(has_direction, largest, 1.0)
    lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / torch.where(has_direction, lengths, 1.0)


def pair_masks(labels: Tensor, different: Different = "not_identical") -> tuple[Tensor, Tensor]:
    """Returns masks of the pairs of rows with different and with the same labels.

    Args:
        labels: Class ids, int64 (B,); or multi-hot (B, K).
        different: When two label sets count as different: `not_identical`, or `disjoint` (no label in common, as
            for two rows without labels). No effect on class ids.

    Returns:
        Two bool masks (B, B), `different` and `same`: each pair of two rows is in one of them, the diagonal in
        neither.
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
    """Selects columns for each row among its candidates.

    Args:
        candidates: bool (B, B).
        count: Number of columns per row, or `all`; a row with fewer candidates takes all of them.
        scores: Scores whose highest are selected, float (B, B); None samples uniformly without replacement, from
            the default generator of the candidates' device.

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
    """Returns the mean of the values under a mask; 0, still part of the graph, where the mask is empty.

    Args:
        values: Finite everywhere, of any shape.
        mask: bool, of the same shape.
        dim: The dimension to reduce; None reduces all.
    """
    return torch.where(mask, values, 0.0).sum(dim) / mask.sum(dim).clamp_min(1)


def log_softmax_over_others(logits: Tensor) -> Tensor:
    """Returns the log-softmax of each row over all columns except the diagonal.

    Args:
        logits: float (B, B).

    Returns:
        float (B, B); the diagonal is the lowest finite number, so that times a target of 0 it is 0, not NaN.
    """
    itself = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    return logits.masked_fill(itself, torch.finfo(logits.dtype).min).log_softmax(dim=1)
