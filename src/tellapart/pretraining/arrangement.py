"""Arrangements of an epoch: which sequences each optimiser step has, as a pure function of seed, epoch and window.

An epoch is a sequence of windows. The sequences of a window are consecutive places of a keyed permutation of the
whole corpus, sorted by length and split into steps, which another keyed permutation puts in order within the window.
Memory is that of one window, whatever the size of the corpus.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

from tellapart.data.batches.batching import LengthBucketBatchSampler
from tellapart.pretraining.permutation import KeyedPermutation

_COUNTED = 16
"""Windows whose steps are counted; the number of steps of longer epochs is extrapolated."""


class Widths(Protocol):
    """Sequences of known length, such as a `Corpus`."""

    def __len__(self) -> int:
        """Number of sequences."""

    @property
    def mean_width(self) -> float:
        """Mean tokens per sequence, special tokens included."""

    def widths(self, rows: np.ndarray) -> np.ndarray:
        """Tokens of some sequences, special tokens included, int64 (B,)."""


@dataclass(frozen=True)
class StepSize:
    """How many sequences a step has on all ranks.

    Args:
        shares: Batches per step on all ranks; a step has at least as many sequences.
        batch_size: Sequences per batch.
        batch_tokens: Maximum tokens per batch, padding included, in place of `batch_size`; longer sequences exceed
            it.
        window: Steps per window.
    """

    shares: int = 1
    batch_size: int = 32
    batch_tokens: int | None = None
    window: int = 64

    @property
    def rows(self) -> int:
        """Sequences per step by `batch_size`."""
        return self.batch_size * self.shares

    @property
    def budget(self) -> int | None:
        """Tokens per step by `batch_tokens`."""
        return None if self.batch_tokens is None else self.batch_tokens * self.shares


class Arrangement(Protocol):
    """The steps of epochs, window by window."""

    @property
    def windows(self) -> int:
        """Windows per epoch."""

    @property
    def epoch_steps(self) -> int:
        """Steps of the first epoch; others have about as many."""

    def steps(self, epoch: int, window: int) -> list[np.ndarray]:
        """Returns the sequence numbers of each step of a window."""


class WindowedArrangement:
    """The arrangement of corpora of any size.

    Args:
        sequences: The sequences.
        size: How many of them a step has.
        seed: Seed of the arrangement.
    """

    def __init__(self, sequences: Widths, size: StepSize, seed: int = 0) -> None:
        self._sequences, self._size, self._seed = sequences, size, seed

    @cached_property
    def rows_per_window(self) -> int:
        """Sequences of a window; the last one of an epoch may have fewer."""
        size = self._size
        if size.budget is None:
            return size.rows * size.window
        return max(size.shares, math.ceil(size.window * size.budget / self._sequences.mean_width))

    @property
    def windows(self) -> int:
        """Windows per epoch."""
        return -(-len(self._sequences) // self.rows_per_window)

    @cached_property
    def epoch_steps(self) -> int:
        """Steps of the first epoch, by `batch_tokens` an estimate from its first windows if it has many."""
        if self._size.budget is None:
            full, rest = divmod(len(self._sequences), self._size.rows)
            return full + (rest >= self._size.shares)
        counted = min(self.windows, _COUNTED)
        found = sum(len(self.steps(0, window)) for window in range(counted))
        return (
            found
            if counted == self.windows
            else round(found * len(self._sequences) / (counted * self.rows_per_window))
        )

    def steps(self, epoch: int, window: int) -> list[np.ndarray]:
        """Returns the sequence numbers of each step of a window."""
        first = window * self.rows_per_window
        places = np.arange(first, min(first + self.rows_per_window, len(self._sequences)))
        rows = KeyedPermutation(len(self._sequences), self._seed, epoch)(places)
        widths = self._sequences.widths(rows)
        order = np.argsort(widths, kind="stable")
        key = (self._seed, epoch, window)
        if self._size.budget is None:
            steps = self._of_equal_size(rows[order], key)
        else:
            steps = _within(rows[order], widths[order], self._size.budget, self._size.shares)
        if not steps:
            return []
        return [steps[index] for index in KeyedPermutation(len(steps), *key)(np.arange(len(steps)))]

    def _of_equal_size(self, rows: np.ndarray, key: tuple[int, int, int]) -> list[np.ndarray]:
        """Splits rows into steps; one step takes what is left over, if there is a sequence for each batch."""
        full, rest = divmod(len(rows), self._size.rows)
        # The smaller step is taken at a random place; at the end it would always hold the longest rows.
        small = int(KeyedPermutation(full + 1, *key, full)(np.zeros(1))[0])
        sizes = np.full(full, self._size.rows)
        steps = np.split(rows, np.cumsum(np.insert(sizes, small, rest))[:-1])
        return [step for step in steps if len(step) >= self._size.shares]


class EarlierArrangement:
    """The arrangement of runs that version 0.1 began: one window, with all sequences in memory.

    Args:
        sequences: The sequences.
        size: How many of them a step has.
        seed: Seed of the arrangement.
    """

    windows = 1

    def __init__(self, sequences: Widths, size: StepSize, seed: int = 0) -> None:
        self._size, self._seed = size, seed
        self._widths = sequences.widths(np.arange(len(sequences)))

    @cached_property
    def epoch_steps(self) -> int:
        """Steps of the first epoch."""
        return len(self.steps(0))

    def steps(self, epoch: int, window: int = 0) -> list[np.ndarray]:
        """Returns the sequence numbers of each step of an epoch."""
        size = self._size
        if size.budget is None:
            sampler = LengthBucketBatchSampler(
                torch.from_numpy(self._widths), size.rows, seed=self._seed, window=size.window
            )
            sampler.set_epoch(epoch)
            # The last step may have fewer rows than batches.
            return [rows for rows in sampler.global_batches() if len(rows) >= size.shares]
        random = np.random.default_rng((self._seed, epoch))
        order = random.permutation(len(self._widths))
        rows_a_window = max(1, math.ceil(size.window * size.budget / float(self._widths.mean())))
        steps = []
        for start in range(0, len(order), rows_a_window):
            rows = order[start : start + rows_a_window]
            rows = rows[np.argsort(self._widths[rows], kind="stable")]
            steps += _within(rows, self._widths[rows], size.budget, size.shares)
        return [steps[index] for index in random.permutation(len(steps))]


def _within(rows: np.ndarray, widths: np.ndarray, budget: int, shares: int) -> list[np.ndarray]:
    """Splits rows, shortest first, into steps of at most `budget` tokens, padding included."""
    steps: list[np.ndarray] = []
    start = 0
    while start < len(rows):
        fitting = widths[start : start + budget // int(widths[start]) + 1]
        count = int((fitting * np.arange(1, len(fitting) + 1) <= budget).sum())
        steps.append(rows[start : start + max(count, shares)])
        start += len(steps[-1])
    if len(steps) > 1 and len(steps[-1]) < shares:
        steps[-2:] = [np.concatenate(steps[-2:])]
    return [step for step in steps if len(step) >= shares]
