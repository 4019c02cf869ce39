"""Batches of masked sequences of similar length for a given number of steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from tellapart.data.batches.batching import identity
from tellapart.errors import DataError
from tellapart.pretraining.arrangement import (
    Arrangement,
    EarlierArrangement,
    StepSize,
    Widths,
    WindowedArrangement,
)
from tellapart.pretraining.corpus import ShardedSequences
from tellapart.pretraining.masking import Masking

# Windows whose beginnings are remembered: processes that prepare batches are ahead of the training by fewer.
_REMEMBERED = 1024


@dataclass(frozen=True)
class Request:
    """The sequence numbers of one batch, and the pass over the corpus, from 0, which determines the masks."""

    epoch: int
    rows: np.ndarray


class MaskedSequences(Dataset):
    """Data set that returns a batch of masked sequences for a request."""

    def __init__(self, corpus: ShardedSequences, masking: Masking, pad_id: int) -> None:
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
        prefix, suffix = self.corpus.facts.prefix, self.corpus.facts.suffix
        tokens, lengths, begins = self.corpus.tokens(rows)
        before, longest = len(prefix), tokens.shape[1]
        inside = np.arange(longest) < lengths[:, None]
        ids = np.full((len(rows), before + longest + len(suffix)), self.pad_id, dtype=np.int64)
        ids[:, :before] = prefix
        ids[:, before : before + longest] = np.where(inside, tokens, self.pad_id)
        for offset, token in enumerate(suffix):
            ids[np.arange(len(rows)), before + lengths + offset] = token
        words = None
        if begins is not None:
            words = np.ones(ids.shape, dtype=np.bool_)
            words[:, before : before + longest] = begins
        mask = np.arange(ids.shape[1]) < (before + lengths + len(suffix))[:, None]
        return ids, mask, words


@dataclass(frozen=True)
class Position:
    """A step that is the first one of a window, from which a resumed run goes on without the steps before.

    Args:
        step: Number of steps before it in the run.
        epoch: The epoch, from 0.
        window: The window of the epoch, from 0.
    """

    step: int = 0
    epoch: int = 0
    window: int = 0


class StepSampler(Sampler[Request | None]):
    """Samples the batches of all steps of a run, `accumulation` batches per step.

    A batch is a pure function of the seed and the step, so that resumed runs continue exactly. The batches of a step,
    on all ranks, have sequences of similar length.

    Args:
        corpus: The sequences; those of a corpus that an earlier version wrote keep the order of that version.
        steps: Optimiser steps of the run.
        batch_size: Sequences per batch and rank.
        batch_tokens: Maximum tokens per batch and rank, padding included, in place of `batch_size`; longer sequences
            exceed it.
        seed: Seed of the arrangement.
        accumulation: Batches per step and rank.
        ranks: Number of processes.
        rank: Rank of this process.
        window: Steps per window within which sequences are sorted by length.
        start: Where to begin. Earlier batches are None, for a loop that counts them and discards them.

    Raises:
        DataError: There are fewer sequences than batches per step.
    """

    def __init__(
        self,
        corpus: Widths,
        steps: int,
        *,
        batch_size: int = 32,
        batch_tokens: int | None = None,
        seed: int = 0,
        accumulation: int = 1,
        ranks: int = 1,
        rank: int = 0,
        window: int = 64,
        start: Position = Position(),
    ) -> None:
        self.steps, self.accumulation, self.ranks, self.rank, self.start = (
            steps,
            accumulation,
            ranks,
            rank,
            start,
        )
        if len(corpus) < self.shares:
            raise DataError(
                f"{len(corpus)} sequence(s) are too few for the {self.shares} batches of a step",
                "give more text, or lower gradient_accumulation_steps or the number of processes",
            )
        kind = EarlierArrangement if getattr(corpus, "earlier", False) else WindowedArrangement
        size = StepSize(self.shares, batch_size, batch_tokens, window)
        self.arrangement: Arrangement = kind(corpus, size, seed)
        self._begun: deque[Position] = deque([start], maxlen=_REMEMBERED)

    @property
    def shares(self) -> int:
        """Batches per step on all ranks."""
        return self.accumulation * self.ranks

    @property
    def epoch_steps(self) -> int:
        """Steps of the first pass over the corpus; other passes have about as many."""
        return self.arrangement.epoch_steps

    def __len__(self) -> int:
        return self.steps * self.accumulation

    def __iter__(self) -> Iterator[Request | None]:
        for _ in range(self.start.step * self.accumulation):
            yield None
        position = self.start
        while position.step < self.steps:
            self._begun.append(position)
            found = self.arrangement.steps(position.epoch, position.window)
            for rows in found[: self.steps - position.step]:
                # Strided over the sorted rows, so that all batches have similar widths.
                for share in range(self.accumulation):
                    yield Request(position.epoch, rows[share * self.ranks + self.rank :: self.shares])
            more, window = divmod(position.window + 1, self.arrangement.windows)
            position = Position(position.step + len(found), position.epoch + more, window)

    def position(self, step: int) -> Position:
        """Returns the beginning of the window with a step of the last windows, or else of the run."""
        return max(
            (one for one in self._begun if one.step <= step), key=attrgetter("step"), default=Position()
        )


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
