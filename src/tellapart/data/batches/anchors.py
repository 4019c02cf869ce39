"""Label texts as anchors of a batch: one for each class that the batch has."""

from __future__ import annotations

import numpy as np
from torch import Tensor


class BatchAnchors:
    """Chooses the anchors of a batch: for each of its classes one label text.

    Of several texts of a class one is drawn. The choice is a pure function of (seed, epoch, class), so that all
    batches of an epoch, all ranks and a resumed run have the same.

    Args:
        labels: Class ids of all rows, int (N,), or multi-hot (N, K).
        anchors: Whether a row is an anchor, bool (N,).
        seed: Seed of the choice.
    """

    def __init__(self, labels: np.ndarray | Tensor, anchors: np.ndarray | Tensor, seed: int = 0) -> None:
        self.labels, self.seed = np.asarray(labels), seed
        numbers = np.flatnonzero(np.asarray(anchors))
        self.members: dict[int, list[int]] = {}
        for number in numbers.tolist():
            for label in self._classes(np.array([number])):
                self.members.setdefault(label, []).append(number)

    def of(self, rows: np.ndarray, epoch: int) -> np.ndarray:
        """Returns the anchors of the classes of some rows, in the order of the classes.

        Args:
            rows: The rows of a batch on all ranks.
            epoch: The epoch.

        Returns:
            Row numbers, int64, at most one per class.
        """
        chosen = [self._choice(label, epoch) for label in self._classes(rows) if label in self.members]
        return np.array(chosen, dtype=np.int64)

    def _classes(self, rows: np.ndarray) -> list[int]:
        labels = self.labels[rows]
        return (np.unique(labels) if labels.ndim == 1 else np.flatnonzero(labels.any(axis=0))).tolist()

    def _choice(self, label: int, epoch: int) -> int:
        several = self.members[label]
        if len(several) == 1:
            return several[0]
        return several[np.random.default_rng((self.seed, epoch, label)).integers(len(several))]


def rank_share(
    batch: np.ndarray, epoch: int, *, ranks: int, rank: int, anchors: BatchAnchors | None
) -> list[int]:
    """Returns a rank's rows of a batch, then its share of the batch's anchors; both shares are even.

    Args:
        batch: Rows of a batch on all ranks.
        epoch: The epoch.
        ranks: Number of processes.
        rank: Rank of this process.
        anchors: Chooses the anchors; None for none.
    """
    own = np.array_split(batch, ranks)[rank].tolist()
    if anchors is not None:
        own += np.array_split(anchors.of(batch, epoch), ranks)[rank].tolist()
    return own
