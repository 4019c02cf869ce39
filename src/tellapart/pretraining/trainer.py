"""`transformers.Trainer` for masked language modelling and ELECTRA, with exact means and exact resuming."""

from __future__ import annotations

import time
import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.utils.data import DataLoader

from tellapart.encoders.dropout import use_fast_dropout
from tellapart.encoders.precision import widened
from tellapart.errors import RecipeError, TellapartWarning
from tellapart.pretraining.batches import MaskedSequences, Position, StepSampler, step_loader
from tellapart.pretraining.checkpoints import (
    load_optimizer,
    load_position,
    load_random_state,
    save_optimizer,
    save_position,
    save_random_state,
    staged,
)
from tellapart.pretraining.terms import KEPT, MASKED, TOKENS, PretrainingModel
from tellapart.training.optimising import check_loss
from tellapart.training.transfers import UnwaitedTransfers


class PretrainingTrainer(UnwaitedTransfers, transformers.Trainer):
    """Trains a `PretrainingModel` for `args.max_steps` steps.

    Differences from Transformers' Trainer: batches are bucketed by length over the whole run; each term is an exact
    mean over the step, also with accumulation and several ranks; checkpoints are atomic and without pickles. Hard
    correction with accumulation predicts each batch twice: the mean of Eq. 2 depends on all predictions of a step.

    Args:
        model: Masked language modelling, or ELECTRA.
        args: `transformers.TrainingArguments` with `max_steps`.
        sequences: The masked corpus.
        tokenizer: Saved with the model.
        batch_tokens: Tokens per batch, in place of `per_device_train_batch_size` sequences.
        window: Steps per window within which sequences are sorted by length.
        fast_dropout: Whether to use the dropout of `tellapart.encoders.dropout` on CPUs.
        callbacks: Transformers callbacks.

    Raises:
        RecipeError: An argument is not supported.
    """

    # What compute_loss returns is a share of the whole accumulated batch already.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: PretrainingModel,
        args: transformers.TrainingArguments,
        sequences: MaskedSequences,
        tokenizer: Any,
        *,
        batch_tokens: int | None = None,
        window: int = 64,
        fast_dropout: bool = True,
        callbacks: list[transformers.TrainerCallback] | None = None,
    ) -> None:
        _refuse(args)
        args.remove_unused_columns = False
        args.logging_nan_inf_filter = False  # as in tellapart.Trainer
        super().__init__(model=model, args=args, train_dataset=sequences, callbacks=callbacks)
        if args.device.type == "cpu" and fast_dropout:
            for part in model.modules():
                if isinstance(part, transformers.PreTrainedModel) and part.base_model is not part:
                    use_fast_dropout(part)
        self.model_accepts_loss_kwargs = False
        self._tokenizer = tokenizer
        self._batch_tokens, self._window = batch_tokens, window
        self._sums: dict[str, Tensor] = {}
        self._counts = dict.fromkeys((MASKED, TOKENS), 0)
        self._uncounted: list[dict[str, Tensor]] = []  # batches of a step whose kept positions are unknown
        self._since = time.perf_counter()
        self._epoch_steps = 1
        self._start = Position()
        self._sampler: StepSampler | None = None
        self._flos_per_token = 6 * sum(parameter.numel() for parameter in model.parameters())

    @property
    def _module(self) -> PretrainingModel:
        return self.accelerator.unwrap_model(self.model)

    def train(self, resume_from_checkpoint: str | bool | None = None, *rest: Any, **options: Any) -> Any:
        """Trains, from a checkpoint if one is given; batches before it are not made again."""
        self._start = Position()
        if isinstance(resume_from_checkpoint, str) and not self.args.ignore_data_skip:
            self._start = load_position(Path(resume_from_checkpoint))
        return super().train(resume_from_checkpoint, *rest, **options)

    def get_train_dataloader(self) -> DataLoader:
        """Returns the DataLoader of this rank's batches of the whole run."""
        args = self.args
        sampler = self._sampler = StepSampler(
            self.train_dataset.corpus,
            args.max_steps,
            batch_size=args.per_device_train_batch_size,
            batch_tokens=self._batch_tokens,
            seed=args.seed if args.data_seed is None else args.data_seed,
            accumulation=args.gradient_accumulation_steps,
            ranks=args.world_size,
            rank=args.process_index,
            window=self._window,
            start=self._start,
        )
        self._epoch_steps = sampler.epoch_steps
        return step_loader(
            self.train_dataset,
            sampler,
            workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory and args.device.type == "cuda",
        )

    # ---- Loss ----

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> dict[str, float]:
        """Counts the masked positions and the tokens of a step on all ranks, the denominators of its terms."""
        masked = sum(len(batch["labels"]) for batch in batch_samples)
        tokens = sum(int(batch["attention_mask"].sum()) for batch in batch_samples)
        counts = torch.tensor([masked, tokens], dtype=torch.float64)
        if self.args.world_size > 1:
            counts = self.accelerator.reduce(counts.float().to(device)).double()
        masked, tokens = counts.tolist()
        self._counts[MASKED] += masked
        self._counts[TOKENS] += tokens
        hard = self._module.corrections.hard_table is not None
        self._uncounted = batch_samples if hard and len(batch_samples) > 1 else []
        return {MASKED: max(masked, 1.0), TOKENS: max(tokens, 1.0)}

    def training_step(
        self, model: Any, inputs: dict[str, Tensor], num_items_in_batch: dict[str, float] | None = None
    ) -> Tensor:
        """Runs forward and backward of one batch of a step; the first counts the kept positions of all of them."""
        if self._uncounted:
            # Not earlier: Transformers restores the random state of a resumed run after fetching the step's batches.
            assert num_items_in_batch is not None
            num_items_in_batch[KEPT] = self._count_kept(model, self._uncounted)
            self._uncounted = []
        return super().training_step(model, inputs, num_items_in_batch)

    def _count_kept(self, model: Any, batches: list[dict[str, Tensor]]) -> float:
        """Counts the positions that hard correction leaves in the batches of a step, on all ranks; at least 1.

        The predictions of every batch decide on the denominator of Eq. 2, which the first backward pass needs: all
        batches are predicted once more in advance, with the same random numbers as afterwards.
        """
        model.train()
        device, counts = self.args.device, self._module.rates.counts
        kept = torch.zeros((), dtype=torch.int64, device=device)
        unscaled = torch.ones((), device=device)
        with _same_random_numbers(device), torch.no_grad(), self.compute_loss_context_manager():
            for batch in batches:
                kept += model(**self._prepare_inputs(batch), masked_over_kept=unscaled)[KEPT]
        self._module.rates.counts = counts  # each batch is counted when it is trained on
        if self.args.world_size > 1:
            kept = self.accelerator.reduce(kept)
        return max(float(kept), 1.0)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Returns this batch's share of the step's loss."""
        if KEPT in num_items_in_batch:
            factor = num_items_in_batch[MASKED] / num_items_in_batch[KEPT]
            inputs = inputs | {"masked_over_kept": torch.full((), factor, device=self.args.device)}
        outputs = model(**inputs)
        ranks = self.args.world_size  # gradients are averaged over ranks, counts are summed
        loss: Any = 0.0
        for name, term in self._module.terms.items():
            loss = loss + outputs[name] * (term.weight * ranks / num_items_in_batch[term.over])
        for name, value in outputs.items():
            value = widened(value.detach())
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs unweighted terms, accuracies, correction rates and speed; stops diverged runs."""
        check_loss(logs, self.state.global_step, "precision")
        if "loss" in logs and self._sums:
            logs |= self._watched()
        # Transformers counts the whole run as one epoch.
        self.state.epoch = self.state.global_step / self._epoch_steps
        super().log(logs, start_time)

    def _watched(self) -> dict[str, float]:
        rates = self._module.rates
        names = list(self._sums)
        sums = torch.stack([value.cpu().double() for value in (*self._sums.values(), *rates.counts)])
        if self.args.world_size > 1:
            sums = self.accelerator.reduce(sums.float().to(self.args.device)).double()
        rates.counts = sums[len(names) :].long().cpu()
        values = dict(zip(names, sums.tolist(), strict=False))
        masked, tokens = max(self._counts[MASKED], 1.0), max(self._counts[TOKENS], 1.0)
        over = {name: self._counts[term.over] for name, term in self._module.terms.items()}
        watched = {f"loss_{name}": values[name] / max(count, 1.0) for name, count in over.items()}
        watched["masked_accuracy"] = values["correct"] / masked
        if "detected" in values:
            watched["discriminator_accuracy"] = values["detected"] / tokens
        if self._module.corrections.table is not None:
            watched["corrected_predictions"] = rates.prediction_level
            watched["corrected_sequences"] = rates.iteration_level
        now = time.perf_counter()
        watched["tokens_per_second"] = round(self._counts[TOKENS] / (now - self._since), 1)
        self._since, self._sums, self._counts = now, {}, dict.fromkeys((MASKED, TOKENS), 0)
        rates.reset()
        return watched

    def floating_point_ops(self, inputs: dict[str, Tensor]) -> int:
        """Returns 6 · parameters · tokens, with a cached number of parameters."""
        return self._flos_per_token * inputs["input_ids"].numel()

    def _clip_grad_norm(self, model: Any) -> Tensor:
        """Clips gradients like Transformers, but rescales them only if the norm is too large."""
        self.accelerator.unscale_gradients()  # under fp16 they are multiplied by the scale of the loss
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        # A GPU would be waited for: there they are always multiplied, if need be by 1.
        if norm.device.type != "cpu" or not norm <= self.args.max_grad_norm:
            torch.nn.utils.clip_grads_with_norm_(model.parameters(), self.args.max_grad_norm, norm)
        return norm

    # ---- Checkpoints ----

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        args, folder = self.args, Path(self.args.output_dir)
        limit = args.save_total_limit
        with staged(
            folder,
            f"checkpoint-{self.state.global_step}",
            main=args.should_save,
            wait=self.accelerator.wait_for_everyone,
            keep=limit,
        ) as staging:
            args.output_dir, args.save_total_limit = str(staging), None
            try:
                super()._save_checkpoint(model, trial)
                if args.should_save and self._sampler is not None:
                    step = self.state.global_step
                    save_position(staging / f"checkpoint-{step}", self._sampler.position(step))
            finally:
                args.output_dir, args.save_total_limit = str(folder), limit

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        self._module.save(Path(output_dir or self.args.output_dir), self._tokenizer)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self._module.load(resume_from_checkpoint)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.args.should_save:
            save_optimizer(Path(output_dir), self.optimizer, self.lr_scheduler)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_optimizer(Path(checkpoint), self.optimizer, self.lr_scheduler)

    def _save_rng_state(self, output_dir: str) -> None:
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        save_random_state(_random_file(output_dir, self.args.process_index))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        file = _random_file(checkpoint, self.args.process_index)
        missing = load_random_state(file) if file.is_file() else []
        ranks = range(self.args.world_size)
        missing += [f"rank {rank}" for rank in ranks if not _random_file(checkpoint, rank).is_file()]
        if missing and self.args.process_index == 0:
            warnings.warn(
                f"The checkpoint has no random state of {', '.join(missing)}: random numbers begin anew there, so "
                "that the result is not exactly that of a run without interruption.",
                TellapartWarning,
                stacklevel=2,
            )


def _random_file(checkpoint: str, rank: int) -> Path:
    return Path(checkpoint) / f"random_state_{rank}.safetensors"


def _same_random_numbers(device: torch.device) -> AbstractContextManager[None]:
    """Restores the random state of CPU and device when the block ends."""
    gpus = [] if device.type == "cpu" else [device]
    return torch.random.fork_rng(devices=gpus, device_type=device.type)


def _refuse(args: transformers.TrainingArguments) -> None:
    if args.max_steps <= 0:
        raise RecipeError("max_steps is not set", "give the number of steps")
    for name in ("label_smoothing_factor", "deepspeed", "fsdp", "auto_find_batch_size"):
        if getattr(args, name, None):
            raise RecipeError(f"{name} is not supported in pre-training", "leave it out")
    if args.n_gpu > 1:
        raise RecipeError(
            f"one process sees {args.n_gpu} GPUs",
            "start one process per GPU (torchrun --nproc_per_node N), or select one with CUDA_VISIBLE_DEVICES=0",
        )
