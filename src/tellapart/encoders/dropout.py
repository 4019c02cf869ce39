"""Dropout for CPUs: masks from 16 random bits an element instead of a full random number each.

A CPU draws the masks of stock dropout one number an element on one thread, in hidden states and in attention:
a good part of a training step of a small encoder. Here an element is dropped at the rate round(p · 65536) / 65536,
and what is kept is scaled by exactly that rate. torch's own generator gives the seed of each mask: seeds and
checkpoints govern them as before. On other devices nothing is changed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from tellapart.encoders.random_masks import LEVELS, random_mask
from tellapart.encoders.transformer import encoders_of

ATTENTION_NAME = "tellapart_sdpa"

_FAST_SOFTMAX_WIDTH = 32
"""Of 16-bit elements, in multiples of which PyTorch's softmax on CPUs is fast."""

_SHORT_SOFTMAX_WIDTH = 16
"""Of 16-bit elements, up to which the way by float32 is no faster."""

_PIECE = 1 << 19
"""Elements of a softmax that is done by way of float32: what fits a cache."""


def fast_dropout(values: Tensor, rate: float) -> Tensor:
    """Zeroes elements at a rate and scales the rest so that the expectation stays.

    Args:
        values: Any shape, on a CPU.
        rate: From 0 to below 1, kept to within 2⁻¹⁷.
    """
    dropped = _dropped_levels(rate)
    if dropped == 0:
        return values
    kept = random_mask(values.shape, dropped, kept=1)
    return values * kept.to(values.dtype).mul_(LEVELS / (LEVELS - dropped))


def fast_dropout_unscaled(values: Tensor, rate: float) -> tuple[Tensor, float]:
    """Zeroes elements of 16 bits at a rate, and leaves it to the caller to scale what is made of them.

    A mask of 16 bits is laid over the elements: none of their own type is made, kept and multiplied.

    Args:
        values: bfloat16 or float16 of any shape, on a CPU.
        rate: As for `fast_dropout`.

    Returns:
        The elements, and the factor that keeps the expectation.
    """
    dropped = _dropped_levels(rate)
    if dropped == 0:
        return values, 1.0
    return _Masked.apply(values, random_mask(values.shape, dropped, kept=-1)), LEVELS / (LEVELS - dropped)


def _fast_on(values: Tensor) -> bool:
    """Whether masks are drawn here; what `torch.compile` makes draws its own inside its kernels."""
    return values.device.type == "cpu" and not torch.compiler.is_compiling()


def _dropped_levels(rate: float) -> int:
    return min(round(rate * LEVELS), LEVELS - 1)


class _Masked(torch.autograd.Function):
    """Elements of 16 bits under a mask of as many, all ones or all zeros; so is their gradient."""

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
    """Softmax over the last dimension of 16-bit scores, in place; the scores must be nobody else's."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        width = scores.shape[-1]
        for piece in scores.view(-1, width).split(max(1, _PIECE // width)):
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
    """`nn.Dropout` that draws its mask by `fast_dropout` on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        """Drops elements in training; on other devices, in evaluation and compiled as `nn.Dropout` does."""
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
    """Scaled dot-product attention, as Transformers calls it, with `fast_dropout` on its weights.

    PyTorch's fused kernel for CPUs knows no dropout; with a rate above 0 SDPA falls back to separate products
    and draws the slow masks. Everything else goes to SDPA.

    Args:
        module: The attention layer.
        query: (B, H, L, d).
        key: (B, H, L, d).
        value: (B, H, L, d).
        attention_mask: Boolean, True where attention is allowed, broadcast to (B, H, L, L); None for all.
        dropout: Rate on the attention weights.
        scaling: Of the scores; by default 1/√d.
        options: What SDPA takes.

    Returns:
        The attended values (B, L, H, d), and None for the weights.
    """
    grouped = key.shape[1] != query.shape[1] or options.get("position_bias") is not None
    if dropout == 0 or not _fast_on(query) or grouped or getattr(module, "is_causal", False):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.matmul(query * scale, key.transpose(-1, -2))  # (B, H, L, L)
    if attention_mask is not None:
        # Finite, so that a row without any allowed place has no NaN; in place, since no gradient needs the scores;
        # unseen by autograd, since the softmax has no gradient where it is 0.
        with torch.no_grad():
            scores.masked_fill_(~attention_mask, torch.finfo(scores.dtype).min)
    if scores.dtype in (torch.bfloat16, torch.float16):
        width = scores.shape[-1]
        slow = width > _SHORT_SOFTMAX_WIDTH and width % _FAST_SOFTMAX_WIDTH != 0
        weights, factor = fast_dropout_unscaled(
            _Softmax.apply(scores) if slow else scores.softmax(-1), dropout
        )
        value = value * factor  # a quarter of the weights, or less
    else:
        weights = fast_dropout(scores.softmax(-1), dropout)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), None


def use_fast_dropout(model: Any) -> None:
    """Replaces a model's dropout, in hidden states and in SDPA attention, in place.

    The model's weights, config file and behaviour in evaluation stay as they are.

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
