"""The batches of training rows that the training arguments ask for."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Sampler

from tellapart.data.batches.anchors import BatchAnchors
from tellapart.data.batches.balancing import ClassBalancedBatchSampler
from tellapart.data.batches.batching import LengthBucketBatchSampler, TokenisedDataset
from tellapart.training.arguments import TrainingArguments


def training_batches(args: TrainingArguments, rows: TokenisedDataset, batch_size: int) -> Sampler[list[int]]:
    """Returns the sampler of this rank's share of the batches.

    Args:
        args: The training arguments.
        rows: The training rows, with their anchors, if any, at the end.
        batch_size: Rows per batch and rank.
    """
    seed = args.seed if args.data_seed is None else args.data_seed
    labels, lengths, anchors = rows.labels, rows.lengths, None
    if rows.anchors is not None and labels is not None:
        anchors = BatchAnchors(labels, rows.anchors, seed)
        labels, lengths = labels[~rows.anchors], lengths[~rows.anchors]
    options: dict[str, Any] = {
        "seed": seed,
        "accumulation": args.gradient_accumulation_steps,
        "ranks": args.world_size,
        "rank": args.process_index,
        "drop_last": args.dataloader_drop_last,
        "anchors": anchors,
    }
    if args.batches == "balanced":
        assert labels is not None
        return ClassBalancedBatchSampler(
            labels, lengths, batch_size, texts_per_class=args.texts_per_class, **options
        )
    return LengthBucketBatchSampler(lengths, batch_size, window=args.bucket_window, **options)
