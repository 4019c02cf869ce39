"""A `transformers.Trainer` for objectives over representations, with bucketed batches and exact accounting."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from transformers.trainer_utils import EvalLoopOutput, EvalPrediction
from transformers.training_args import OptimizerNames

from tellapart.data.batches.balancing import ClassBalancedBatchSampler
from tellapart.data.batches.batching import BucketDataLoader, LengthBucketBatchSampler, TokenisedDataset
from tellapart.data.batches.tokenising import tokenised_rows
from tellapart.encoders.dropout import use_fast_dropout
from tellapart.encoders.scoring import score
from tellapart.encoders.transformer import final_linear
from tellapart.errors import RecipeError, TellapartError
from tellapart.objectives.base import Objective, RunFacts
from tellapart.objectives.cross_entropy import CrossEntropy
from tellapart.objectives.mean_squared_error import MeanSquaredError
from tellapart.training.evaluating import confusion_counts, evaluation_loss
from tellapart.training.gradient_cache import GradientCache
from tellapart.training.module import OBJECTIVE_FILE, ObjectiveModel
from tellapart.training.perturbation import embedding_perturbation
from tellapart.training.requirements import (
    check_batches,
    check_gradient_cache,
    check_objective,
    class_counts,
    refuse_arguments,
    total_evaluations,
)
from tellapart.training.trimmed_embeddings import (
    TrimmedEmbedding,
    follow_weight_decay,
    trimmed_embeddings,
)


class Trainer(transformers.Trainer):
    """Trains a Transformers sequence classifier on an objective; otherwise Transformers' own Trainer.

    What differs: the loss is the objective's, a mean over the rows of the whole batch, exact for accumulation
    and for several ranks; batches are bucketed by length; terms are logged by name; checkpoints are plain
    models, whatever the pooling.

    Args:
        model: A sequence classifier, as `AutoModelForSequenceClassification` or
            `tellapart.encoders.loading.load_encoder` makes it.
        args: `transformers.TrainingArguments` or `tellapart.TrainingArguments`.
        objective: What is minimised; when not given, cross entropy, or mean squared error for a model whose
            `problem_type` is `regression`.
        train_dataset: A `TokenisedDataset`, or rows with `input_ids` and `labels`.
        eval_dataset: Likewise.
        processing_class: The tokeniser; gives padding ids and is saved with the model.
        compute_metrics: Takes an `EvalPrediction` of logits and labels, as in Transformers.
        callbacks: Transformers callbacks.
        options: Any other argument of `transformers.Trainer`.

    Raises:
        UserError: The arguments ask for something that would silently train on something else.

    Example:
        >>> trainer = Trainer(model, args, objective=CrossEntropy() + 0.5 * NegativeSupervision(),
        ...                   train_dataset=train, processing_class=tokenizer)
        >>> trainer.train()
        >>> trainer.save_model("model")
    """

    # The loss that compute_loss returns is a share of the whole accumulated batch already.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: Any,
        args: transformers.TrainingArguments | None = None,
        *,
        objective: Objective | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
        callbacks: list[transformers.TrainerCallback] | None = None,
        **options: Any,
    ) -> None:
        args = args or transformers.TrainingArguments(output_dir="trainer_output")
        objective = objective or _usual_objective(model)
        refuse_arguments(args, options)
        self._tokenizer = processing_class
        train_dataset = self._tokenised(train_dataset)
        check_objective(objective, model, train_dataset)
        check_batches(args, train_dataset)
        check_gradient_cache(getattr(args, "gradient_cache", None), args.per_device_train_batch_size)
        objective.prepare(
            RunFacts(
                num_labels=model.config.num_labels,
                hidden_size=final_linear(model).in_features,
                class_counts=class_counts(train_dataset, model.config.num_labels),
                total_evaluations=total_evaluations(args, train_dataset),
                num_rows=None if train_dataset is None else len(train_dataset),
            )
        )
        args.remove_unused_columns = False
        args.label_names = ["labels"]
        super().__init__(
            model=ObjectiveModel(model, objective),
            args=args,
            train_dataset=train_dataset,
            eval_dataset=self._tokenised(eval_dataset),
            processing_class=processing_class,
            compute_metrics=compute_metrics,
            callbacks=callbacks,
            **options,
        )
        if hasattr(model, "constrain_"):
            self.add_callback(_ConstrainWeights(model))
        if args.device.type == "cpu" and getattr(args, "fast_dropout", True):
            use_fast_dropout(model)
        # Encoder classifiers take **kwargs but ignore num_items_in_batch; nothing may be passed to them.
        self.model_accepts_loss_kwargs = False
        self._perturbation = embedding_perturbation(args, model)
        texts = getattr(args, "gradient_cache", None)
        self._gradient_cache = None if texts is None else GradientCache(self.accelerator, texts)
        self._trimmed: TrimmedEmbedding | None = None
        self._step_batches: list[dict[str, Tensor]] = []
        self._terms: dict[str, Tensor] = {}
        self._term_batches = 0
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

    def _tokenised(self, dataset: Any) -> Any:
        if dataset is None or isinstance(dataset, TokenisedDataset):
            return dataset
        if isinstance(dataset, dict):
            raise RecipeError("several evaluation sets at once are not supported", "evaluate them one by one")
        return tokenised_rows(dataset, self._tokenizer)

    def get_train_dataloader(self) -> DataLoader:
        """Returns a loader of bucketed batches, this rank's share of each."""
        if self.train_dataset is None:
            raise RecipeError("the trainer has no rows to learn from", "give it a train_dataset")
        args = self.args
        return BucketDataLoader(
            self.train_dataset,
            self._train_batches(),
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory and args.device.type == "cuda",
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
        )

    def _train_batches(self) -> Sampler[list[int]]:
        args, rows = self.args, self.train_dataset
        options = {
            "seed": args.seed if args.data_seed is None else args.data_seed,
            "accumulation": args.gradient_accumulation_steps,
            "ranks": args.world_size,
            "rank": args.process_index,
            "drop_last": args.dataloader_drop_last,
        }
        if getattr(args, "batches", "length") == "balanced":
            return ClassBalancedBatchSampler(
                rows.labels,
                rows.lengths,
                self._train_batch_size,
                texts_per_class=args.texts_per_class,
                **options,
            )
        window = getattr(args, "bucket_window", 64)
        return LengthBucketBatchSampler(rows.lengths, self._train_batch_size, window=window, **options)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader:
        """Returns a loader that only carries the rows; `evaluation_loop` batches them itself."""
        rows = self.eval_dataset if eval_dataset is None else self._tokenised(eval_dataset)
        if rows is None:
            raise RecipeError("there are no rows to evaluate on", "give the trainer an eval_dataset")
        return DataLoader(rows, batch_size=max(1, len(rows)))

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader:
        """As `get_eval_dataloader`."""
        return self.get_eval_dataloader(test_dataset)

    # ---- Learning ----

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As `transformers.Trainer.train`; token embeddings that no row uses are left out of the steps."""
        with self.without_unused_embeddings():
            return super().train(*args, **kwargs)

    @contextlib.contextmanager
    def without_unused_embeddings(self) -> Iterator[None]:
        """Leaves token embeddings that no training row uses out of the steps inside the block.

        `train` does so by itself. An optimiser has to be created inside the block and ends with it.
        """
        if not self._may_trim():
            yield
            return
        with trimmed_embeddings(self.classifier, self.train_dataset) as self._trimmed:
            try:
                yield
            finally:
                if self._trimmed is not None:
                    # It holds the rows in use, which are no longer a parameter of the model.
                    self.optimizer = self.lr_scheduler = None
                self._trimmed = None

    def _may_trim(self) -> bool:
        """Whether a row without a gradient changes by nothing but weight decay, and nobody else holds the table."""
        args = self.args
        return (
            getattr(args, "trim_embeddings", True)
            and self.train_dataset is not None
            and self.optimizer is None
            and self.optimizer_cls_and_kwargs is None
            and args.optim in (OptimizerNames.ADAMW_TORCH, OptimizerNames.ADAMW_TORCH_FUSED)
            and not (self.is_deepspeed_enabled or self.is_fsdp_enabled)
        )

    # ---- Loss ----

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> Any:
        """Counts the texts of an optimiser step on all ranks: what its loss is a mean over."""
        rows = torch.tensor(sum(len(batch["input_ids"]) for batch in batch_samples), device=device)
        return int(self.accelerator.gather(rows).sum()) if self.args.world_size > 1 else int(rows)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: int | None = None,
    ) -> Any:
        """Returns the objective, weighted by this batch's share of the step's rows."""
        loss, outputs = self._weighted_loss(model, inputs, num_items_in_batch)
        for name, term in outputs["terms"].items():
            self._add_term(name, term)
        self._term_batches += 1
        return (loss, outputs) if return_outputs else loss

    def _weighted_loss(self, model: Any, inputs: dict[str, Tensor], rows: int | None) -> tuple[Tensor, Any]:
        """The loss of a batch as its share of the step; with a gradient cache, most of its backward pass is done."""
        if self._gradient_cache is not None and model.training:
            return self._gradient_cache.loss(model, inputs, rows)
        outputs = model(**inputs)
        return outputs["loss"] * (outputs["rows"] / (rows or outputs["rows"])), outputs

    def _add_term(self, name: str, term: Tensor) -> None:
        self._terms[name] = self._terms[name] + term if name in self._terms else term

    def training_step(
        self, model: Any, inputs: dict[str, Tensor], num_items_in_batch: int | None = None
    ) -> Tensor:
        """Adds a batch's gradient; after the step's last batch, if asked for, those from perturbed embeddings."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self._perturbation is not None:
            self._step_batches.append(inputs)
            if self.accelerator.sync_gradients:
                batches, self._step_batches = self._step_batches, []
                with self._perturbation.applied(self.state.global_step):
                    self._perturbed_pass(model, batches, num_items_in_batch)
        return loss

    def _perturbed_pass(self, model: Any, batches: list[dict[str, Tensor]], rows: int | None) -> None:
        """Runs all batches of a step again and adds their gradients.

        All of them, and only after the last one's: the perturbation follows the gradient of the whole step, so
        that neither accumulation nor the number of processes changes it.
        """
        for number, inputs in enumerate(batches, start=1):
            last = number == len(batches)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    loss, outputs = self._weighted_loss(model, self._prepare_inputs(inputs), rows)
                self.accelerator.backward(loss)
            self._add_term("perturbed", outputs["loss"].detach())

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs each of the objective's terms, unweighted, beside the loss; stops a run that diverged."""
        if "loss" in logs and self._term_batches:
            for name, total in self._terms.items():
                logs[f"loss_{name}"] = float(total) / self._term_batches
            self._terms, self._term_batches = {}, 0
            if not np.isfinite(logs["loss"]):
                raise TellapartError(
                    f"the loss is {logs['loss']} at step {self.state.global_step}",
                    "lower the learning rate, or train with --set stages.0.precision=fp32",
                )
        super().log(logs, start_time)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Creates the optimiser; everything outside the base model learns at `head_learning_rate`."""
        if self.optimizer is not None:
            return self.optimizer
        optimizer = super().create_optimizer(model)
        if self._trimmed is not None:
            follow_weight_decay(optimizer, self._trimmed)
        rate = getattr(self.args, "head_learning_rate", None)
        if rate is not None:
            encoder = {id(parameter) for parameter in self._module.model.base_model.parameters()}
            for group in list(optimizer.param_groups):
                head = [parameter for parameter in group["params"] if id(parameter) not in encoder]
                group["params"] = [parameter for parameter in group["params"] if id(parameter) in encoder]
                if head:
                    rest = {key: value for key, value in group.items() if key not in ("params", "lr")}
                    optimizer.add_param_group({**rest, "params": head, "lr": rate})
        return optimizer

    def floating_point_ops(self, inputs: dict[str, Tensor]) -> int:
        """Returns 6 · parameters · tokens, without walking over the parameters at every step."""
        return self._flos_per_token * inputs["input_ids"].numel() * self.objective.requirements.views

    # ---- Evaluation ----

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Scores all rows in length-sorted batches, shared by the ranks, and restores their order."""
        dataset: TokenisedDataset = dataloader.dataset  # type: ignore[assignment]
        ranks, rank = self.args.world_size, self.args.process_index
        own = np.arange(rank, len(dataset), ranks)
        logits = score(self._module.model, dataset, bf16=self.args.bf16, rows=own)
        if ranks > 1:
            logits = self._interleaved(logits, len(dataset))
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

    def _interleaved(self, logits: np.ndarray, rows: int) -> np.ndarray:
        ranks = self.args.world_size
        width = self._module.config.num_labels
        padded = np.zeros((-(-rows // ranks), width), dtype=np.float32)
        padded[: len(logits)] = logits
        shares = self.accelerator.gather(torch.from_numpy(padded).to(self.args.device)).cpu().numpy()
        return shares.reshape(ranks, -1, width).transpose(1, 0, 2).reshape(-1, width)[:rows]

    # ---- Checkpoints ----

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        try:
            super()._save_checkpoint(model, trial)
        except BaseException:  # a full disk, Ctrl-C: nothing half-written stays behind
            half = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            shutil.rmtree(half, ignore_errors=True)
            raise

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        if not self.args.should_save:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._module.save(folder, self.processing_class)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Writes a plain checkpoint; the objective's own state goes only into training checkpoints."""
        super().save_model(output_dir, _internal_call)
        if not _internal_call and self.args.should_save:
            (Path(output_dir or self.args.output_dir) / OBJECTIVE_FILE).unlink(missing_ok=True)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self._module.load(resume_from_checkpoint)

    def _load_best_model(self) -> None:
        self._module.load(str(self.state.best_model_checkpoint), objective=False)


class _ConstrainWeights(transformers.TrainerCallback):
    """Has a model with limits on its weights hold them after every step of the optimiser."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._model.constrain_()


def _usual_objective(model: Any) -> Objective:
    return MeanSquaredError() if model.config.problem_type == "regression" else CrossEntropy()
