"""Projection head of contrastive objectives, which is trained with the encoder and never saved in the classifier."""

from __future__ import annotations

from torch import nn


def projection_head(hidden_size: int, size: int | None) -> nn.Module:
    """Returns Linear(d, d), ReLU, Linear(d, p), randomly initialised.

    Args:
        hidden_size: d, the width of the representation.
        size: p, the width of the projection; None for the identity, which has no parameters.
    """
    if size is None:
        return nn.Identity()
    return nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.ReLU(), nn.Linear(hidden_size, size))
