"""Evaluation on validation rows: logits of all ranks, the loss, and confusion counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.data.batches.tokenising import IGNORED_LABEL
from tellapart.encoders.scoring import score
from tellapart.training.requirements import has_numbers


def distributed_logits(
    model: Any, dataset: TokenisedDataset, accelerator: Accelerator, *, bf16: bool
) -> np.ndarray:
    """Computes the logits of all rows, float32 (N, K), each rank a share of the rows.

    Args:
        model: A sequence classifier.
        dataset: N rows.
        accelerator: The trainer's.
        bf16: Whether to use bf16 autocast.
    """
    ranks, rows = accelerator.num_processes, len(dataset)
    logits = score(model, dataset, bf16=bf16, rows=np.arange(accelerator.process_index, rows, ranks))
    if ranks == 1:
        return logits
    width = model.config.num_labels
    padded = np.zeros((-(-rows // ranks), width), dtype=np.float32)
    if len(logits):  # a rank without rows does not know the width of the others' logits
        padded[: len(logits)] = logits
    shares = accelerator.gather(torch.from_numpy(padded).to(accelerator.device)).cpu().numpy()
    return shares.reshape(ranks, len(padded), width).transpose(1, 0, 2).reshape(-1, width)[:rows]


def evaluation_loss(logits: Tensor, gold: Tensor) -> float:
    """Returns the standard loss of the task on evaluated rows, whatever the objective.

    Args:
        logits: (N, K), or predictions (N, 1).
        gold: Class ids (N,), -100 for rows that are ignored: cross entropy. Multi-hot (N, K): binary cross entropy,
            summed over the labels. Targets, float (N,): mean squared error.
    """
    if has_numbers(gold):
        return float(functional.mse_loss(logits.squeeze(1), gold.to(logits.dtype)))
    if gold.dim() == 1:
        return float(functional.cross_entropy(logits, gold))
    return float(functional.binary_cross_entropy_with_logits(logits, gold, reduction="none").sum(1).mean())


def confusion_counts(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the confusion matrix (K, K), gold classes in rows and predicted ones in columns.

    For multi-label rows, each missed label is counted against each wrongly predicted one; hits are on the diagonal.

    Args:
        logits: (N, K).
        labels: Class ids (N,), -100 for rows that are not counted; or multi-hot (N, K).
    """
    classes = logits.shape[1]
    if labels.ndim == 1:
        counted = labels != IGNORED_LABEL
        logits, labels = logits[counted], labels[counted]
        pairs = labels.astype(np.int64) * classes + logits.argmax(1)
        return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).astype(np.float32)
    gold, predicted = labels > 0.5, logits > 0
    missed, added = (gold & ~predicted).astype(np.float32), (predicted & ~gold).astype(np.float32)
    return missed.T @ added + np.diag((gold & predicted).sum(0).astype(np.float32))
