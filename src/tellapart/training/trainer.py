"""A `transformers.Trainer` for objectives over representations, with bucketed batches and exact accounting."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.utils.data import DataLoader
from transformers.trainer_utils import EvalLoopOutput, EvalPrediction
from transformers.training_args import OptimizerNames

from tellapart.data.batches.batching import BucketDataLoader, TokenisedDataset
from tellapart.data.batches.label_rows import anchor_count, with_anchors, with_label_rows
from tellapart.data.batches.tokenising import tokenised_rows
from tellapart.encoders.dropout import use_fast_dropout
from tellapart.encoders.transformer import final_linear
from tellapart.errors import RecipeError
from tellapart.files import share_weights
from tellapart.objectives.base import Objective, RunFacts
from tellapart.training.arguments import TrainingArguments
from tellapart.training.averaging import WeightAverage, averaged_weights
from tellapart.training.checkpoints import OBJECTIVE_FILE, FinishedCheckpoints
from tellapart.training.evaluating import confusion_counts, distributed_logits, evaluation_loss
from tellapart.training.gradient_cache import GradientCache
from tellapart.training.module import ObjectiveModel
from tellapart.training.optimising import (
    AverageWeights,
    ConstrainWeights,
    check_loss,
    set_head_rate,
    wins_tie,
)
from tellapart.training.perturbation import embedding_perturbation
from tellapart.training.requirements import (
    check_anchors,
    check_arguments,
    check_labels,
    check_objective,
    class_counts,
    default_objective,
    refuse_arguments,
    total_evaluations,
)
from tellapart.training.sampling import training_batches
from tellapart.training.transfers import UnwaitedTransfers
from tellapart.training.trimmed_embeddings import TrimmedEmbedding, follow_weight_decay, trimmed_embeddings


class Trainer(FinishedCheckpoints, UnwaitedTransfers, transformers.Trainer):
    """Trains a Transformers sequence classifier on an objective; otherwise Transformers' own Trainer.

    Differences: the loss is the objective, a mean over the rows of the whole batch that is exact with gradient
    accumulation and several ranks; batches are bucketed by length; loss terms are logged by name; checkpoints are
    plain models, whatever the pooling.

    Args:
        model: A sequence classifier from `AutoModelForSequenceClassification` or
            `tellapart.encoders.loading.load_encoder`.
        args: `tellapart.TrainingArguments`; those of Transformers are extended by tellapart's defaults.
        objective: The loss to minimise; by default cross entropy, or mean squared error for a model whose
            `problem_type` is `regression`.
        train_dataset: A `TokenisedDataset`, or rows with `input_ids` and `labels`.
        label_texts: Likewise, texts that describe the classes, labelled with their class: further training rows,
            which count neither as training rows for the objective nor in evaluations.
        label_text_weight: Weight of a label text in losses that are means over rows, from 0 up; 0 leaves them out.
        label_text_anchors: Whether each batch also has the label texts of its classes as anchors, only for terms of
            the objective that compare rows.
        eval_dataset: As `train_dataset`.
        processing_class: The tokeniser; provides padding ids and is saved with the model. By default that of a
            `data_collator`, which is accepted if it only pads.
        compute_metrics: Takes an `EvalPrediction` of logits and labels, as in Transformers.
        callbacks: Transformers callbacks.
        options: Any other argument of `transformers.Trainer`.

    Raises:
        UserError: Arguments would be silently ignored, or the objective does not fit the model or the rows.

    Example:
        >>> trainer = Trainer(model, args, objective=CrossEntropy() + 0.5 * NegativeSupervision(),
        ...                   train_dataset=train, processing_class=tokenizer)
        >>> trainer.train()
        >>> trainer.save_model("model")
    """

    # compute_loss already returns the share of the whole accumulated batch.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: Any,
        args: transformers.TrainingArguments | None = None,
        *,
        objective: Objective | None = None,
        train_dataset: Any = None,
        label_texts: Any = None,
        label_text_weight: float = 1.0,
        label_text_anchors: bool = False,
        eval_dataset: Any = None,
        processing_class: Any = None,
        compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
        callbacks: list[transformers.TrainerCallback] | None = None,
        **options: Any,
    ) -> None:
        args = TrainingArguments.of(args or TrainingArguments(output_dir="trainer_output"))
        objective = objective or default_objective(model)
        refuse_arguments(args, options)
        # As in Transformers, whose default for a missing processing_class is the collator's tokeniser.
        processing_class = processing_class or getattr(options.get("data_collator"), "tokenizer", None)
        self._tokenizer, self._classes = processing_class, model.config.num_labels
        train_dataset = self._tokenised(train_dataset, ignored=False)
        check_objective(objective, model, train_dataset)
        check_arguments(args, objective, model, train_dataset)
        label_rows, rows = self._tokenised(label_texts, ignored=False), train_dataset
        if rows is not None:
            rows = with_label_rows(train_dataset, label_rows, label_text_weight)
        objective.prepare(
            RunFacts(
                num_labels=model.config.num_labels,
                hidden_size=final_linear(model).in_features,
                class_counts=class_counts(train_dataset, model.config.num_labels),
                total_evaluations=total_evaluations(args, rows),
                num_rows=None if train_dataset is None else len(train_dataset),
            )
        )
        if rows is not None and label_rows is not None and label_text_anchors:
            check_anchors(objective)
            rows = with_anchors(rows, label_rows)
        args.remove_unused_columns = False
        args.logging_nan_inf_filter = False  # it would log the mean of the other steps: `log` stops at them
        args.label_names = ["labels"]
        super().__init__(
            model=ObjectiveModel(model, objective, args.views_from_layer),
            args=args,
            train_dataset=rows,
            eval_dataset=self._tokenised(eval_dataset),
            processing_class=processing_class,
            compute_metrics=compute_metrics,
            callbacks=callbacks,
            **options,
        )
        if hasattr(model, "constrain_"):
            self.add_callback(ConstrainWeights(model))
        self.average: WeightAverage | None = None
        self.add_callback(AverageWeights(self))
        if args.device.type == "cpu" and args.fast_dropout:
            use_fast_dropout(model)
        # Encoder classifiers accept **kwargs but ignore num_items_in_batch, so that it must not be passed to them.
        self.model_accepts_loss_kwargs = False
        self._perturbation = embedding_perturbation(args, model)
        chunk = args.gradient_cache
        self._gradient_cache = None if chunk is None else GradientCache(self.accelerator, chunk)
        self._trimmed: TrimmedEmbedding | None = None
        self._step_batches: list[dict[str, Tensor]] = []
        self._terms: dict[str, Tensor] = {}
        self._perturbed, self._term_batches = False, 0
        self._flos_per_token = 6 * sum(parameter.numel() for parameter in model.base_model.parameters())

    @property
    def objective(self) -> Objective:
        """The objective in use."""
        return self._module.objective

    @property
    def classifier(self) -> Any:
        """The Transformers classifier being trained."""
        return self._module.model

    @property
    def _module(self) -> ObjectiveModel:
        return self.accelerator.unwrap_model(self.model)

    # ---- Rows ----

    def _tokenised(self, dataset: Any, *, ignored: bool = True) -> Any:
        if isinstance(dataset, dict):
            raise RecipeError("several evaluation sets at once are not supported", "evaluate them one by one")
        if dataset is not None and not isinstance(dataset, TokenisedDataset):
            dataset = tokenised_rows(dataset, self._tokenizer, ignored=ignored)
        check_labels(dataset, self._classes, ignored=ignored)
        return dataset

    def get_train_dataloader(self) -> DataLoader:
        """Returns a loader of this rank's share of the bucketed batches."""
        if self.train_dataset is None:
            raise RecipeError("the trainer has no training rows", "give it a train_dataset")
        args = self.args
        return BucketDataLoader(
            self.train_dataset,
            training_batches(args, self.train_dataset, self._train_batch_size),
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory and args.device.type == "cuda",
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
        )

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader:
        """Returns a loader that only holds the rows; `evaluation_loop` forms the batches."""
        rows = self.eval_dataset if eval_dataset is None else self._tokenised(eval_dataset)
        if rows is None:
            raise RecipeError("there are no rows to evaluate on", "give the trainer an eval_dataset")
        return DataLoader(rows, batch_size=max(1, len(rows)))

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader:
        """As `get_eval_dataloader`."""
        return self.get_eval_dataloader(test_dataset)

    # ---- Training ----

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As `transformers.Trainer.train`; token embeddings that no row uses are left out of optimiser steps."""
        with self.without_unused_embeddings(), averaged_weights(self, self._trimmed):
            return super().train(*args, **kwargs)

    @contextlib.contextmanager
    def without_unused_embeddings(self) -> Iterator[None]:
        """Leaves token embeddings that no training row uses out of optimiser steps inside the block.

        `train` does so by itself. An optimiser must be created inside the block and is dropped at its end.
        """
        if not self._may_trim():
            yield
            return
        with trimmed_embeddings(self.classifier, self.train_dataset) as self._trimmed:
            try:
                yield
            finally:
                if self._trimmed is not None:
                    # It refers to the trimmed embeddings, which are no longer a parameter of the model.
                    self.optimizer = self.lr_scheduler = None
                self._trimmed = None

    def _may_trim(self) -> bool:
        """Whether rows without a gradient change only by weight decay, and the embeddings are not sharded."""
        args = self.args
        return (
            args.trim_embeddings
            and self.train_dataset is not None
            and self.optimizer is None
            and self.optimizer_cls_and_kwargs is None
            and args.optim in (OptimizerNames.ADAMW_TORCH, OptimizerNames.ADAMW_TORCH_FUSED)
            and not (self.is_deepspeed_enabled or self.is_fsdp_enabled)
        )

    # ---- Loss ----

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> Any:
        """Returns the number of texts of an optimiser step on all ranks, over which the loss is averaged."""
        texts = sum(len(batch["input_ids"]) - anchor_count(batch) for batch in batch_samples)
        if self.args.world_size > 1:
            texts = int(self.accelerator.gather(torch.full((), texts, device=device)).sum())
        return texts

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: int | None = None,
    ) -> Any:
        """Returns the objective, weighted by this batch's share of the step's rows.

        With a gradient cache, the gradients of all chunks except the last are already accumulated.
        """
        if self._gradient_cache is not None and model.training:
            loss, outputs = self._gradient_cache.loss(model, inputs, num_items_in_batch)
        else:
            outputs = model(**inputs)
            loss = outputs["loss"] * (outputs["rows"] / (num_items_in_batch or outputs["rows"]))
        terms = {"perturbed": outputs["loss"].detach()} if self._perturbed else outputs["terms"]
        self._terms |= {name: self._terms.get(name, 0) + term for name, term in terms.items()}
        self._term_batches += not self._perturbed
        return (loss, outputs) if return_outputs else loss

    def training_step(
        self, model: Any, inputs: dict[str, Tensor], num_items_in_batch: int | None = None
    ) -> Tensor:
        """Adds a batch's gradients; after the step's last batch, also those of the perturbed pass if configured."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self._perturbation is not None:
            self._step_batches.append(inputs)
            if self.accelerator.sync_gradients:
                with self._perturbation.applied(self.state.global_step):
                    self._perturbed_pass(model, num_items_in_batch)
        return loss

    def _perturbed_pass(self, model: Any, rows: int | None) -> None:
        """Runs all batches of a step again, after the last one, and adds their gradients.

        The perturbation depends on the gradient of the whole step, so that neither accumulation nor the number of
        processes changes it.
        """
        batches, self._step_batches, self._perturbed = self._step_batches, [], True
        for number, inputs in enumerate(batches, start=1):
            last = number == len(batches)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    loss = self.compute_loss(model, self._prepare_inputs(inputs), num_items_in_batch=rows)
                self.accelerator.backward(loss)
        self._perturbed = False

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs the unweighted terms of the objective beside the loss; stops a run that diverged."""
        if "loss" in logs and self._term_batches:
            for name, total in self._terms.items():
                logs[f"loss_{name}"] = float(total) / self._term_batches
            self._terms, self._term_batches = {}, 0
        check_loss(logs, self.state.global_step, "stages.0.precision")
        super().log(logs, start_time)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Creates the optimiser, with `head_learning_rate` for everything outside the base model."""
        if self.optimizer is not None:
            return self.optimizer
        optimizer = super().create_optimizer(model)
        if self._trimmed is not None:
            follow_weight_decay(optimizer, self._trimmed)
        if (rate := self.args.head_learning_rate) is not None:
            set_head_rate(optimizer, self.classifier.base_model.parameters(), rate)
        return optimizer

    def floating_point_ops(self, inputs: dict[str, Tensor]) -> int:
        """Returns 6 · parameters · tokens, without iterating over the parameters at every step."""
        rows, width = inputs["input_ids"].shape
        passes = (rows - anchor_count(inputs)) * self.objective.requirements.views + anchor_count(inputs)
        return self._flos_per_token * width * passes

    # ---- Evaluation ----

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Evaluates all rows in length-sorted batches, shared by the ranks, in the original order."""
        dataset: TokenisedDataset = dataloader.dataset  # type: ignore[assignment]
        with contextlib.nullcontext() if self.average is None else self.average.applied():
            logits = distributed_logits(self.classifier, dataset, self.accelerator, bf16=self.args.bf16)
        labels = None if dataset.labels is None else dataset.labels.numpy()
        metrics: dict[str, float] = {}
        if labels is not None:
            metrics["loss"] = evaluation_loss(torch.from_numpy(logits), torch.from_numpy(labels))
            if self.compute_metrics is not None:
                metrics |= self.compute_metrics(EvalPrediction(predictions=logits, label_ids=labels))
            if self.is_in_train and self.objective.requirements.confusion:
                progress = self.state.global_step / max(1, self.state.max_steps)
                confusion = torch.from_numpy(confusion_counts(logits, labels))
                self.objective.update_confusion(confusion.to(self.args.device), progress)
        prefixed = {f"{metric_key_prefix}_{name}": float(value) for name, value in metrics.items()}
        return EvalLoopOutput(
            predictions=logits, label_ids=labels, metrics=prefixed, num_samples=len(dataset)
        )

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """As in Transformers, except that the later of two equal evaluations is the best if its loss is no higher."""
        if super()._determine_best_metric(metrics, trial):
            return True
        return wins_tie(self.state, self.args.metric_for_best_model, metrics)

    # ---- Checkpoints ----

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        try:
            super()._save_checkpoint(model, trial)
        except BaseException:  # a full disk, Ctrl-C: leave no incomplete checkpoint
            half = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            shutil.rmtree(half, ignore_errors=True)
            raise

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        if not self.args.should_save:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._module.save(folder, self.processing_class)
        if self.average is not None:
            self.average.save(folder)
        share_weights(folder)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Writes a plain checkpoint, without the objective's state, which only training checkpoints have."""
        super().save_model(output_dir, _internal_call)
        if not _internal_call and self.args.should_save:
            (Path(output_dir or self.args.output_dir) / OBJECTIVE_FILE).unlink(missing_ok=True)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self._module.load(resume_from_checkpoint)
        if self.average is not None:
            self.average.load(resume_from_checkpoint)

    def _load_best_model(self) -> None:
        self._module.load(str(self.state.best_model_checkpoint), objective=False)
