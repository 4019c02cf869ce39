"""Fused 1-D convolution and max-over-time pooling, with gradients only through the arg-max.

Of all positions that a filter is applied to, only the maximum passes a gradient. Autograd nevertheless computes the
gradients of the convolution at every position, two thirds of the work of a training step. Here only the inputs of the
maxima are gathered. The gradients are the same sums, without the zeros, in float32 also under autocast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def max_over_time(
    vectors: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], lengths: Tensor
) -> Tensor:
    """Returns the maximum of each filter's outputs over the positions of each text.

    A filter is applied only inside the text; to a text shorter than the filter it is applied once, zeros after the
    text included.

    Args:
        vectors: (B, L, d), L at least the widest filter's width, 0 after each text.
        weights: One tensor (F, d, width) per width.
        biases: One tensor (F,) per width.
        lengths: Of the texts, (B,).

    Returns:
        (B, sum of F), at least float32.
    """
    if vectors.device.type == "cpu" and torch.is_grad_enabled():
        return _MaxOverTime.apply(vectors, lengths, len(weights), *weights, *biases)
    values, _ = _maxima(vectors, weights, biases, lengths)
    return values


def _maxima(
    vectors: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], lengths: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Returns the maxima (B, sum of F) and their positions, one tensor (B, F) per width."""
    columns = vectors.transpose(1, 2).contiguous()  # (B, d, L)
    values, positions = [], []
    for weight, bias in zip(weights, biases, strict=True):
        outputs = functional.conv1d(columns, weight, bias)  # (B, F, L - width + 1)
        valid = (lengths - weight.shape[2] + 1).clamp_min(1)
        outside = torch.arange(outputs.shape[2], device=outputs.device) >= valid[:, None]
        best = outputs.masked_fill(outside[:, None], -torch.inf).max(2)
        values.append(best.values.to(vectors.dtype))
        positions.append(best.indices)
    return torch.cat(values, 1), positions


class _MaxOverTime(torch.autograd.Function):
    """`max_over_time` with gradients only through the maxima."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, lengths: Tensor, widths: int, *parameters: Tensor) -> Tensor:
        weights, biases = parameters[:widths], parameters[widths:]
        values, positions = _maxima(vectors, weights, biases, lengths)
        ctx.save_for_backward(vectors, *weights, *positions)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        vectors, *rest = ctx.saved_tensors
        widths = len(rest) // 2
        weights, positions = rest[:widths], rest[widths:]
        shares = gradient.split([weight.shape[0] for weight in weights], 1)
        # Flat indices of the words under each filter at its maximum, (B, F, width).
        firsts = torch.arange(len(vectors), device=vectors.device)[:, None] * vectors.shape[1]
        words = [
            (firsts + position)[:, :, None] + torch.arange(weight.shape[2], device=vectors.device)
            for weight, position in zip(weights, positions, strict=True)
        ]
        weight_gradients = [
            _weight_gradient(vectors.flatten(0, 1), word, share)
            for word, share in zip(words, shares, strict=True)
        ]
        vector_gradient = (
            _vector_gradient(vectors, weights, words, shares) if ctx.needs_input_grad[0] else None
        )
        return vector_gradient, None, None, *weight_gradients, *(share.sum(0) for share in shares)


def _weight_gradient(vectors: Tensor, words: Tensor, share: Tensor) -> Tensor:
    """Returns the gradient of one width's weights (F, d, width): inputs of the maxima weighted by their gradients."""
    texts, filters, width = words.shape
    bags = words.permute(1, 2, 0).reshape(-1, texts)  # one per filter and place in it
    weighting = share.t()[:, None].expand(filters, width, texts).reshape(-1, texts)
    sums = functional.embedding_bag(bags, vectors, mode="sum", per_sample_weights=weighting)
    return sums.view(filters, width, -1).transpose(1, 2)


def _vector_gradient(
    vectors: Tensor, weights: Sequence[Tensor], words: Sequence[Tensor], shares: Sequence[Tensor]
) -> Tensor:
    """Returns the gradient of the vectors (B, L, d): for each word the sum over the filter places it was under."""
    rows, columns, factors, first = [], [], [], 0
    for weight, word, share in zip(weights, words, shares, strict=True):
        filters, _, width = weight.shape
        places = first + torch.arange(filters * width, device=word.device).view(filters, width)
        first += filters * width
        rows.append(word.flatten())
        columns.append(places.expand_as(word).flatten())
        factors.append(share[:, :, None].expand_as(word).flatten())
    row, column, factor = torch.cat(rows), torch.cat(columns), torch.cat(factors)
    used = factor != 0  # the ReLU passes no gradient to the others
    row, column, factor = row[used], column[used], factor[used]
    order = torch.argsort(row, stable=True)
    counts = torch.bincount(row, minlength=vectors.shape[0] * vectors.shape[1])
    table = torch.cat([weight.transpose(1, 2).flatten(0, 1) for weight in weights])  # (places, d)
    sums = functional.embedding_bag(
        column[order],
        table,
        counts.cumsum(0) - counts,
        mode="sum",
        per_sample_weights=factor[order],
    )
    return sums.view_as(vectors)
