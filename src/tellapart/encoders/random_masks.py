"""Masks of random elements on CPUs, from 16 random bits an element.

One 64-bit number decides four elements. NumPy's fastest generator draws them, in half the time of torch's; torch's
gives the seed of each mask. More threads do not help: torch's own wait busily for their next operation, on the same
cores.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

LEVELS = 1 << 16
"""In which steps a rate counts."""

_PIECE = 1 << 16
"""Numbers that are drawn at a time: what is made of them stays in a core's cache."""


def random_mask(shape: torch.Size, dropped: int, kept: int) -> Tensor:
    """Returns an int16 mask: `kept` where an element stays, 0 where it goes.

    Args:
        shape: Of the mask.
        dropped: Of 65,536 elements, how many go on average; 1 to 65,535.
        kept: 1; or −1, which has all bits set.
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
    """Makes 0 or `kept` of 16 random bits each; `bits` is overwritten."""
    # By integer arithmetic: comparing, and multiplying by what a comparison gives, take several times as long.
    last_dropped = dropped - (LEVELS >> 1) - 1
    np.clip(bits, last_dropped, last_dropped + 1, out=bits)
    if kept > 0:
        np.subtract(bits, last_dropped, out=out)
    else:
        np.subtract(last_dropped, bits, out=out)
