"""Whether bf16 pays on a device: it is detected, never assumed."""

from __future__ import annotations

import torch


def gains_from_bf16(device: torch.device | str) -> bool:
    """Returns whether the device multiplies bf16 matrices natively.

    GPUs from Ampere on do, CPUs with AVX512_BF16 or AMX do. A CPU without either emulates bf16 and is slower
    with it than in float32.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def use_bf16(precision: str, device: torch.device | str) -> bool:
    """Turns `auto`, `fp32` or `bf16` into a decision."""
    return precision == "bf16" or (precision == "auto" and gains_from_bf16(device))
