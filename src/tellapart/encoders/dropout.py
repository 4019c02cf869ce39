"""Fast dropout on CPUs, with masks from 16 random bits per element.

On a CPU, stock dropout draws one random number per element on a single thread, in hidden states and in attention: a
considerable part of a training step of a small encoder. Here one 64-bit number decides four elements, drawn by
NumPy's fastest generator in half the time of PyTorch's. More threads do not help: PyTorch's own threads wait busily
on the same cores. The drop rate is round(p · 65536) / 65536, and kept elements are scaled by exactly that rate.
PyTorch's generator provides the seed of each mask, so that seeds and checkpoints work as usual. Other devices are not
affected.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from tellapart.encoders.long_attention import FAST_SOFTMAX_WIDTH, LONG, attention_in_pieces
from tellapart.encoders.random_masks import LEVELS, random_mask
from tellapart.encoders.transformer import encoders_of

ATTENTION_NAME = "tellapart_sdpa"

_SHORT_SOFTMAX_WIDTH = 16
"""Up to this width (16-bit elements) a softmax in float32 is not faster."""

_SOFTMAX_PIECE = 1 << 19
"""Elements per piece of a softmax computed in float32, so that a piece fits into a cache."""


def fast_dropout(values: Tensor, rate: float) -> Tensor:
    """Zeroes elements at a rate and scales the others so that the expectation is unchanged.

    Args:
        values: Any shape, on a CPU.
        rate: At least 0 and below 1, rounded to a multiple of 2⁻¹⁶.
    """
    dropped = _dropped_levels(rate)
    if dropped == 0:
        return values
    kept = random_mask(values.shape, dropped, kept=1)
    return values * kept.to(values.dtype).mul_(LEVELS / (LEVELS - dropped))


def fast_dropout_unscaled(values: Tensor, rate: float) -> tuple[Tensor, float]:
    """Zeroes 16-bit elements at a rate without scaling, which is left to the caller.

    The mask is applied bitwise, so that none of the elements' type has to be stored and multiplied.

    Args:
        values: bfloat16 or float16 of any shape, on a CPU.
        rate: As for `fast_dropout`.

    Returns:
        The elements, and the factor by which they must be scaled.
    """
    dropped = _dropped_levels(rate)
    if dropped == 0:
        return values, 1.0
    return _Masked.apply(values, random_mask(values.shape, dropped, kept=-1)), LEVELS / (LEVELS - dropped)


def _fast_on(values: Tensor) -> bool:
    """Returns whether fast masks are used: on CPUs, except in compiled graphs, whose kernels draw their own."""
    return values.device.type == "cpu" and not torch.compiler.is_compiling()


def _has_16_bits(values: Tensor) -> bool:
    return values.dtype in (torch.bfloat16, torch.float16)


def _dropped_levels(rate: float) -> int:
    return min(round(rate * LEVELS), LEVELS - 1)


class _Masked(torch.autograd.Function):
    """Bitwise product of 16-bit elements and a mask of all ones or all zeros per element."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(mask)
        return (values.view(torch.int16) & mask).view(values.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return (gradient.view(torch.int16) & mask).view(gradient.dtype), None


class _Softmax(torch.autograd.Function):
    """Softmax over the last dimension of 16-bit scores, in place; the input must not be used elsewhere."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        width = scores.shape[-1]
        for piece in scores.view(-1, width).split(max(1, _SOFTMAX_PIECE // width)):
            piece.copy_(piece.softmax(-1, dtype=torch.float32))
        ctx.mark_dirty(scores)
        ctx.save_for_backward(scores)
        return scores

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (weights,) = ctx.saved_tensors
        return torch.ops.aten._softmax_backward_data(gradient, weights, -1, weights.dtype)


class FastDropout(nn.Dropout):
    """`nn.Dropout` that uses `fast_dropout` on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        """Applies dropout; on other devices, in evaluation and in compiled graphs as `nn.Dropout` does."""
        if not self.training or self.p == 0 or self.p >= 1 or not _fast_on(input):
            return super().forward(input)
        return fast_dropout(input, self.p)


def fast_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention with Transformers' signature and `fast_dropout` on its weights.

    PyTorch's fused kernel for CPUs does not support dropout; with a rate above 0, SDPA falls back to separate
    products and slow masks. All other cases are passed to SDPA.

    Args:
        module: The attention layer.
        query: (B, H, L, d).
        key: (B, H, L, d).
        value: (B, H, L, d).
        attention_mask: Boolean, True where attention is allowed, broadcast to (B, H, L, L); None for all.
        dropout: Rate on the attention weights.
        scaling: Of the scores; by default 1/√d.
        options: Other options of SDPA.

    Returns:
        The attended values (B, L, H, d), and None for the weights.
    """
    grouped = key.shape[1] != query.shape[1] or options.get("position_bias") is not None
    if dropout == 0 or not _fast_on(query) or grouped or getattr(module, "is_causal", False):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    dropped = _dropped_levels(dropout)
    if key.shape[-2] >= LONG and dropped and query.dtype == key.dtype == value.dtype and _has_16_bits(query):
        attended = attention_in_pieces(query, key, value, attention_mask, dropped, scale)
        return attended.transpose(1, 2).contiguous(), None
    scores = torch.matmul(query * scale, key.transpose(-1, -2))  # (B, H, L, L)
    if attention_mask is not None:
        # Finite, so that a fully masked row has no NaN; in place, since no gradient needs the scores; without
        # autograd, since the softmax has no gradient where it is 0.
        with torch.no_grad():
            scores.masked_fill_(~attention_mask, torch.finfo(scores.dtype).min)
    if _has_16_bits(scores):
        width = scores.shape[-1]
        slow = width > _SHORT_SOFTMAX_WIDTH and width % FAST_SOFTMAX_WIDTH != 0
        weights, factor = fast_dropout_unscaled(
            _Softmax.apply(scores) if slow else scores.softmax(-1), dropout
        )
        value = value * factor  # at most a quarter as many elements as the weights
    else:
        weights = fast_dropout(scores.softmax(-1), dropout)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), None


def use_fast_dropout(model: Any) -> None:
    """Replaces the dropout in a model's hidden states and SDPA attention by fast dropout, in place.

    The weights, the config file and the behaviour in evaluation are unchanged.

    Args:
        model: A Transformers model.
    """
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = FastDropout
    for encoder in encoders_of(model):
        if getattr(encoder.config, "_attn_implementation", None) == "sdpa":
            AttentionInterface.register(ATTENTION_NAME, fast_attention)
            AttentionMaskInterface.register(ATTENTION_NAME, sdpa_mask)
            encoder.set_attn_implementation(ATTENTION_NAME)
