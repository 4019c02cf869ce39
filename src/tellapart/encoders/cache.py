"""Disk cache for the representations of a frozen encoder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.encoders.pooling import pooling_of
from tellapart.encoders.scoring import represent
from tellapart.encoders.transformer import encoders_of, final_linear
from tellapart.encoders.windowed import WINDOW_SETTINGS
from tellapart.errors import ModelError
from tellapart.files import replacing

_VECTORS, _DESCRIPTION = "vectors.npy", "cache.json"


def cached_representations(
    model: Any,
    dataset: TokenisedDataset,
    folder: str | Path,
    *,
    bf16: bool = False,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Returns the representation v of every row, computed or read from the cache.

    The vectors are memory-mapped, so that they need not fit into memory.

    Args:
        model: A sequence classifier with a frozen encoder.
        dataset: The rows.
        folder: The cache.
        bf16: Whether to compute them under bf16 autocast.
        progress: Called with the number of rows done after each batch.

    Returns:
        float32 (N, d), read-only.

    Raises:
        ModelError: The folder contains vectors of another model or of other rows.
        OutputError: The vectors cannot be written.
    """
    target = Path(folder)
    fingerprint = _fingerprint(model, dataset, bf16)
    if (target / _DESCRIPTION).is_file():
        try:
            found = json.loads((target / _DESCRIPTION).read_text(encoding="utf-8"))["fingerprint"]
        except (ValueError, KeyError, TypeError):
            found = None
        if found != fingerprint:
            raise ModelError(
                f"the vectors in {target} were computed by another model or from other rows",
                "delete that folder to compute them again",
            )
        return np.load(target / _VECTORS, mmap_mode="r", allow_pickle=False)
    with replacing(target) as temporary:
        temporary.mkdir()

        def allocate(shape: tuple[int, int]) -> np.ndarray:
            return np.lib.format.open_memmap(temporary / _VECTORS, mode="w+", dtype=np.float32, shape=shape)

        vectors = represent(model, dataset, bf16=bf16, progress=progress, allocate=allocate)
        vectors.flush()  # type: ignore[attr-defined]
        description = {"fingerprint": fingerprint, "rows": len(vectors), "width": vectors.shape[1]}
        (temporary / _DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")
        del vectors
    return np.load(target / _VECTORS, mmap_mode="r", allow_pickle=False)


def _fingerprint(model: Any, dataset: TokenisedDataset, bf16: bool) -> str:
    """Returns the SHA-256 of weights (without the final layer), pooling, tokens and precision."""
    poolings = [pooling_of(encoder.config) for encoder in encoders_of(model)]
    kind = (type(model).__name__, poolings, getattr(model.config, "fusion", None), bf16)
    windows = [getattr(model.config, name) for name in WINDOW_SETTINGS if hasattr(model.config, name)]
    digest = hashlib.sha256(repr((*kind, *windows)).encode())
    head = {id(parameter) for parameter in final_linear(model).parameters()}
    encoder = {name: value.detach() for name, value in model.named_parameters() if id(value) not in head}
    for name, tensor in {**encoder, **dataset.tensors()}.items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
