"""Permutations of any size that are computed number by number, without an array of them.

A Feistel network over as many bits as the size needs, with cycle walking: numbers outside the size are mapped again
until they fall inside (Black and Rogaway 2002, Ciphers with arbitrary finite domains).
"""

from __future__ import annotations

import numpy as np

from tellapart.pretraining.counters import STEP, key, mixed

# Each round replaces one half. Four rounds make a permutation look random (Luby and Rackoff 1988) where halves have
# many bits; small sizes, whose halves have one or two, need more.
_ROUNDS = 12

_PURPOSE = 0x5EED  # keys differ from those of masks


class KeyedPermutation:
    """A permutation of 0 … size - 1 as a pure function of the size and of some integers.

    Memory and time per number are constant, whatever the size.

    Args:
        size: Number of elements, at least 1.
        numbers: Integers that choose the permutation, such as the seed and the epoch.
    """

    def __init__(self, size: int, *numbers: int) -> None:
        if size < 1:
            raise ValueError(f"a permutation of {size} elements")
        self.size = size
        bits = max(1, (size - 1).bit_length())
        self._low_bits = np.uint64(bits // 2)
        self._low = np.uint64((1 << bits // 2) - 1)
        self._high = np.uint64((1 << (bits - bits // 2)) - 1)
        counters = np.arange(1, _ROUNDS + 1, dtype=np.uint64)
        self._keys = mixed(key(_PURPOSE, *numbers) + counters * STEP)

    def __call__(self, places: np.ndarray) -> np.ndarray:
        """Returns the elements at some places of the permutation.

        Args:
            places: Integers from 0 to size - 1, of any shape.

        Returns:
            The elements, int64 of the same shape.
        """
        given = np.asarray(places, dtype=np.int64)
        found = self._network(given.ravel().view(np.uint64))
        outside = np.flatnonzero(found >= np.uint64(self.size))
        while len(outside):
            again = self._network(found[outside])
            found[outside] = again
            outside = outside[again >= np.uint64(self.size)]
        return found.view(np.int64).reshape(given.shape)

    def _network(self, numbers: np.ndarray) -> np.ndarray:
        """Permutes all numbers of the network's bits; at most twice as many as `size`."""
        high, low = numbers >> self._low_bits, numbers & self._low
        for number in range(0, _ROUNDS, 2):
            high = high ^ (mixed(low * STEP + self._keys[number]) & self._high)
            low = low ^ (mixed(high * STEP + self._keys[number + 1]) & self._low)
        return (high << self._low_bits) | low
