"""Batches of masked sequences of similar length for a given number of steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from tellapart.data.batches.batching import LengthBucketBatchSampler, identity
from tellapart.errors import DataError
from tellapart.pretraining.corpus import Corpus
from tellapart.pretraining.masking import Masking


@dataclass(frozen=True)
class Request:
    """The sequence numbers of one batch, and the pass over the corpus, from 0, which determines the masks."""

    epoch: int
    rows: np.ndarray


class MaskedSequences(Dataset):
    """Data set that returns a batch of masked sequences for a request."""

    def __init__(self, corpus: Corpus, masking: Masking, pad_id: int) -> None:
        self.corpus, self.masking, self.pad_id = corpus, masking, pad_id

    def __len__(self) -> int:
        return len(self.corpus)

    def __getitems__(self, request: Request) -> dict[str, Tensor]:
        """Returns the batch of a request (what a DataLoader calls)."""
        return self.batch(request.rows, request.epoch)

    def batch(self, rows: Sequence[int] | np.ndarray, epoch: int = 0) -> dict[str, Tensor]:
        """Masks sequences and pads them to a batch.

        Returns:
            `input_ids` (B, L) and `attention_mask` (B, L); `positions` (P,), the flat positions b·L + l of the chosen
            tokens, ascending; `labels` (P,), their original ids. All int64.
        """
        rows = np.asarray(rows)
        ids, mask, words = self._padded(rows)
        masked, chosen = self.masking(ids, rows, epoch, words)
        positions = np.flatnonzero(chosen)
        arrays = {
            "input_ids": masked,
            "attention_mask": mask,
            "positions": positions,
            "labels": ids.ravel()[positions],
        }
        return {name: torch.from_numpy(array.astype(np.int64, copy=False)) for name, array in arrays.items()}

    def _padded(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Returns ids with special tokens, the attention mask, and the starts of words, all (B, L)."""
        corpus = self.corpus
        prefix, suffix = corpus.facts.prefix, corpus.facts.suffix
        lengths = corpus.lengths[rows][:, None]
        before, width = len(prefix), int(corpus.widths[rows].max())
        places = np.arange(width)[None, :] - before
        inside = (places >= 0) & (places < lengths)
        where = (corpus.starts[rows][:, None] + places)[inside]
        ids = np.full((len(rows), width), self.pad_id, dtype=np.int64)
        ids[:, :before] = prefix
        for offset, token in enumerate(suffix):
            ids[np.arange(len(rows)), before + lengths[:, 0] + offset] = token
        ids[inside] = corpus.tokens[where]
        words = None
        if corpus.words is not None:
            words = np.ones(ids.shape, dtype=np.bool_)
            words[inside] = corpus.words[where]
        return ids, places < lengths + len(suffix), words


class StepSampler(Sampler[Request]):
    """Samples the batches of all steps of a run, `accumulation` batches per step.

    A batch is a pure function of the seed and the step, so that resumed runs continue exactly. The batches of a step,
    on all ranks, have sequences of similar length.

    Args:
        widths: Tokens of each sequence, special tokens included.
        steps: Optimiser steps of the run.
        batch_size: Sequences per batch and rank.
        batch_tokens: Maximum tokens per batch and rank, padding included, in place of `batch_size`; longer sequences
            exceed it.
        seed: Seed of the arrangement.
        accumulation: Batches per step and rank.
        ranks: Number of processes.
        rank: Rank of this process.
        window: Steps per window within which sequences are sorted by length.

    Raises:
        DataError: There are fewer sequences than batches per step.
    """

    def __init__(
        self,
        widths: np.ndarray,
        steps: int,
        *,
        batch_size: int = 32,
        batch_tokens: int | None = None,
        seed: int = 0,
        accumulation: int = 1,
        ranks: int = 1,
        rank: int = 0,
        window: int = 64,
    ) -> None:
        self.widths, self.steps, self.seed, self.window = np.asarray(widths), steps, seed, window
        self.batch_size, self.batch_tokens = batch_size, batch_tokens
        self.accumulation, self.ranks, self.rank = accumulation, ranks, rank
        if len(self.widths) < self.shares:
            raise DataError(
                f"{len(self.widths)} sequence(s) are too few for the {self.shares} batches of a step",
                "give more text, or lower gradient_accumulation_steps or the number of processes",
            )

    @property
    def shares(self) -> int:
        """Batches per step on all ranks."""
        return self.accumulation * self.ranks

    def __len__(self) -> int:
        return self.steps * self.accumulation

    def __iter__(self) -> Iterator[Request]:
        step = epoch = 0
        while step < self.steps:
            for rows in self.arrangement(epoch)[: self.steps - step]:
                # Strided over the sorted rows, so that all batches have similar widths.
                for share in range(self.accumulation):
                    yield Request(epoch, rows[share * self.ranks + self.rank :: self.shares])
                step += 1
            epoch += 1

    @property
    def epoch_steps(self) -> int:
        """Steps of the first pass over the corpus; other passes have about as many."""
        if self.batch_tokens is not None:
            return len(self.arrangement(0))
        full, rest = divmod(len(self.widths), self.batch_size * self.shares)
        return full + (rest >= self.shares)

    def arrangement(self, epoch: int) -> list[np.ndarray]:
        """Returns the sequence numbers of each step of an epoch."""
        if self.batch_tokens is None:
            sampler = LengthBucketBatchSampler(
                torch.from_numpy(self.widths),
                self.batch_size * self.shares,
                seed=self.seed,
                window=self.window,
            )
            sampler.set_epoch(epoch)
            # The last step may have fewer rows than batches.
            return [rows for rows in sampler.global_batches() if len(rows) >= self.shares]
        random = np.random.default_rng((self.seed, epoch))
        order = random.permutation(len(self.widths))
        budget = self.batch_tokens * self.shares
        rows_a_window = max(1, math.ceil(self.window * budget / float(self.widths.mean())))
        steps = []
        for start in range(0, len(order), rows_a_window):
            rows = order[start : start + rows_a_window]
            steps += self._within(rows[np.argsort(self.widths[rows], kind="stable")], budget)
        return [steps[index] for index in random.permutation(len(steps))]

    def _within(self, rows: np.ndarray, budget: int) -> list[np.ndarray]:
        """Splits rows, shortest first, into steps of at most `budget` tokens, padding included."""
        steps, start, widths = [], 0, self.widths[rows]
        while start < len(rows):
            fitting = widths[start : start + budget // int(widths[start]) + 1]
            count = int((fitting * np.arange(1, len(fitting) + 1) <= budget).sum())
            steps.append(rows[start : start + max(count, self.shares)])
            start += len(steps[-1])
        if len(steps) > 1 and len(steps[-1]) < self.shares:
            steps[-2:] = [np.concatenate(steps[-2:])]
        return [step for step in steps if len(step) >= self.shares]


def step_loader(
    dataset: MaskedSequences, sampler: StepSampler, *, workers: int = 0, pin_memory: bool = False
) -> DataLoader:
    """Returns the DataLoader of a run."""
    return DataLoader(
        dataset,
        batch_sampler=cast(Any, sampler),  # yields requests instead of lists of rows
        collate_fn=identity,
        num_workers=workers,
        pin_memory=pin_memory,
        # Separate generator, so that starting workers does not advance the global one.
        generator=torch.Generator(),
    )
