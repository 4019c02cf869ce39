"""Attention with dropout over long texts on CPUs that keeps a third of the usual memory for the backward pass.

The weights of attention grow with the square of the length: of long texts they are most of a training step's memory.
Usually three tensors of their size are kept, the softmax, the mask of dropout and the weights that it left. Here it
is one of 16 bits per weight, the softmax with the sign set where dropout kept it. All steps (products, padding mask,
softmax, dropout) are done for a few texts at a time, so that nothing else has that size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tellapart.encoders.random_masks import LEVELS, random_mask

LONG = 192
"""Length in tokens from which this is used; for shorter texts the weights are a small part of the memory."""

_PIECE = 1 << 21
"""Attention weights of a piece, unless a single text has more; smaller pieces are slower with two threads."""

FAST_SOFTMAX_WIDTH = 32
"""PyTorch's softmax on CPUs is fast for multiples of this width (16-bit elements)."""

_SIGN = -(1 << 15)
_MAGNITUDE = (1 << 15) - 1


def attention_in_pieces(
    query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None, dropped: int, scale: float
) -> Tensor:
    """Scaled dot-product attention with dropout on its weights.

    Args:
        query: (B, H, L, d), bfloat16 or float16 on a CPU.
        key: (B, H, K, d).
        value: (B, H, K, d).
        allowed: Boolean, True where attention is allowed, broadcast to (B, H, L, K); None for all.
        dropped: Average number of dropped weights in 65,536; 1 to 65,535.
        scale: Of the scores.

    Returns:
        The attended values (B, H, L, d).
    """
    return _InPieces.apply(query, key, value, allowed, dropped, scale)


class _InPieces(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        allowed: Tensor | None,
        dropped: int,
        scale: float,
    ) -> Tensor:
        texts, heads, length, _ = query.shape
        width, factor = key.shape[-2], LEVELS / (LEVELS - dropped)
        query, key, value = (query * scale).flatten(0, 1), key.flatten(0, 1), (value * factor).flatten(0, 1)
        kept = query.new_empty(texts * heads, length, width)
        attended = query.new_empty(texts * heads, length, value.shape[-1])
        at_once = max(1, _PIECE // (heads * length * width))
        for first in range(0, texts, at_once):
            rows = slice(first * heads, (first + at_once) * heads)
            scores = torch.bmm(query[rows], key[rows].mT)
            if allowed is not None:
                ours = allowed if len(allowed) == 1 else allowed[first : first + at_once]
                # finite, so that a fully masked row has no NaN
                lowest = torch.finfo(scores.dtype).min
                scores.view(-1, heads, length, width).masked_fill_(~ours, lowest)
            weights = _softmax(scores).view(torch.int16)
            mask = random_mask(weights.shape, dropped, kept=-1)
            piece = kept[rows].view(torch.int16)
            torch.bitwise_and(weights, mask, out=piece)
            torch.bmm(kept[rows], value[rows], out=attended[rows])
            torch.bitwise_or(weights, mask.bitwise_and_(_SIGN), out=piece)
        ctx.save_for_backward(query, key, value, kept)
        ctx.heads, ctx.scale, ctx.factor, ctx.rows_at_once = heads, scale, factor, at_once * heads
        return attended.unflatten(0, (texts, heads))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, kept = ctx.saved_tensors
        gradient = gradient.flatten(0, 1)
        of_query, of_key, of_value = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
        for first in range(0, len(query), ctx.rows_at_once):
            rows = slice(first, first + ctx.rows_at_once)
            bits = kept[rows].view(torch.int16)
            mask, weights = bits >> 15, bits & _MAGNITUDE
            torch.bmm((weights & mask).view(kept.dtype).mT, gradient[rows], out=of_value[rows])
            of_weights = torch.bmm(gradient[rows], value[rows].mT)
            of_weights.view(torch.int16).bitwise_and_(mask)
            of_scores = torch.ops.aten._softmax_backward_data(
                of_weights, weights.view(kept.dtype), -1, kept.dtype
            )
            torch.bmm(of_scores, key[rows], out=of_query[rows])
            torch.bmm(of_scores.mT, query[rows], out=of_key[rows])
        gradients = (of_query.mul_(ctx.scale), of_key, of_value.mul_(ctx.factor))
        return *(each.unflatten(0, (-1, ctx.heads)) for each in gradients), None, None, None


def _softmax(scores: Tensor) -> Tensor:
    """Returns the softmax over the last dimension; `scores` may be overwritten."""
    if scores.shape[-1] % FAST_SOFTMAX_WIDTH == 0:
        return scores.softmax(-1)
    return scores.copy_(scores.softmax(-1, dtype=torch.float32))
