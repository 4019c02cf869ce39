"""What an evaluation on the validation rows tells beside its metrics: the loss, and what was taken for what."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional

from tellapart.training.requirements import has_numbers


def evaluation_loss(logits: Tensor, gold: Tensor) -> float:
    """Returns what the main loss is on rows that are evaluated, whatever the objective.

    Args:
        logits: (N, K), or predictions (N, 1).
        gold: Class ids (N,): cross entropy. Multi-hot (N, K): binary cross entropy, summed over the labels. Numbers
            (N,): mean squared error.
    """
    if has_numbers(gold):
        return float(functional.mse_loss(logits.squeeze(1), gold.to(logits.dtype)))
    if gold.dim() == 1:
        return float(functional.cross_entropy(logits, gold))
    return float(functional.binary_cross_entropy_with_logits(logits, gold, reduction="none").sum(1).mean())


def confusion_counts(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts (K, K) gold (rows) against predicted (columns) classes, over all K.

    For multi-label rows a missed label is counted against each wrongly added one, and hits on the diagonal.

    Args:
        logits: (N, K).
        labels: Class ids (N,) or multi-hot (N, K).
    """
    classes = logits.shape[1]
    if labels.ndim == 1:
        pairs = labels.astype(np.int64) * classes + logits.argmax(1)
        return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).astype(np.float32)
    gold, predicted = labels > 0.5, logits > 0
    missed, added = (gold & ~predicted).astype(np.float32), (predicted & ~gold).astype(np.float32)
    return missed.T @ added + np.diag((gold & predicted).sum(0).astype(np.float32))
