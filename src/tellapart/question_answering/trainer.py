"""Trainer for stock question answering models, and the start and end logits of tokens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers
from torch.utils.data import DataLoader

from tellapart.data.batches.batching import BucketDataLoader, LengthBucketBatchSampler, token_budget_batches
from tellapart.data.batches.transfer import on_device
from tellapart.encoders.dropout import use_fast_dropout
from tellapart.encoders.scoring import TOKENS_A_BATCH
from tellapart.question_answering.windows import QAWindows
from tellapart.training.optimising import check_loss
from tellapart.training.transfers import UnwaitedTransfers


class QATrainer(UnwaitedTransfers, transformers.Trainer):
    """The Transformers Trainer with length-bucketed batches and, on CPUs, faster dropout masks.

    A run whose loss is no longer finite is stopped when its loss is logged, or at its end. Of several GPUs that the
    process sees it uses the first: DataParallel would give each a batch, so that the steps were larger.

    Args:
        model: From `AutoModelForQuestionAnswering`.
        args: Transformers' training arguments.
        train_dataset: Windows with answer positions.
        options: Other arguments of `transformers.Trainer`.
    """

    def __init__(
        self, model: Any, args: transformers.TrainingArguments, train_dataset: QAWindows, **options: Any
    ) -> None:
        args.remove_unused_columns = False
        args.logging_nan_inf_filter = False  # as in tellapart.Trainer
        args._n_gpu = min(args.n_gpu, 1)
        super().__init__(model=model, args=args, train_dataset=train_dataset, **options)
        if args.device.type == "cpu":
            use_fast_dropout(model)
        # These models accept **kwargs but ignore num_items_in_batch: their loss is the mean over the batch.
        self.model_accepts_loss_kwargs = False

    def get_train_dataloader(self) -> DataLoader:
        """Returns a loader of bucketed batches, with this rank's share of each."""
        args = self.args
        sampler = LengthBucketBatchSampler(
            self.train_dataset.lengths,
            self._train_batch_size,
            seed=args.seed,
            accumulation=args.gradient_accumulation_steps,
            ranks=args.world_size,
            rank=args.process_index,
        )
        pin = args.dataloader_pin_memory and args.device.type == "cuda"
        return BucketDataLoader(self.train_dataset, sampler, pin_memory=pin)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs as the Transformers Trainer; stops a run that diverged."""
        check_loss(logs, self.state.global_step)
        super().log(logs, start_time)


def token_logits(
    model: Any,
    windows: QAWindows,
    *,
    bf16: bool = False,
    progress: Callable[[int], Any] | None = None,
) -> np.ndarray:
    """Computes the start and end logits of every token.

    Args:
        model: From `AutoModelForQuestionAnswering`.
        windows: The windows.
        bf16: Whether to run under bf16 autocast.
        progress: Called with the number of windows done after each batch.

    Returns:
        float32 (T, 2): start and end logits of the tokens of all windows, concatenated.
    """
    device = next(model.parameters()).device
    autocast = torch.autocast(device.type, torch.bfloat16) if bf16 else contextlib.nullcontext()
    logits = np.empty((int(windows.lengths.sum()), 2), dtype=np.float32)
    model.eval()
    with torch.inference_mode(), autocast:
        for rows in token_budget_batches(windows.lengths, TOKENS_A_BATCH.get(device.type, 4096)):
            batch = windows.batch(rows.tolist())
            inputs = {name: values for name, values in batch.items() if not name.endswith("_positions")}
            output = model(**on_device(inputs, device))
            both = torch.stack([output.start_logits, output.end_logits], dim=-1).float().cpu().numpy()
            for row, values in zip(rows, both, strict=True):
                logits[windows.tokens(row)] = values[: int(windows.lengths[row])]
            if progress is not None:
                progress(len(rows))
    return logits
