"""Base class of objectives: named loss terms from logits, representations and labels, never from the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from tellapart.objectives.similarity import mean_where


@dataclass(frozen=True)
class EncodedBatch:
    """A batch after the encoder and the classifier; every rank has the same whole batch.

    Args:
        logits: Logits of the K classes, float32 (B, K); for an objective with auxiliary labels followed by theirs,
            (B, K + j). For regression the predictions, (B, 1).
        representation: The input of the final linear layer, before its dropout, float32 (B, d).
        labels: Class ids, int64 (B,); multi-hot, float32 (B, K); or targets of a regression, float32 (B,).
        views: View of each row, int64 (B,): all 0 unless an objective requires two views, where rows i and
            i + B/2 are two passes over the same text. Anchors, texts that describe the classes of the batch, come
            last and have view −1: only terms that compare rows use them.
        weights: Weight of each row in losses that are means over rows, float32 (B,); None if all are 1 and there
            are no anchors.
        targets: Target probabilities of the K classes, float32 (B, K), for objectives that learn from soft targets
            beside or instead of labels; None for rows without.
    """

    logits: Tensor
    representation: Tensor
    labels: Tensor
    views: Tensor
    weights: Tensor | None = None
    targets: Tensor | None = None

    @property
    def multi_label(self) -> bool:
        """Whether labels are multi-hot."""
        return self.labels.dim() == 2

    @property
    def regression(self) -> bool:
        """Whether labels are targets of a regression."""
        return self.labels.dim() == 1 and self.labels.is_floating_point()

    def view(self, index: int) -> EncodedBatch:
        """Returns the rows of one view."""
        return self.select(self.views == index)

    def select(self, chosen: Tensor) -> EncodedBatch:
        """Returns the rows with the given numbers, or under a mask (B,)."""
        if chosen.dtype == torch.bool:  # once: each conversion waits for the device
            chosen = chosen.nonzero().squeeze(1)
        return self.mapped(lambda column: column[chosen])

    @property
    def rows_without_anchors(self) -> int:
        """Number of rows of all views."""
        return len(self.labels) if self.weights is None else int((self.views >= 0).sum())

    def without_anchors(self) -> EncodedBatch:
        """Returns the rows of all views; `view` leaves anchors out too."""
        return self if self.weights is None else self.select(self.views >= 0)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> EncodedBatch:
        """Returns a batch of changed tensors; those that are None stay so."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: Any = {name: None if column is None else change(column) for name, column in columns.items()}
        return EncodedBatch(**changed)

    def mean(self, losses: Tensor, *, both_views: bool = False) -> Tensor:
        """Returns the mean of the rows' losses, each times the row's weight: the sum divided by the number of rows.

        Anchors are left out. As with class weights, the divisor is not the sum of the weights, so that accumulated
        batches give the gradient of one batch.

        Args:
            losses: One loss per row, float (B,).
            both_views: Whether the rows of a second view count as well as those of the first.
        """
        if self.weights is None:
            return losses.mean() if both_views else mean_where(losses, self.views == 0)
        losses = losses * self.weights.to(losses.dtype)
        return mean_where(losses, self.views >= 0 if both_views else self.views == 0)


@dataclass(frozen=True)
class Requirements:
    """Requirements of an objective, which the trainer meets or refuses before training.

    Args:
        views: Passes over each text with fresh dropout: 1 or 2.
        classes_per_batch: Distinct classes per batch for the objective to have an effect.
        confusion: Whether to call `update_confusion` after every evaluation.
        multi_label: Whether the objective is defined for multi-label tasks.
        classes: Whether it is defined for tasks with classes.
        regression: Whether it is defined for numeric labels.
        outputs: Number of outputs, K or more; those beyond the classes are auxiliary labels, which exist only
            during this stage. None: K.
        targets: Whether the rows need soft targets.
    """

    views: int = 1
    classes_per_batch: int = 1
    confusion: bool = False
    multi_label: bool = True
    classes: bool = True
    regression: bool = False
    outputs: int | None = None
    targets: bool = False


@dataclass(frozen=True)
class RunFacts:
    """Facts about the run that an objective gets before the first batch.

    Args:
        num_labels: K.
        hidden_size: d, the width of the representation.
        class_counts: Training rows per class, float (K,), or None if unknown.
        total_evaluations: Maximum number of evaluations of the run.
        num_rows: Training rows, which do not follow from `class_counts` for multi-label tasks; None if unknown.
    """

    num_labels: int
    hidden_size: int
    class_counts: Tensor | None = None
    total_evaluations: int = 0
    num_rows: int | None = None


