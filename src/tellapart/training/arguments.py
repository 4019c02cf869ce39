"""Transformers' training arguments with what tellapart adds, and the rules for values left open."""

from __future__ import annotations

from dataclasses import dataclass, field

import transformers


@dataclass
class TrainingArguments(transformers.TrainingArguments):
    """`transformers.TrainingArguments` plus nine fields; every other option keeps its meaning.

    Args:
        head_learning_rate: Rate of everything outside the base model, the objective's parameters included; by
            default `learning_rate`.
        bucket_window: Batches in a window inside which rows are sorted by length. More means less padding;
            1 leaves rows in random order.
        batches: `length`, rows at random with those of similar length; or `balanced`, `texts_per_class` rows of each
            of several classes (see `tellapart.data.batches.balancing.ClassBalancedBatchSampler`).
        texts_per_class: Of balanced batches.
        fast_dropout: Whether to draw dropout masks on CPUs as `tellapart.encoders.dropout` does.
        trim_embeddings: Whether the token embeddings that no training row uses are left out of gradients and
            optimiser steps, which changes nothing in what is learnt. With PyTorch's AdamW only; see
            `tellapart.training.trimmed_embeddings`.
        perturbation: `fgm` or `random`: each step's rows pass a second time through perturbed token embeddings, and
            both gradients are added; `none`. See `tellapart.training.perturbation`.
        perturbation_size: Euclidean length of the perturbation of each encoder's embeddings.
        gradient_cache: Texts whose activations are in memory at once, for batches that are larger than memory: the
            batch is encoded in chunks of so many, twice, and compared as a whole. None encodes it in one pass. See
            `tellapart.training.gradient_cache`.
    """

    head_learning_rate: float | None = field(default=None)
    bucket_window: int = field(default=64)
    batches: str = field(default="length")
    texts_per_class: int = field(default=4)
    fast_dropout: bool = field(default=True)
    trim_embeddings: bool = field(default=True)
    perturbation: str = field(default="none")
    perturbation_size: float = field(default=1.0)
    gradient_cache: int | None = field(default=None)
