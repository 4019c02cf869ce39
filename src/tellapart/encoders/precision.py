"""Detection of native bf16 support, and classifiers with bf16 weights for scoring."""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tellapart.data.batches.batching import part_suffix
from tellapart.encoders.transformer import encoders_of, final_linear, two_tokens

Precision = Literal["auto", "fp32", "bf16"]


def default_device() -> str:
    """Returns the device that models train and score on: `cuda`, else `mps`, else `cpu`."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def widened(value: Tensor) -> Tensor:
    """Returns numbers for sums over many batches: in float64, except on Apple GPUs, which have no float64.

    There integers stay integers, whose sums are exact, and other numbers become float32.
    """
    if value.device.type != "mps":
        return value.double()
    return value.float() if value.is_floating_point() else value


def gains_from_bf16(device: torch.device | str) -> bool:
    """Returns whether the device has native bf16 matrix multiplication.

    GPUs since Ampere and CPUs with AVX512_BF16 or AMX have. Other CPUs emulate bf16, which is slower than float32.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def use_bf16(precision: str, device: torch.device | str) -> bool:
    """Returns whether to use bf16 under the setting `auto`, `fp32` or `bf16`."""
    return precision == "bf16" or (precision == "auto" and gains_from_bf16(device))


def bf16_copy(model: Any) -> Any:
    """Returns a copy of a classifier for scoring with bf16 weights, except in the last layer.

    The weights are cast once, whereas autocast casts them in every pass. Sums in matrix products, softmax and layer
    norms are float32 as under autocast; mean pooling and the last linear layer are float32 throughout, so that
    logits are not rounded to the 8 bits of bf16. So are the frequencies of rotary position embeddings: the angle of a
    position is a multiple of them, whose error would grow along the text.

    Args:
        model: A sequence classifier in training form; not modified.

    Returns:
        The copy; the model itself if its family does not support bf16 weights.
    """
    half = copy.deepcopy(model).to(torch.bfloat16).eval()
    last = final_linear(half).float()
    with torch.no_grad():  # the exact weights, instead of those rounded to bf16
        for own, exact in zip(last.parameters(), final_linear(model).parameters(), strict=True):
            own.copy_(exact)
    last.register_forward_pre_hook(_in_float32)
    _restore_frequencies(half, model)
    return half if _runs(half) else model


def _restore_frequencies(half: nn.Module, exact: nn.Module) -> None:
    """Copies rotary frequencies unrounded, as Transformers keeps them in a model loaded in bf16.

    Their modules convert what they compute to the type of the hidden states; with other buffers in float32 a model
    may not run, or compute in float32 from there on.
    """
    for name, buffer in exact.named_buffers():
        owner, _, own = name.rpartition(".")
        if own.endswith("inv_freq") and buffer.is_floating_point():
            setattr(half.get_submodule(owner), own, buffer.clone())


def _in_float32(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(value.float() for value in inputs)


def _runs(model: Any) -> bool:
    """Returns whether a forward pass succeeds; some families create float32 masks that bf16 weights do not accept."""
    device = next(model.parameters()).device
    batch = {
        "input_ids" + part_suffix(number): two_tokens(encoder.config, device)
        for number, encoder in enumerate(encoders_of(model))
    }
    try:
        with torch.inference_mode():
            return bool(model(**batch).logits.isfinite().all())
    except (RuntimeError, ValueError, IndexError):
        return False