class Objective(nn.Module):
    """Base of all objectives: maps an `EncodedBatch` to named, unweighted terms.

    Subclasses set `name` and implement `forward`. Objectives compose with `+` and a weight with `*`:
    `CrossEntropy() + 0.5 * NegativeSupervision()`.

    An objective may have parameters (a projection head) and buffers (a label distance matrix); the trainer
    trains them and saves them beside the model, never in it. `prepare` is called once, before the first
    batch, with the facts about the run.
    """

    name: str = "objective"

    @property
    def requirements(self) -> Requirements:
        """Requirements that the trainer has to meet."""
        return Requirements()

    def prepare(self, run: RunFacts) -> None:
        """Gets the facts about the run; called before training, and again without effect on resume.

        It creates parameters and buffers, so it precedes `load_state_dict`, moving to a device and creating the
        optimiser.
        """

    def update_confusion(self, matrix: Tensor, progress: float) -> None:
        """Receives the validation confusion matrix (K, K; rows are gold) after an evaluation.

        Args:
            matrix: Counts; for multi-label tasks, co-occurrence of gold and wrongly predicted labels.
            progress: Share of the planned optimiser steps so far, 0 to 1.
        """

    def __call__(self, batch: EncodedBatch) -> dict[str, Tensor]:
        """Runs `forward` outside autocast: in half precision a softmax over similarities is too inexact."""
        with torch.autocast(batch.logits.device.type, enabled=False):
            return super().__call__(batch)

    def forward(self, batch: EncodedBatch) -> dict[str, Tensor]:
        """Returns the unweighted terms by name, scalars with gradient."""
        raise NotImplementedError

    @property
    def term_names(self) -> tuple[str, ...]:
        """The names of the terms that `forward` returns."""
        return (self.name,)

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Returns the loss: the weighted sum of the terms, a scalar."""
        return torch.stack(list(terms.values())).sum()

    def __add__(self, other: Objective) -> Objective:
        return WeightedSum([*_parts(self), *_parts(other)])

    def __mul__(self, weight: float) -> Objective:
        return WeightedSum([(weight * inner, part) for inner, part in _parts(self)])

    __rmul__ = __mul__


def _parts(objective: Objective) -> list[tuple[float, Objective]]:
    return objective.parts if isinstance(objective, WeightedSum) else [(1.0, objective)]


class WeightedSum(Objective):
    """Weighted sum of objectives, the result of `+` and `*`.

    Args:
        parts: (weight, objective) pairs. Terms of the same name from two parts get a number appended.
    """

    name = "sum"

    def __init__(self, parts: list[tuple[float, Objective]]) -> None:
        super().__init__()
        self.objectives = nn.ModuleList(part for _, part in parts)
        self.part_weights = [float(weight) for weight, _ in parts]

    @property
    def parts(self) -> list[tuple[float, Objective]]:
        """The (weight, objective) pairs."""
        return list(zip(self.part_weights, self.objectives, strict=True))  # type: ignore[arg-type]

    @property
    def requirements(self) -> Requirements:
        """The union of the requirements of the parts."""
        needs = [part.requirements for _, part in self.parts]
        return Requirements(
            views=max(need.views for need in needs),
            classes_per_batch=max(need.classes_per_batch for need in needs),
            confusion=any(need.confusion for need in needs),
            multi_label=all(need.multi_label for need in needs),
            classes=all(need.classes for need in needs),
            regression=all(need.regression for need in needs),
            outputs=max((need.outputs for need in needs if need.outputs is not None), default=None),
            targets=any(need.targets for need in needs),
        )

    def prepare(self, run: RunFacts) -> None:
        """Prepares every part."""
        for _, part in self.parts:
            part.prepare(run)

    def update_confusion(self, matrix: Tensor, progress: float) -> None:
        """Passes the matrix to the parts that require it."""
        for _, part in self.parts:
            if part.requirements.confusion:
                part.update_confusion(matrix, progress)

    @property
    def term_names(self) -> tuple[str, ...]:
        """The terms of all parts; the second term of the same name gets `_2` appended, and so on."""
        return tuple(name for names in self._names_by_part() for name in names)

    def _names_by_part(self) -> list[list[str]]:
        seen: Counter[str] = Counter()
        named = []
        for _, part in self.parts:
            seen.update(part.term_names)
            named.append([name if seen[name] == 1 else f"{name}_{seen[name]}" for name in part.term_names])
        return named

    def forward(self, batch: EncodedBatch) -> dict[str, Tensor]:
        """Returns the terms of all parts, unweighted."""
        terms: dict[str, Tensor] = {}
        for names, (_, part) in zip(self._names_by_part(), self.parts, strict=True):
            # Autocast is already off, so that the parts need not turn it off again.
            terms.update(zip(names, part.forward(batch).values(), strict=True))
        return terms

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Returns the weighted sum over the parts, a scalar."""
        totals = []
        for names, (weight, part) in zip(self._names_by_part(), self.parts, strict=True):
            inner = dict(zip(part.term_names, (terms[name] for name in names), strict=True))
            totals.append(weight * part.total(inner))
        return torch.stack(totals).sum()
