"""Convolution and maximum over time in one: only the window that wins has a gradient.

Of the L windows that a filter answers to, the maximum lets one through. Autograd does not know that and computes the
gradients of a convolution as if all did: two thirds of the work of a training step. Here the winners are gathered and
nothing else is touched. The gradients are the same sums, without the zeros, in float32 also under autocast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def window_maxima(
    vectors: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], lengths: Tensor
) -> Tensor:
    """Returns the largest answer of each filter to the windows of each text.

    A window lies inside the text; a text shorter than a filter is one window, the vectors behind it included.

    Args:
        vectors: (B, L, d), L at least the widest filter's width, 0 behind each text.
        weights: A tensor (F, d, width) for each width.
        biases: A tensor (F,) for each width.
        lengths: Of the texts, (B,).

    Returns:
        (B, sum of F), float32 at least.
    """
    if vectors.device.type == "cpu" and torch.is_grad_enabled():
        return _WindowMaxima.apply(vectors, lengths, len(weights), *weights, *biases)
    values, _ = _winners(vectors, weights, biases, lengths)
    return values


def _winners(
    vectors: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], lengths: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """The maxima (B, sum of F), and where each width's winning windows begin, a tensor (B, F) a width."""
    columns = vectors.transpose(1, 2).contiguous()  # (B, d, L)
    values, places = [], []
    for weight, bias in zip(weights, biases, strict=True):
        answers = functional.conv1d(columns, weight, bias)  # (B, F, L - width + 1)
        windows = (lengths - weight.shape[2] + 1).clamp_min(1)
        outside = torch.arange(answers.shape[2], device=answers.device) >= windows[:, None]
        best = answers.masked_fill(outside[:, None], -torch.inf).max(2)
        values.append(best.values.to(vectors.dtype))
        places.append(best.indices)
    return torch.cat(values, 1), places


class _WindowMaxima(torch.autograd.Function):
    """`window_maxima` with the gradients of the winners alone."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, lengths: Tensor, widths: int, *parameters: Tensor) -> Tensor:
        weights, biases = parameters[:widths], parameters[widths:]
        values, places = _winners(vectors, weights, biases, lengths)
        ctx.save_for_backward(vectors, *weights, *places)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        vectors, *rest = ctx.saved_tensors
        widths = len(rest) // 2
        weights, places = rest[:widths], rest[widths:]
        shares = gradient.split([weight.shape[0] for weight in weights], 1)
        # The flat numbers of the words in each winning window, (B, F, width).
        firsts = torch.arange(len(vectors), device=vectors.device)[:, None] * vectors.shape[1]
        words = [
            (firsts + place)[:, :, None] + torch.arange(weight.shape[2], device=vectors.device)
            for weight, place in zip(weights, places, strict=True)
        ]
        of_weights = [
            _of_weight(vectors.flatten(0, 1), word, share) for word, share in zip(words, shares, strict=True)
        ]
        of_vectors = _of_vectors(vectors, weights, words, shares) if ctx.needs_input_grad[0] else None
        return of_vectors, None, None, *of_weights, *(share.sum(0) for share in shares)


def _of_weight(vectors: Tensor, words: Tensor, share: Tensor) -> Tensor:
    """A width's gradient (F, d, width): each filter's winning windows, weighted by its gradients."""
    texts, filters, width = words.shape
    bags = words.permute(1, 2, 0).reshape(-1, texts)  # one for each filter and place in it
    weighting = share.t()[:, None].expand(filters, width, texts).reshape(-1, texts)
    sums = functional.embedding_bag(bags, vectors, mode="sum", per_sample_weights=weighting)
    return sums.view(filters, width, -1).transpose(1, 2)


def _of_vectors(
    vectors: Tensor, weights: Sequence[Tensor], words: Sequence[Tensor], shares: Sequence[Tensor]
) -> Tensor:
    """The gradient (B, L, d): each word's sum over the places of filters that it helped to win."""
    rows, columns, factors, first = [], [], [], 0
    for weight, word, share in zip(weights, words, shares, strict=True):
        filters, _, width = weight.shape
        places = first + torch.arange(filters * width, device=word.device).view(filters, width)
        first += filters * width
        rows.append(word.flatten())
        columns.append(places.expand_as(word).flatten())
        factors.append(share[:, :, None].expand_as(word).flatten())
    row, column, factor = torch.cat(rows), torch.cat(columns), torch.cat(factors)
    used = factor != 0  # ReLU has silenced the others
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
