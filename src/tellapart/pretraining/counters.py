"""Counter-based random numbers: pure functions of a key and a counter, equal on every platform.

Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3. The hash is SplitMix64's finaliser (Steele, Lea and
Flood 2014, Fast splittable pseudorandom number generators).
"""

from __future__ import annotations

import numpy as np

STEP = np.uint64(0x9E3779B97F4A7C15)
"""Increment of SplitMix64: counters are multiplied by it before they are hashed."""

_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def mixed(numbers: np.ndarray) -> np.ndarray:
    """Hashes 64-bit numbers with SplitMix64's finaliser, uint64 of any shape."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * _FIRST
    numbers = (numbers ^ (numbers >> np.uint64(27))) * _SECOND
    return numbers ^ (numbers >> np.uint64(31))


def key(*numbers: int) -> np.ndarray:
    """Returns the key of some integers, such as a seed and an epoch, uint64 (1,)."""
    hashed = np.zeros(1, dtype=np.uint64)
    for number in numbers:
        hashed = mixed(hashed + np.array([number], dtype=np.int64).view(np.uint64) * STEP + STEP)
    return hashed
