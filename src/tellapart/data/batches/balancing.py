"""Class-balanced batches: P classes with k rows each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor
from torch.utils.data import Sampler

from tellapart.data.batches.anchors import BatchAnchors, rank_share
from tellapart.errors import DataError, RecipeError


class ClassBalancedBatchSampler(Sampler[list[int]]):
    """Samples batches of P classes with k rows each, in another arrangement every epoch.

    For objectives that compare rows: every row has k − 1 others of its class and rows of P − 1 other classes in its
    batch. All classes are drawn equally often, so that rows of rare classes repeat; an epoch has as many batches as
    without balancing, and leaves out rows of frequent classes.

    Classes are drawn in random order without replacement, so that the classes of a batch are distinct if there are at
    least P. Rows of a class are also drawn without replacement, except for the remainder of groups of k. Classes with
    fewer than k rows repeat them. Rows of a batch have similar lengths as far as possible.

    The arrangement is a pure function of (seed, epoch). As in `LengthBucketBatchSampler` a *global* batch of
    `batch_size · accumulation · ranks` rows is formed first and then dealt out in whole groups of k, so that neither
    accumulation nor the number of ranks changes the rows of a step. All batches are full.

    Args:
        labels: Class ids (N,).
        lengths: Tokens of each row (N,).
        batch_size: Rows per batch and rank; P · k / `ranks`.
        texts_per_class: k.
        seed: Seed of the arrangement.
        window: Number of groups of k rows of a class within which rows are sorted by length.
        accumulation: Batches per optimiser step.
        ranks: Number of processes.
        rank: Rank of this process.
        drop_last: Whether to drop the last step if the rows do not fill it.
        anchors: Adds the anchors of its classes to each batch, dealt out over the ranks; None adds none.

    Raises:
        RecipeError: Rows have several labels or numeric targets, or a batch does not hold two or more whole groups.
        DataError: All rows have the same class.
    """

    def __init__(
        self,
        labels: np.ndarray | Tensor,
        lengths: Sequence[int] | Tensor,
        batch_size: int,
        *,
        texts_per_class: int = 4,
        seed: int = 0,
        window: int = 8,
        accumulation: int = 1,
        ranks: int = 1,
        rank: int = 0,
        drop_last: bool = False,
        anchors: BatchAnchors | None = None,
    ) -> None:
        self.anchors = anchors
        gold = np.asarray(labels)
        check_balanced(gold, batch_size * ranks, texts_per_class)
        self.lengths = np.asarray(lengths)
        self.members = [np.flatnonzero(gold == label) for label in np.unique(gold)]
        self.batch_size, self.texts_per_class = batch_size, texts_per_class
        self.seed, self.window = seed, window
        self.accumulation, self.ranks, self.rank = accumulation, ranks, rank
        self.epoch = 0
        self.global_size = batch_size * accumulation * ranks
        self.steps = len(gold) // self.global_size if drop_last else -(-len(gold) // self.global_size)
        self.steps = max(1, self.steps)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the arrangement."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps * self.accumulation

    def __iter__(self) -> Iterator[list[int]]:
        for rows in self.global_batches():
            for share in np.split(rows, self.accumulation):
                yield rank_share(share, self.epoch, ranks=self.ranks, rank=self.rank, anchors=self.anchors)

    def global_batches(self) -> list[np.ndarray]:
        """Returns the epoch's row numbers, one array for each optimiser step, batch after batch."""
        random = np.random.default_rng((self.seed, self.epoch))
        groups: list[list[np.ndarray]] = [[] for _ in self.members]
        turns = _Turns(len(self.members), random)
        batches = []
        for _ in range(self.steps):
            classes = turns.take(self.global_size // self.texts_per_class)
            # The same length quantile for all classes, so that the rows of a batch have similar lengths.
            place = random.random()
            chosen = [self._group(label, groups, place, random) for label in classes]
            batches.append(self._dealt(chosen, random.permutation(len(self.members))[classes]))
        return batches

    def _group(
        self, label: int, groups: list[list[np.ndarray]], place: float, random: np.random.Generator
    ) -> np.ndarray:
        if not groups[label]:
            groups[label] = self._fresh_groups(self.members[label], random)
        return groups[label].pop(int(place * len(groups[label])))

    def _fresh_groups(self, rows: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
        """Splits the rows of a class into groups of k, sorted by length."""
        size, order = self.texts_per_class, random.permutation(rows)
        if len(order) < size:
            return [np.resize(order, size)]
        order = order[: len(order) // size * size]
        windows = np.split(order, range(size * self.window, len(order), size * self.window))
        ordered = [part[np.argsort(self.lengths[part], kind="stable")] for part in windows]
        groups = [group for part in ordered for group in np.split(part, len(part) // size)]
        return sorted(groups, key=lambda group: float(self.lengths[group].mean()))

    def _dealt(self, groups: list[np.ndarray], ranking: np.ndarray) -> np.ndarray:
        """Deals out groups to the batches of a step, groups of the same class to different batches if possible."""
        order = np.argsort(ranking, kind="stable")
        dealt = []
        for number in range(self.accumulation):
            rows = np.concatenate([groups[index] for index in order[number :: self.accumulation]])
            # Sorted by length, so that each rank pads little; the order within a batch is irrelevant.
            dealt.append(rows[np.argsort(self.lengths[rows], kind="stable")])
        return np.concatenate(dealt)


class _Turns:
    """Draws the numbers 0 to n − 1 in repeated random permutations, distinct within a draw if possible."""

    def __init__(self, count: int, random: np.random.Generator) -> None:
        self.count, self.random = count, random
        self.rest: list[int] = []

    def take(self, count: int) -> list[int]:
        taken: list[int] = []
        while len(taken) < count:
            if not self.rest:
                shuffled = self.random.permutation(self.count).tolist()
                self.rest = sorted(shuffled, key=taken.count)  # stable: numbers of this draw come last
            wanted = count - len(taken)
            taken, self.rest = taken + self.rest[:wanted], self.rest[wanted:]
        return taken


def check_balanced(labels: np.ndarray | Tensor, rows: int, texts_per_class: int) -> None:
    """Checks that class-balanced batches are possible.

    Args:
        labels: Class ids (N,).
        rows: Rows per batch on all ranks.
        texts_per_class: k.

    Raises:
        RecipeError: Rows have several labels or numeric targets, or a batch does not hold two or more whole groups.
        DataError: All rows have the same class.
    """
    gold = np.asarray(labels)
    if gold.ndim != 1 or np.issubdtype(gold.dtype, np.floating):
        found = "numeric targets" if gold.ndim == 1 else "several labels"
        raise RecipeError(
            f"balanced batches require one class per row, but these rows have {found}",
            "use --set stages.0.batches=length",
        )
    if rows % texts_per_class or rows < 2 * texts_per_class:
        raise RecipeError(
            f"a batch of {rows} rows cannot hold two or more classes with {texts_per_class} texts each",
            f"use a batch size that is a multiple of {texts_per_class}, such as {8 * texts_per_class}, or set"
            " texts_per_class",
        )
    if len(np.unique(gold)) < 2:
        raise DataError("balanced batches need rows of two classes", "add rows of another class")
