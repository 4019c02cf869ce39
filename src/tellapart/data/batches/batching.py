"""Tokenised data sets, and padded batches bucketed by length, without Python loops over rows."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from tellapart.data.batches.anchors import BatchAnchors, rank_share
from tellapart.errors import DataError

# Inputs with one value per token, and their padding values unless the tokeniser defines others.
_RAGGED = {"input_ids": 0, "attention_mask": 0, "token_type_ids": 0}


class TokenisedDataset(Dataset):
    """Token ids of all rows in one flat array, with labels; indexing by a list returns a padded batch.

    Args:
        columns: Flat int32 arrays by input name; `input_ids` is required.
        lengths: Tokens of each row, int (N,).
        labels: Class ids (N,) or multi-hot (N, K), or None.
        padding: Padding id of each column.
        pad_left: Whether to pad on the left.
        cut: Whether each row was truncated, bool (N,); None if unknown.

    Attributes:
        targets: Target probabilities of the classes, float32 (N, K), set by `with_targets`; else None.
        weights: Weight of each row in losses that are means over rows, float32 (N,); None if all are 1.
        anchors: Whether a row is an anchor, bool (N,): a label text that batches have beside their rows (see
            `tellapart.data.batches.anchors`). Anchors are the last rows, with weight 0; None if there are none.
    """

    cut: Tensor | None = None
    targets: Tensor | None = None
    weights: Tensor | None = None
    anchors: Tensor | None = None

    def __init__(
        self,
        columns: Mapping[str, np.ndarray] | Mapping[str, Tensor],
        lengths: np.ndarray | Tensor,
        labels: np.ndarray | Tensor | None = None,
        padding: Mapping[str, int] | None = None,
        pad_left: bool = False,
        cut: np.ndarray | Tensor | None = None,
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
        """Share of truncated rows, 0 to 1; None if unknown."""
        return None if self.cut is None or not len(self.cut) else float(self.cut.float().mean())

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Returns one row as a batch of one."""
        return self.batch([index])

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """Returns the rows as one padded batch (what a DataLoader calls)."""
        return self.batch(indices)

    def with_targets(self, targets: np.ndarray) -> Self:
        """Returns the same rows with soft targets, for the objective `SoftTargets`.

        Args:
            targets: Probabilities (N, K); rows sum to 1, unless the labels are multi-hot.

        Raises:
            DataError: They are not one row of probabilities for each row.
        """
        given = torch.as_tensor(np.asarray(targets), dtype=torch.float32)
        hot = self.labels is not None and self.labels.dim() == 2
        if given.dim() != 2 or len(given) != len(self):
            raise DataError(
                f"the soft targets have the shape {tuple(given.shape)}, but there are {len(self)} rows",
                "give one row of probabilities for each row",
            )
        inside = bool(((given >= 0) & (given <= 1 + 1e-3)).all())  # False for NaN
        if not inside or not (hot or bool(((given.sum(1) - 1).abs() < 1e-3).all())):
            raise DataError(
                "the soft targets are not probabilities",
                "give numbers from 0 to 1" + ("" if hot else " whose sum over the classes is 1"),
            )
        rows = copy.copy(self)
        rows.targets = given
        return rows

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Returns padded int64 tensors (B, L) by name, L the length of the longest row, and the values of rows.

        These are `labels`, `targets`, `weights` and `anchors`, as far as the data set has them.
        """
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
        return batch | self._of_rows(chosen)

    def _of_rows(self, chosen: Tensor) -> dict[str, Tensor]:
        """Returns what rows have one value of, beside their tokens."""
        columns = {
            "labels": self.labels,
            "targets": self.targets,
            "weights": self.weights,
            "anchors": self.anchors,
        }
        return {name: _narrow(column[chosen]) for name, column in columns.items() if column is not None}

    def tensors(self) -> dict[str, Tensor]:
        """Returns the lengths and columns by name, without labels, for fingerprints of the rows."""
        return {"lengths": self.lengths, **self.columns}


def _narrow(values: Tensor) -> Tensor:
    """Returns float32 for float64, which Apple GPUs do not have; losses are computed in float32."""
    return values.float() if values.dtype == torch.float64 else values


def part_suffix(number: int) -> str:
    """Returns the suffix of input names for a part of a fused encoder: none for part 0, `_2` for part 1 ..."""
    return f"_{number + 1}" if number else ""


class JointDataset(TokenisedDataset):
    """The same rows tokenised for each part of a fused encoder; a batch holds all parts, padded separately.

    Args:
        parts: One `TokenisedDataset` per tokeniser, rows in the same order. Labels are taken from the first.

    Attributes:
        lengths: Tokens of each row, summed over the parts, int (N,).
        cut: Whether each row was truncated in any part, bool (N,), or None.

    Raises:
        DataError: The parts differ in their number of rows.
    """

    def __init__(self, parts: Sequence[TokenisedDataset]) -> None:
        counts = [len(part) for part in parts]
        if len(set(counts)) != 1:
            raise DataError(
                f"the tokenisations have {' and '.join(map(str, counts))} rows",
                "tokenise the same rows for each",
            )
        self.parts = list(parts)
        self.lengths = torch.stack([part.lengths for part in parts]).sum(0)
        self.labels = parts[0].labels
        cuts = [part.cut for part in parts if part.cut is not None]
        self.cut = torch.stack(cuts).any(0) if cuts else None

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Returns `input_ids`, `attention_mask` … (B, L₁), `input_ids_2` … (B, L₂) …, and `labels` as in a part."""
        batch = {
            name + part_suffix(number): values
            for number, part in enumerate(self.parts)
            for name, values in part.batch(indices).items()
            if name != "labels"
        }
        return batch | self._of_rows(torch.as_tensor(indices, dtype=torch.int64))

    def tensors(self) -> dict[str, Tensor]:
        """Returns the lengths and columns of all parts by name, without labels."""
        return {
            name + part_suffix(number): tensor
            for number, part in enumerate(self.parts)
            for name, tensor in part.tensors().items()
        }


