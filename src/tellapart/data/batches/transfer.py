"""Copies between the memory of the processor and that of a GPU that do not wait for what the GPU still computes.

An ordinary copy waits until the GPU has done all that it was given, so that it is idle until the next batch arrives.
Copies from and to pinned memory take their turn like any other operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor


def on_device(
    batch: Mapping[str, Tensor], device: torch.device, *, pin: bool = True, kept: Iterable[str] = ()
) -> dict[str, Tensor]:
    """Returns a batch on a device.

    Args:
        batch: Tensors by name.
        device: Where the model is.
        pin: Whether to copy a batch for a CUDA device to pinned memory first, if it is not there yet.
        kept: Names of tensors that stay where they are.
    """
    fixed = set(kept)

    def moved(value: Tensor) -> Tensor:
        # Not on other devices: on Apple GPUs the memory could change before it is read.
        if device.type != "cuda" or not value.is_cpu:
            return value.to(device)
        return (value.pin_memory() if pin else value).to(device, non_blocking=True)

    return {name: value if name in fixed else moved(value) for name, value in batch.items()}


def on_processor(values: Tensor) -> np.ndarray | Callable[[], np.ndarray]:
    """Returns values as an array; for a CUDA tensor begins to copy it, and returns a function that waits for it.

    In between the processor can prepare the next batch and hand it to the GPU.

    Args:
        values: Of any shape, on any device, without gradient.
    """
    if not values.is_cuda:
        return values.cpu().numpy()
    copied = values.to("cpu", non_blocking=True)  # PyTorch allocates pinned memory for it
    arrived = torch.cuda.Event()
    arrived.record()

    def wait() -> np.ndarray:
        arrived.synchronize()  # earlier the memory holds anything
        return copied.numpy()

    return wait
