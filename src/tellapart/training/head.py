"""Trains a linear classifier on fixed vectors of a frozen encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tellapart.errors import RecipeError
from tellapart.objectives.base import EncodedBatch, Objective

# Rows per piece when all rows are scored; limits the memory of vectors mapped from disk.
_ROWS_A_PIECE = 16_384


@dataclass(frozen=True)
class Head:
    """A trained linear layer and its training log.

    Args:
        weight: float32 (K, d).
        bias: float32 (K,).
        epochs: Epoch of the weights; 0 for a closed-form or L-BFGS fit.
        log: One dict per epoch: `epoch`, `loss`, and `eval_score` with validation rows.
    """

    weight: np.ndarray
    bias: np.ndarray
    epochs: int = 0
    log: tuple[dict[str, float], ...] = ()

    def logits(self, vectors: np.ndarray) -> np.ndarray:
        """Returns logits (N, K) of vectors (N, d)."""
        pieces = [
            np.asarray(vectors[start : start + _ROWS_A_PIECE]) @ self.weight.T + self.bias
            for start in range(0, len(vectors), _ROWS_A_PIECE)
        ]
        return np.concatenate(pieces) if pieces else np.empty((0, len(self.bias)), dtype=np.float32)


def train_head(
    vectors: np.ndarray,
    labels: Tensor,
    classes: int,
    objective: Objective,
    *,
    epochs: int = 20,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    seed: int = 0,
    judge: Callable[[np.ndarray], tuple[float, float]] | None = None,
    validation: np.ndarray | None = None,
    weights: Tensor | None = None,
    keep_last: bool = False,
) -> Head:
    """Trains a linear layer by AdamW with a linearly decaying learning rate and keeps its best or last epoch.

    Args:
        vectors: (N, d), in memory or mapped from disk.
        labels: Class ids (N,), multi-hot (N, K), or targets, float (N,).
        classes: K.
        objective: A prepared objective with one view and without auxiliary outputs.
        epochs: Passes over the rows.
        batch_size: Rows per step.
        learning_rate: Initial rate.
        weight_decay: AdamW's, on the weights.
        seed: Of the initial weights and of the order.
        judge: Maps validation logits to two numbers by which epochs are ranked, larger is better; the earlier of
            equal epochs is kept.
        validation: Validation vectors; without them the last epoch is kept.
        weights: Weight of each row in losses that are means over rows (N,); None if all are 1.
        keep_last: Whether the last epoch is kept, whatever the judge says.

    Raises:
        RecipeError: The objective needs more than fixed vectors.
    """
    needs = objective.requirements
    if needs.views > 1 or needs.confusion or needs.outputs not in (None, classes):
        raise RecipeError(
            "an objective of two views, an adaptive label distance or auxiliary labels has no effect on a"
            " classifier alone",
            "use cross-entropy for the stage that learns the head",
        )
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(vectors.shape[1], classes)
    with torch.no_grad():
        layer.weight.normal_(std=0.02, generator=generator)
        layer.bias.zero_()
    groups: list[dict[str, Any]] = [{"params": [layer.weight]}, {"params": [layer.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, weight_decay=weight_decay)
    steps = epochs * -(-len(vectors) // batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    best: tuple[tuple[float, float], Head] | None = None
    log: list[dict[str, float]] = []
    for epoch in range(1, epochs + 1):
        total = 0.0
        for rows in torch.randperm(len(vectors), generator=generator).split(batch_size):
            batch = _batch(layer, vectors, labels, weights, rows)
            loss = objective.total(objective(batch))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(rows)
        head = Head(layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy(), epoch)
        log.append({"epoch": float(epoch), "loss": total / len(vectors)})
        if judge is None or validation is None:
            best = ((0.0, 0.0), head)
            continue
        score = judge(head.logits(validation))
        log[-1]["eval_score"] = score[0]
        if keep_last or best is None or score > best[0]:
            best = (score, head)
    assert best is not None
    return Head(best[1].weight, best[1].bias, best[1].epochs, tuple(log))


def _batch(
    layer: nn.Linear, vectors: np.ndarray, labels: Tensor, weights: Tensor | None, rows: Tensor
) -> EncodedBatch:
    representation = torch.from_numpy(np.asarray(vectors[rows.numpy()]))  # (B, d)
    return EncodedBatch(
        layer(representation),
        representation,
        labels[rows],
        torch.zeros_like(rows),
        None if weights is None else weights[rows],
    )