class LengthBucketBatchSampler(Sampler[list[int]]):
    """Samples batches of rows of similar length, in another arrangement every epoch.

    All rows are permuted, split into windows, sorted by length within each window and split into batches, which are
    shuffled. The arrangement is a pure function of (seed, epoch), so that resumed runs continue exactly, with any
    number of workers. With several ranks or accumulation steps a *global* batch of
    `batch_size · accumulation · ranks` rows is formed first and then dealt out, so that neither changes the rows of a
    step. The last global batch of an epoch may be smaller.

    Args:
        lengths: Tokens of each row.
        batch_size: Rows per batch and rank.
        seed: Seed of the arrangement.
        window: Batches per window; more means less padding and less randomness.
        accumulation: Batches per optimiser step.
        ranks: Number of processes.
        rank: Rank of this process.
        drop_last: Whether to drop a smaller last global batch.
        anchors: Adds the anchors of its classes to each batch, dealt out over the ranks; None adds none.
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
        anchors: BatchAnchors | None = None,
    ) -> None:
        self.anchors = anchors
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
                f"{self.epoch_rows} training rows are too few for {ranks} processes",
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
            # Even shares, so that every rank has rows and none waits for another.
            for share in np.array_split(rows, self._steps(len(rows))):
                yield rank_share(share, self.epoch, ranks=self.ranks, rank=self.rank, anchors=self.anchors)

    def _steps(self, rows: int) -> int:
        """Returns the number of batches per rank into which a global batch is dealt out."""
        wanted = math.ceil(rows / (self.batch_size * self.ranks))
        return max(1, min(wanted, self.accumulation, rows // self.ranks))

    def global_batches(self) -> list[np.ndarray]:
        """Returns the epoch's row numbers, one array per optimiser step."""
        random = np.random.default_rng((self.seed, self.epoch))
        order = random.permutation(len(self.lengths))[: self.epoch_rows]
        rows_a_window = self.global_size * max(1, self.window // (self.accumulation * self.ranks))
        windows = [order[start : start + rows_a_window] for start in range(0, len(order), rows_a_window)]
        # Stable: rows of equal length keep their random order.
        ordered = np.concatenate([rows[np.argsort(self.lengths[rows], kind="stable")] for rows in windows])
        rest = len(ordered) % self.global_size
        # The smaller batch is taken at a random place; at the end it would always hold the longest rows.
        cut = int(random.integers(0, len(ordered) // self.global_size + 1)) * self.global_size
        small, ordered = ordered[cut : cut + rest], np.concatenate([ordered[:cut], ordered[cut + rest :]])
        full = np.split(ordered, len(ordered) // self.global_size) if len(ordered) else []
        batches = [full[index] for index in random.permutation(len(full))]
        if 0 < rest < self.ranks and batches:  # too few for a separate batch
            batches[-1], rest = np.concatenate([batches[-1], small]), 0
        return [*batches, small] if rest else batches


def token_budget_batches(
    lengths: Sequence[int] | Tensor, tokens: int, *, rows: int = 4096
) -> list[np.ndarray]:
    """Splits rows, longest first, into batches of at most `tokens` tokens including padding, for inference.

    Longest first, so that a lack of memory shows immediately.

    Args:
        lengths: Tokens of each row.
        tokens: Maximum of rows times the longest row's length; longer rows get their own batch.
        rows: Maximum rows per batch.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    batches, start = [], 0
    while start < len(order):
        count = max(1, min(rows, tokens // max(1, int(lengths[order[start]]))))
        batches.append(order[start : start + count])
        start += count
    return batches


def identity(batch: Any) -> Any:
    """Returns a batch unchanged: the `collate_fn` for data sets that build batches themselves."""
    return batch


class BucketDataLoader(DataLoader):
    """A DataLoader over a `TokenisedDataset` that passes the epoch on to its sampler; workers only slice and pad.

    Args:
        dataset: The rows.
        sampler: Yields the row numbers of each batch; has `set_epoch`.
        options: Options of `DataLoader`.
    """

    def __init__(self, dataset: TokenisedDataset, sampler: Sampler[list[int]], **options: Any) -> None:
        super().__init__(dataset, batch_sampler=sampler, collate_fn=identity, **options)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the arrangement of the next epoch."""
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]
