"""Rows with several tokenisations, one for each part of a fused encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tellapart.data.batches.batching import TokenisedDataset, part_suffix
from tellapart.errors import DataError


class JointDataset(TokenisedDataset):
    """The same rows under several tokenisers; a batch holds them all, each padded for itself.

    Args:
        parts: One `TokenisedDataset` for each tokeniser, rows in the same order. The labels are the first one's.

    Attributes:
        parts: The same.
        lengths: Tokens of each row, all parts together, int (N,).
        labels: Class ids (N,) or multi-hot (N, K), or None.
        cut: Which rows lost tokens in any part, bool (N,), or None.

    Raises:
        DataError: The parts do not have the same number of rows.
    """

    def __init__(self, parts: Sequence[TokenisedDataset]) -> None:
        counts = [len(part) for part in parts]
        if len(set(counts)) != 1:
            raise DataError(
                f"the tokenisations have {' and '.join(map(str, counts))} rows",
                "tokenise the same rows for all",
            )
        self.parts = list(parts)
        self.lengths = torch.stack([part.lengths for part in parts]).sum(0)
        self.labels = parts[0].labels
        cuts = [part.cut for part in parts if part.cut is not None]
        self.cut = torch.stack(cuts).any(0) if cuts else None

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Returns `input_ids`, `attention_mask` … (B, L₁), `input_ids_2` … (B, L₂) and so on, and `labels`."""
        batch = {
            name + part_suffix(number): values
            for number, part in enumerate(self.parts)
            for name, values in part.batch(indices).items()
            if name != "labels"
        }
        if self.labels is not None:
            batch["labels"] = self.labels[torch.as_tensor(indices, dtype=torch.int64)]
        return batch

    def tensors(self) -> dict[str, Tensor]:
        """Returns all that the rows are made of, by name, without labels."""
        return {
            name + part_suffix(number): tensor
            for number, part in enumerate(self.parts)
            for name, tensor in part.tensors().items()
        }
