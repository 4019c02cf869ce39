"""Dropout for CPUs: masks from 16 random bits an element instead of a full random number each.

A CPU draws the masks of stock dropout one number an element on one thread, in hidden states and in attention:
a good part of a training step of a small encoder. One 64-bit number decides four elements here, at the rate
round(p · 65536) / 65536, and what is kept is scaled by exactly that rate. The numbers come from torch's own
generator: seeds and checkpoints govern them as before. On other devices nothing is changed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from tellapart.encoders.transformer import encoders_of

ATTENTION_NAME = "tellapart_sdpa"

_LEVELS = 1 << 16
_LOWEST = -(1 << 63)


def fast_dropout(values: Tensor, rate: float) -> Tensor:
    """Zeroes elements at a rate and scales the rest so that the expectation stays.

    Args:
        values: Any shape, on a CPU.
        rate: From 0 to below 1, kept to within 2⁻¹⁷.
    """
    dropped = _dropped_levels(rate)
    if dropped == 0:
        return values
    return values * _kept(values.shape, dropped).to(values.dtype).mul_(_LEVELS / (_LEVELS - dropped))


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
    return _Masked.apply(values, _kept(values.shape, dropped).neg_()), _LEVELS / (_LEVELS - dropped)


def _dropped_levels(rate: float) -> int:
    return min(round(rate * _LEVELS), _LEVELS - 1)


def _kept(shape: torch.Size, dropped: int) -> Tensor:
    """What stays, as 1, and what goes, as 0; int16."""
    count = shape.numel()
    words = torch.empty(-(-count // 4), dtype=torch.int64).random_(_LOWEST, None)
    bits = words.view(torch.int16)[:count].view(shape)
    # By integer arithmetic: comparing, and multiplying by what a comparison gives, take several times as long.
    first_kept = dropped - (_LEVELS >> 1)
    return bits.clamp_(first_kept - 1, first_kept).sub_(first_kept - 1)


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


class FastDropout(nn.Dropout):
    """`nn.Dropout` that draws its mask by `fast_dropout` on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        """Drops elements in training; on other devices and in evaluation as `nn.Dropout` does."""
        if not self.training or self.p == 0 or input.device.type != "cpu" or self.p >= 1:
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
    if dropout == 0 or query.device.type != "cpu" or grouped or getattr(module, "is_causal", False):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.matmul(query * scale, key.transpose(-1, -2))  # (B, H, L, L)
    if attention_mask is not None:
        # Finite, so that a row without any allowed place has no NaN; in place, since no gradient needs the scores.
        scores = scores.masked_fill_(~attention_mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1)
    if weights.dtype in (torch.bfloat16, torch.float16):
        weights, factor = fast_dropout_unscaled(weights, dropout)
        value = value * factor  # a quarter of the weights, or less
    else:
        weights = fast_dropout(weights, dropout)
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
