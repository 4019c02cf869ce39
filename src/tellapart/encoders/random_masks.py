"""Random masks of 16-bit integers for dropout on CPUs, from 16 random bits per element."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

LEVELS = 1 << 16
"""Resolution of a drop rate: it is a multiple of 1 / `LEVELS`."""

_PIECE = 1 << 16
"""Random numbers drawn at a time; the resulting part of the mask fits into a core's cache."""


def random_mask(shape: torch.Size, dropped: int, kept: int) -> Tensor:
    """Returns an int16 mask: `kept` for kept elements, 0 for dropped ones.

    Args:
        shape: Of the mask.
        dropped: Average number of dropped elements in 65,536; 1 to 65,535.
        kept: 1, or −1 (all bits set).
    """
    mask = torch.empty(shape, dtype=torch.int16)
    out = mask.view(-1).numpy()
    generator = np.random.SFC64(int(torch.empty((), dtype=torch.int64).random_(0, None)))
    for start in range(0, len(out), 4 * _PIECE):
        part = out[start : start + 4 * _PIECE]
        words = generator.random_raw(-(-len(part) // 4))
        _decide(words.view(np.int16)[: len(part)], part, dropped, kept)
    return mask


def _decide(bits: np.ndarray, out: np.ndarray, dropped: int, kept: int) -> None:
    """Writes 0 or `kept` for each 16 random bits; `bits` is overwritten."""
    # Integer arithmetic: a comparison and a product with its result take several times as long.
    last_dropped = dropped - (LEVELS >> 1) - 1
    np.clip(bits, last_dropped, last_dropped + 1, out=bits)
    if kept > 0:
        np.subtract(bits, last_dropped, out=out)
    else:
        np.subtract(last_dropped, bits, out=out)
