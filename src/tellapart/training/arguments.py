"""Transformers' training arguments with tellapart's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import transformers


@dataclass
class TrainingArguments(transformers.TrainingArguments):
    """`transformers.TrainingArguments` with eleven further fields; all other options keep their meaning.

    Args:
        head_learning_rate: Learning rate of everything outside the base model, including the objective's parameters;
            by default `learning_rate`.
        bucket_window: Number of batches within which rows are sorted by length. A larger number means less padding;
            1 leaves rows in random order.
        batches: `length`, random rows of similar length; or `balanced`, `texts_per_class` rows of each of several
            classes (see `tellapart.data.batches.balancing.ClassBalancedBatchSampler`).
        texts_per_class: Rows per class in balanced batches.
        fast_dropout: Whether to use the dropout masks of `tellapart.encoders.dropout` on CPUs.
        trim_embeddings: Whether to leave token embeddings that no training row uses out of gradients and optimiser
            steps, with unchanged results. Only with PyTorch's AdamW; see `tellapart.training.trimmed_embeddings`.
        perturbation: `fgm` or `random` add the gradients of a second pass with perturbed token embeddings to each
            step; `none` does not. See `tellapart.training.perturbation`.
        perturbation_size: Euclidean norm of the perturbation of each encoder's embeddings.
        gradient_cache: Texts per chunk of gradient caching, for batches larger than memory; None encodes a batch in
            one pass. See `tellapart.training.gradient_cache`.
        views_from_layer: For objectives with two views: number of the encoder's layers that run once for both, which
            then differ by dropout in the others alone. See `tellapart.encoders.late_views`.
        averaging: Share of the steps over which the weights are averaged, above 0 and at most 1: the model has the
            averaged weights in evaluations and at the end of training. None does not average. See
            `tellapart.training.averaging`.
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
    views_from_layer: int = field(default=0)
    averaging: float | None = field(default=None)

    @classmethod
    def of(cls, args: transformers.TrainingArguments) -> Self:
        """Returns a copy of Transformers' arguments with tellapart's defaults; tellapart's own as they are."""
        if isinstance(args, cls):
            return args
        converted = object.__new__(cls)  # without __post_init__, which has already run
        converted.__dict__.update(args.__dict__)
        return converted
