"""Batches in which every class is as frequent as any other: some classes, and the same number of rows of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor
from torch.utils.data import Sampler

from tellapart.errors import DataError, RecipeError


class ClassBalancedBatchSampler(Sampler[list[int]]):
    """Batches of P classes with k rows each; another arrangement every epoch.

    Objectives that compare rows find k − 1 others of its class for each row, and rows of P − 1 other classes. Rare
    classes are drawn as often as frequent ones: their rows come again and again, and an epoch, which has as many
    batches as there would be in any other order, leaves out rows of frequent classes.

    Classes take turns in a random order, so that those of a batch are distinct as long as there are P of them. The
    rows of a class take turns likewise: none comes again before the others have come, but for the rest that does not
    make k. A class of fewer than k rows repeats them. Rows that come together are of similar length as far as classes
    have a choice.

    The arrangement is a pure function of (seed, epoch). As in `LengthBucketBatchSampler` a *global* batch of
    `batch_size · accumulation · ranks` rows is formed first and then dealt out in whole groups of k, so that neither
    accumulation nor the number of ranks changes which rows learn together. All batches are full.

    Args:
        labels: Class ids (N,).
        lengths: Tokens of each row (N,).
        batch_size: Rows a batch on one rank; times `ranks` it is P · k.
        texts_per_class: k.
        seed: Of the arrangement.
        window: Groups of k rows of a class among which rows are sorted by length.
        accumulation: Batches whose gradients are added up before a step.
        ranks: Number of processes.
        rank: This process.
        drop_last: Whether an epoch has a step less where the rows do not fill the last one.

    Raises:
        RecipeError: Rows have several labels or scores, a batch does not hold whole groups, or only one.
        DataError: There are rows of one class only.
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
    ) -> None:
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
                yield np.split(share, self.ranks)[self.rank].tolist()

    def global_batches(self) -> list[np.ndarray]:
        """Returns the epoch's row numbers, one array for each optimiser step, batch after batch."""
        random = np.random.default_rng((self.seed, self.epoch))
        groups: list[list[np.ndarray]] = [[] for _ in self.members]
        turns = _Turns(len(self.members), random)
        batches = []
        for _ in range(self.steps):
            classes = turns.take(self.global_size // self.texts_per_class)
            # One place among the lengths for all classes: short rows come with short ones.
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
        """Arranges the rows of a class in groups of k, the shortest rows first."""
        size, order = self.texts_per_class, random.permutation(rows)
        if len(order) < size:
            return [np.resize(order, size)]
        order = order[: len(order) // size * size]
        windows = np.split(order, range(size * self.window, len(order), size * self.window))
        ordered = [part[np.argsort(self.lengths[part], kind="stable")] for part in windows]
        groups = [group for part in ordered for group in np.split(part, len(part) // size)]
        return sorted(groups, key=lambda group: float(self.lengths[group].mean()))

    def _dealt(self, groups: list[np.ndarray], ranking: np.ndarray) -> np.ndarray:
        """Deals out groups to the batches of a step: groups of one class to different ones, as far as there are."""
        order = np.argsort(ranking, kind="stable")
        dealt = []
        for number in range(self.accumulation):
            rows = np.concatenate([groups[index] for index in order[number :: self.accumulation]])
            # By length, so that each rank pads little; where a row stands in a batch is of no importance.
            dealt.append(rows[np.argsort(self.lengths[rows], kind="stable")])
        return np.concatenate(dealt)


class _Turns:
    """Numbers 0 to n − 1 in random order, again and again; no two of those taken at once are equal, if they can."""

    def __init__(self, count: int, random: np.random.Generator) -> None:
        self.count, self.random = count, random
        self.rest: list[int] = []

    def take(self, count: int) -> list[int]:
        taken: list[int] = []
        while len(taken) < count:
            if not self.rest:
                shuffled = self.random.permutation(self.count).tolist()
                self.rest = sorted(shuffled, key=taken.count)  # stable: those taken already come last
            wanted = count - len(taken)
            taken, self.rest = taken + self.rest[:wanted], self.rest[wanted:]
        return taken


def check_balanced(labels: np.ndarray | Tensor, rows: int, texts_per_class: int) -> None:
    """Refuses balanced batches that make no sense.

    Args:
        labels: Class ids (N,).
        rows: Of a batch, on all ranks.
        texts_per_class: k.

    Raises:
        RecipeError: Rows have several labels or scores, a batch does not hold whole groups, or only one.
        DataError: There are rows of one class only.
    """
    gold = np.asarray(labels)
    if gold.ndim == 1 and np.issubdtype(gold.dtype, np.floating):
        raise RecipeError(
            "balanced batches are made of rows of one class, but these rows have scores",
            "use --set stages.0.batches=length",
        )
    if gold.ndim != 1:
        raise RecipeError(
            "balanced batches are made of rows of one class, but these rows have several labels",
            "use --set stages.0.batches=length",
        )
    if rows % texts_per_class or rows < 2 * texts_per_class:
        raise RecipeError(
            f"a batch of {rows} rows cannot be shared evenly by two or more classes of {texts_per_class} texts",
            f"use a batch size that is a multiple of {texts_per_class}, such as {8 * texts_per_class}, or set"
            " texts_per_class",
        )
    if len(np.unique(gold)) < 2:
        raise DataError("balanced batches need rows of two classes", "give rows of more classes")
