"""From token ids to padded batches, bucketed by length, never a Python loop over rows per step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from tellapart.errors import DataError

# Tokenised inputs that are ragged like input_ids, and what pads them unless the tokeniser says otherwise.
_RAGGED = {"input_ids": 0, "attention_mask": 0, "token_type_ids": 0}


class TokenisedDataset(Dataset):
    """Token ids of all rows in one flat array, with labels; a list of indices gives one padded batch.

    Args:
        columns: Flat int32 arrays by input name; `input_ids` must be among them.
        lengths: Tokens of each row, int (N,).
        labels: Class ids (N,) or multi-hot (N, K), or None.
        padding: The id that pads each column.
        pad_left: Whether the tokeniser pads on the left.
        cut: Which rows lost tokens to the longest length, bool (N,); None where that is not known.
    """

    cut: Tensor | None = None

    def __init__(
        self,
        columns: Mapping[str, np.ndarray],
        lengths: np.ndarray,
        labels: np.ndarray | None = None,
        padding: Mapping[str, int] | None = None,
        pad_left: bool = False,
        cut: np.ndarray | None = None,
    ) -> None:
        self.columns = {name: torch.as_tensor(column, dtype=torch.int32) for name, column in columns.items()}
        self.lengths = torch.as_tensor(lengths, dtype=torch.int64)
        self.starts = torch.cumsum(self.lengths, 0) - self.lengths
        self.labels = None if labels is None else torch.as_tensor(labels)
        self.padding = {**_RAGGED, **(padding or {})}
        self.pad_left = pad_left
        self.cut = None if cut is None else torch.as_tensor(cut, dtype=torch.bool)

    @property
    def cut_share(self) -> float | None:
        """The share of the rows that lost tokens to the longest length, 0 to 1; None where that is not known."""
        return None if self.cut is None or not len(self.cut) else float(self.cut.float().mean())

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Returns one row as a batch of one."""
        return self.batch([index])

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """Returns the rows as one padded batch (what a DataLoader calls)."""
        return self.batch(indices)

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Returns padded int64 tensors (B, L), L the longest row's length, and `labels` when there are any."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        lengths = self.lengths[chosen]
        width = int(lengths.max())
        positions = torch.arange(width).expand(len(chosen), width)
        if self.pad_left:
            positions = positions - (width - lengths)[:, None]
        mask = (positions >= 0) & (positions < lengths[:, None])
        where = (self.starts[chosen][:, None] + positions)[mask]
        batch = {"attention_mask": mask.long()}
        for name, column in self.columns.items():
            padded = torch.full((len(chosen), width), self.padding.get(name, 0), dtype=torch.int64)
            padded[mask] = column[where].long()
            batch[name] = padded
        if self.labels is not None:
            batch["labels"] = self.labels[chosen]
        return batch

    def tensors(self) -> dict[str, Tensor]:
        """Returns all that the rows are made of, by name, without labels: to tell two sets of rows apart."""
        return {"lengths": self.lengths, **self.columns}


def part_suffix(number: int) -> str:
    """Returns what the input names of a fused encoder's part end in: nothing for part 0, `_2` for 1, and so on."""
    return f"_{number + 1}" if number else ""


