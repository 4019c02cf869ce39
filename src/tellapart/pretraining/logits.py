"""Cross entropy and argmax over a vocabulary in one pass, without a float32 copy of the logits.

The logits of P positions over V tokens are by far the largest tensors of a step, and PyTorch's float32 cross entropy
copies them several times. Here they are processed in chunks of rows that fit into the processor's cache.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Elements per chunk and thread: 1 MiB of float32, about the size of a core's second-level cache.
_ELEMENTS = 1 << 18
_ELEMENTS_GPU = 1 << 26


class _CrossEntropy(torch.autograd.Function):
    """The gradient at a position is (softmax(logits) − onehot(label)) times the incoming gradient."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        wide = torch.promote_types(logits.dtype, torch.float32)
        losses = torch.empty(len(logits), dtype=wide, device=logits.device)
        logsumexp, predictions = torch.empty_like(losses), torch.empty_like(labels)
        for rows in _chunks(logits):
            values = logits[rows].to(wide, copy=True)
            predictions[rows] = _argmax(values)
            highest = values.gather(1, predictions[rows, None])
            gold = values.gather(1, labels[rows, None])
            total = values.sub_(highest).exp_().sum(1, keepdim=True)
            logsumexp[rows] = (total.log_() + highest)[:, 0]
            losses[rows] = logsumexp[rows] - gold[:, 0]
        ctx.save_for_backward(logits, labels, logsumexp)
        ctx.mark_non_differentiable(predictions)
        return losses, predictions

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, from_losses: Tensor, _: Any) -> tuple[Tensor, None]:
        logits, labels, logsumexp = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for rows in _chunks(logits):
            values = logits[rows].to(logsumexp.dtype, copy=True)
            values.sub_(logsumexp[rows, None]).exp_()
            values.scatter_add_(1, labels[rows, None], values.new_full((len(values), 1), -1.0))
            gradient[rows] = values.mul_(from_losses[rows, None])
        return gradient, None


@torch.compiler.disable
def token_cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the cross entropy and the token of the highest logit at each position.

    Sums over the vocabulary are in float32 or wider, also for logits in half precision. The gradient has the dtype of
    the logits.

    Args:
        logits: Logits of the V tokens at P positions, (P, V).
        labels: Gold ids, int64 (P,), from 0 to V − 1; there is no ignore index.

    Returns:
        The losses (P,), float32 or wider; the predictions (P,), int64, the first of equal ones.
    """
    return _CrossEntropy.apply(logits, labels)


def _chunks(logits: Tensor) -> list[slice]:
    elements = _ELEMENTS * torch.get_num_threads() if logits.device.type == "cpu" else _ELEMENTS_GPU
    rows = max(1, elements // max(1, logits.shape[1]))
    return [slice(start, start + rows) for start in range(0, len(logits), rows)]


def _argmax(values: Tensor) -> Tensor:
    """Argmax of each row; by NumPy on CPUs, since it is vectorised and PyTorch's is not."""
    if values.device.type != "cpu":
        return values.argmax(1)
    return torch.from_numpy(values.numpy().argmax(1))
