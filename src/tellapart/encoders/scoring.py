"""Computes logits and representations of many rows, in batches of similar length, in the original order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from tellapart.data.batches.batching import TokenisedDataset, token_budget_batches
from tellapart.data.batches.transfer import on_device, on_processor
from tellapart.data.examples import TextSplit
from tellapart.encoders.transformer import RepresentationTap


class TextModel(Protocol):
    """What reads texts: a Transformers model with its tokeniser, TF-IDF with its classifier, or an export."""

    @property
    def model(self) -> Any:
        """The underlying model."""

    @property
    def tokenizer(self) -> Any:
        """Its tokeniser, or None."""

    @property
    def max_length(self) -> int:
        """Longest input in tokens."""

    def tokenised(self, split: TextSplit) -> TokenisedDataset | None:
        """Tokenises a split; None for models that read plain texts."""


# Padded tokens per batch: large enough for efficient matrix products, small enough for the caches of a CPU.
TOKENS_A_BATCH = {"cpu": 4096, "cuda": 65536}


def _in_memory(shape: tuple[int, int]) -> np.ndarray:
    return np.empty(shape, dtype=np.float32)


def score(
    model: Any,
    dataset: TokenisedDataset,
    *,
    bf16: bool = False,
    rows: Sequence[int] | np.ndarray | None = None,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Computes the logits of every row.

    Args:
        model: A sequence classifier, or a callable with `device` that returns an object with `logits`.
        dataset: The rows.
        bf16: Whether to run under bf16 autocast.
        rows: Row numbers to score, in this order; by default all.
        progress: Called with the number of rows done after each batch.

    Returns:
        float32 (N, K), in the order of the rows.
    """
    return _collect(model, dataset, lambda output: output.logits, bf16, rows, progress)


def represent(
    model: Any,
    dataset: TokenisedDataset,
    *,
    bf16: bool = False,
    rows: Sequence[int] | np.ndarray | None = None,
    progress: Callable[[int], None] | None = None,
    allocate: Callable[[tuple[int, int]], np.ndarray] = _in_memory,
) -> np.ndarray:
    """Computes the representation v of every row: the input of the final linear layer.

    Args:
        model: As for `score`, and so `dataset`, `bf16`, `rows` and `progress`.
        dataset: The rows.
        bf16: Whether to run under bf16 autocast.
        rows: Row numbers.
        progress: Called after each batch.
        allocate: Creates the float32 array (N, d) of the result; by default in memory.

    Returns:
        float32 (N, d), in the order of the rows.
    """
    tap = RepresentationTap(model)
    try:
        return _collect(model, dataset, lambda _: tap.take(), bf16, rows, progress, allocate)
    finally:
        tap.remove()


def _collect(
    model: Any,
    dataset: TokenisedDataset,
    read: Callable[[Any], Tensor],
    bf16: bool,
    rows: Sequence[int] | np.ndarray | None,
    progress: Callable[[int], None] | None,
    allocate: Callable[[tuple[int, int]], np.ndarray] = _in_memory,
) -> np.ndarray:
    device = next(model.parameters()).device
    budget = TOKENS_A_BATCH.get(device.type, TOKENS_A_BATCH["cuda"])
    autocast = torch.autocast(device.type, torch.bfloat16) if bf16 else contextlib.nullcontext()

    def values(batch: dict[str, Tensor]) -> np.ndarray | Callable[[], np.ndarray]:
        return on_processor(read(model(**on_device(batch, device))).float())

    was_training = model.training
    if any(module.training for module in model.modules()):  # setting it takes longer than looking
        model.eval()
    try:
        with torch.inference_mode(), autocast:
            return in_batches(dataset, values, budget, rows=rows, progress=progress, allocate=allocate)
    finally:
        if was_training:
            model.train()


def in_batches(
    dataset: TokenisedDataset,
    compute: Callable[[dict[str, Tensor]], np.ndarray | Callable[[], np.ndarray]],
    tokens: int,
    *,
    rows: Sequence[int] | np.ndarray | None = None,
    progress: Callable[[int], None] | None = None,
    allocate: Callable[[tuple[int, int]], np.ndarray] = _in_memory,
) -> np.ndarray:
    """Computes a vector for every row, in batches of similar length.

    Args:
        dataset: The rows.
        compute: Maps padded inputs by name, (B, L), to float32 (B, D), or to a function that waits for them and
            returns them, which is called after the next batch has been handed over.
        tokens: Maximum number of padded tokens per batch.
        rows: As for `represent`, and so `progress` and `allocate`.
        progress: Called after each batch.
        allocate: Creates the array of the result.

    Returns:
        float32 (N, D), in the order of the rows.
    """
    numbers = np.arange(len(dataset)) if rows is None else np.asarray(rows)
    results: np.ndarray | None = None

    def store(places: np.ndarray, values: np.ndarray) -> None:
        nonlocal results
        if results is None:
            results = allocate((len(numbers), values.shape[1]))
        results[places] = values
        if progress is not None:
            progress(len(places))

    waiting: tuple[np.ndarray, Callable[[], np.ndarray]] | None = None
    for places in token_budget_batches(dataset.lengths[numbers], tokens):
        batch = dataset.batch(numbers[places])
        for answers in ("labels", "targets"):
            batch.pop(answers, None)
        values = compute(batch)
        if waiting is not None:
            store(waiting[0], waiting[1]())
        if callable(values):
            waiting = places, values
        else:
            store(places, values)
    if waiting is not None:
        store(waiting[0], waiting[1]())
    return results if results is not None else np.empty((0, 0), dtype=np.float32)