class LengthBucketBatchSampler(Sampler[list[int]]):
    """Batches of a fixed number of rows of similar length; another arrangement every epoch.

    All rows are permuted, cut into windows, sorted by length inside each window and cut into batches, whose
    order is shuffled. The arrangement is a pure function of (seed, epoch), so that a resumed run goes on as
    the uninterrupted one would, with any number of workers. With several ranks or accumulation steps a *global*
    batch of `batch_size · accumulation · ranks` rows is formed first and then dealt out, so that neither changes
    which rows learn together. The epoch's last global batch is the smaller one.

    Args:
        lengths: Tokens of each row.
        batch_size: Rows a batch on one rank.
        seed: Of the arrangement.
        window: Batches a window; more means less padding and less randomness.
        accumulation: Batches whose gradients are added up before a step.
        ranks: Number of processes.
        rank: This process.
        drop_last: Leave out the smaller last global batch.
    """

    def __init__(
        self,
        lengths: Sequence[int] | Tensor,
        batch_size: int,
        *,
        seed: int = 0,
        window: int = 64,
        accumulation: int = 1,
        ranks: int = 1,
        rank: int = 0,
        drop_last: bool = False,
    ) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size, self.seed, self.window = batch_size, seed, window
        self.accumulation, self.ranks, self.rank, self.drop_last = accumulation, ranks, rank, drop_last
        self.epoch = 0
        self.global_size = batch_size * accumulation * ranks
        self.epoch_rows = len(self.lengths)
        if drop_last and self.epoch_rows >= self.global_size:
            self.epoch_rows -= self.epoch_rows % self.global_size
        if self.epoch_rows < ranks:
            raise DataError(
                f"{self.epoch_rows} training rows cannot be shared by {ranks} processes",
                "use fewer processes or more rows",
            )

    def set_epoch(self, epoch: int) -> None:
        """Chooses the arrangement."""
        self.epoch = epoch

    def __len__(self) -> int:
        full, rest = divmod(self.epoch_rows, self.global_size)
        return full * self.accumulation + (self._steps(rest) if rest >= self.ranks else 0)

    def __iter__(self) -> Iterator[list[int]]:
        for rows in self.global_batches():
            # Even shares: no rank is left without a row, and none waits for another.
            for share in np.array_split(rows, self._steps(len(rows))):
                yield np.array_split(share, self.ranks)[self.rank].tolist()

    def _steps(self, rows: int) -> int:
        """How many batches a global batch of so many rows is dealt out in."""
        wanted = math.ceil(rows / (self.batch_size * self.ranks))
        return max(1, min(wanted, self.accumulation, rows // self.ranks))

    def global_batches(self) -> list[np.ndarray]:
        """Returns the epoch's row numbers, one array for each optimiser step."""
        random = np.random.default_rng((self.seed, self.epoch))
        order = random.permutation(len(self.lengths))[: self.epoch_rows]
        rows_a_window = self.global_size * max(1, self.window // (self.accumulation * self.ranks))
        windows = [order[start : start + rows_a_window] for start in range(0, len(order), rows_a_window)]
        # Stable: rows of one length stay in their random order.
        ordered = np.concatenate([rows[np.argsort(self.lengths[rows], kind="stable")] for rows in windows])
        rest = len(ordered) % self.global_size
        # The smaller batch is cut out at a random place, or it would always hold the longest rows.
        cut = int(random.integers(0, len(ordered) // self.global_size + 1)) * self.global_size
        small, ordered = ordered[cut : cut + rest], np.concatenate([ordered[:cut], ordered[cut + rest :]])
        full = np.split(ordered, len(ordered) // self.global_size) if len(ordered) else []
        batches = [full[index] for index in random.permutation(len(full))]
        if 0 < rest < self.ranks and batches:  # too few for a batch of their own
            batches[-1], rest = np.concatenate([batches[-1], small]), 0
        return [*batches, small] if rest else batches


def token_budget_batches(
    lengths: Sequence[int] | Tensor, tokens: int, *, rows: int = 4096
) -> list[np.ndarray]:
    """Cuts rows, longest first, into batches of at most `tokens` padded tokens, for scoring.

    Longest first means that running out of memory shows at once.

    Args:
        lengths: Tokens of each row.
        tokens: Rows times the longest row's length, at most; a longer row gets a batch of its own.
        rows: Rows a batch at most.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    batches, start = [], 0
    while start < len(order):
        count = max(1, min(rows, tokens // max(1, int(lengths[order[start]]))))
        batches.append(order[start : start + count])
        start += count
    return batches


def padding_share(dataset: TokenisedDataset, batches: Iterable[Sequence[int]]) -> float:
    """Returns the share of padding among all tokens of the batches."""
    real = total = 0
    for rows in batches:
        lengths = dataset.lengths[torch.as_tensor(rows)]
        real += int(lengths.sum())
        total += int(lengths.max()) * len(rows)
    return 1 - real / total


def _as_it_is(batch: Any) -> Any:
    return batch


class BucketDataLoader(DataLoader):
    """A loader over a `TokenisedDataset` whose epoch can be set; workers only slice and pad.

    Args:
        dataset: The rows.
        sampler: Row numbers batch by batch, with `set_epoch`.
        options: What `DataLoader` takes.
    """

    def __init__(self, dataset: TokenisedDataset, sampler: Sampler[list[int]], **options: Any) -> None:
        super().__init__(dataset, batch_sampler=sampler, collate_fn=_as_it_is, **options)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the arrangement of the next pass."""
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]
