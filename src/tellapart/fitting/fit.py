"""A recipe's stages on data in memory: what is trained, scored and saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
import transformers
from transformers import TrainerCallback

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.deployment.onnx_scoring import OnnxClassifier, is_exported, load_exported
from tellapart.encoders.loading import load_classifier
from tellapart.encoders.precision import Precision, bf16_copy, use_bf16
from tellapart.encoders.scoring import score
from tellapart.encoders.scratch import learns_from_scratch, truncation_notes
from tellapart.encoders.transformer import (
    final_linear,
    labels_of,
    pooling_in_use,
    position_limit,
    save_classifier,
)
from tellapart.encoders.windowed import window_notes
from tellapart.errors import ModelError, RecipeError, UserError
from tellapart.evaluation.decision import DECISION_FILE, Decision, read_decision, write_decision
from tellapart.files import replacing
from tellapart.fitting.decisions import check_decision, decide, with_relations
from tellapart.fitting.heads import start_at_frequencies
from tellapart.fitting.models import (
    check_readable,
    input_length,
    load_model,
    starting_at_random,
    windows_in_use,
)
from tellapart.fitting.objectives import check_objectives
from tellapart.fitting.processes import is_main_process, wait_for_all
from tellapart.fitting.stages import STAGE_SEEDS, check_stages, finish_stage, finished_stage, run_stage
from tellapart.fitting.tasks import Task, check_rankable
from tellapart.objectives import Objective
from tellapart.recipes import Recipe, regression_recipe
from tellapart.training.progress import rows_bar
from tellapart.training.tfidf import CONFIG_FILE as TFIDF_CONFIG
from tellapart.training.tfidf import TfidfClassifier


@dataclass
class Fitted:
    """A trained classifier and what it was trained with.

    Args:
        model: A Transformers sequence classifier in training form, a `TfidfClassifier`, or an `OnnxClassifier`.
        tokenizer: Its tokeniser; None for TF-IDF.
        labels: The classes.
        recipe: The run with every open value decided; None for a model that was loaded.
        history: Logged losses and scores.
        objective: The last stage's objective.
        max_length: Longest input in tokens.
        decision: How its scores become labels.
        notes: What building the encoder and tokenising the rows found and did.
        cut: Split to the share of its rows that were longer than `max_length` and were cut, of those the stages read.
    """

    model: Any
    tokenizer: Any
    labels: LabelSpace
    recipe: Recipe | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    objective: Objective | None = None
    max_length: int = 128
    decision: Decision = field(default_factory=Decision)
    notes: tuple[str, ...] = ()
    cut: dict[str, float] = field(default_factory=dict)

    def tokenised(self, split: TextSplit) -> TokenisedDataset | None:
        """Returns a split's rows as the model reads them; None for TF-IDF.

        Raises:
            DataError: They are pairs, and the model cannot read pairs.
        """
        if isinstance(self.model, TfidfClassifier):
            return None
        check_readable(self.model, split)
        return tokenise(split, self.tokenizer, max_length=self.max_length)

    def in_precision(self, precision: Precision) -> Fitted:
        """Returns the classifier as it is to be scored, with bf16 weights where that is asked for or pays.

        Encoders that learned from scratch stay float32 unless asked: they are fast, and lose more than they
        gain. So do models of scores, whose digits bf16 would round.

        Args:
            precision: `auto`, `fp32` or `bf16`.

        Raises:
            UserError: The precision is unknown, or the model has no bf16 form.
        """
        if precision not in get_args(Precision):
            raise UserError(f'"{precision}" is no precision', f"choose {', '.join(get_args(Precision))}")
        if isinstance(self.model, TfidfClassifier | OnnxClassifier):
            if precision == "bf16":
                kind = "a tfidf" if isinstance(self.model, TfidfClassifier) else "an exported"
                raise UserError(f"{kind} model cannot be scored in bf16", "leave out --precision")
            return self
        exact = self.labels.regression or learns_from_scratch(self.model.config)
        if precision == "auto" and (exact or not use_bf16(precision, self.model.device)):
            return self
        return self if precision == "fp32" else replace(self, model=bf16_copy(self.model))

    def scores(
        self,
        split: TextSplit,
        *,
        rows: TokenisedDataset | None = None,
        bf16: bool = False,
        quiet: bool = True,
        progress: Callable[[int], Any] | None = None,
    ) -> np.ndarray:
        """Returns the logits of a split's rows, float32 (N, K), the temperature of the decision in them.

        Of a model that predicts numbers these, (N, 1), in the unit of the labels it learned from.

        Args:
            split: The rows.
            rows: The same, from `tokenised`, where that has been done.
            bf16: Whether to run under bf16 autocast.
            quiet: Whether to show no progress.
            progress: Called with the number of rows done, in place of a bar.
        """
        if isinstance(self.model, TfidfClassifier):
            if progress is not None:
                progress(len(split))
            return self.decision.calibrated(self.model.scores(split))
        rows = self.tokenised(split) if rows is None else rows
        assert rows is not None
        with rows_bar(len(rows), quiet=quiet or progress is not None) as bar:
            done = progress or bar
            if isinstance(self.model, OnnxClassifier):
                return self.decision.calibrated(self.model.scores(rows, progress=done))
            return self.decision.calibrated(score(self.model, rows, bf16=bf16, progress=done))

    def save(self, folder: str | Path) -> None:
        """Writes a plain checkpoint, whole or not at all.

        Raises:
            UserError: The folder holds something that is no model, or the model has been exported.
            OutputError: The folder cannot be written.
        """
        if isinstance(self.model, OnnxClassifier):
            raise ModelError(
                "an exported model cannot be saved as a checkpoint", "load the run that it was exported from"
            )
        _check_replaceable(Path(folder))
        with replacing(folder) as temporary:
            if isinstance(self.model, TfidfClassifier):
                self.model.save(temporary)
            else:
                # The length that training truncated at is the tokeniser's limit from here on, so that a
                # pipeline truncates at the same place.
                self.tokenizer.model_max_length = self.max_length
                save_classifier(self.model, temporary, self.tokenizer)
            write_decision(temporary, self.decision, self.labels)


def fit(
    recipe: Recipe,
    data: TextData,
    folder: str | Path,
    *,
    resume: bool = False,
    resumable: bool = False,
    quiet: bool = False,
    callbacks: Sequence[TrainerCallback] = (),
) -> Fitted:
    """Trains a recipe's method on data in memory.

    Args:
        recipe: Encoder, stages, decision and seed; of its `data` section what it says about the classes.
        data: The splits as they are; without validation rows the last weights are the result.
        folder: For checkpoints.
        resume: Whether to go on from the newest checkpoint there.
        resumable: Whether to write checkpoints that a killed run can go on from.
        quiet: Whether to show no progress.
        callbacks: Transformers callbacks for the stages that train by steps.

    Raises:
        UserError: The recipe does not fit the data or the encoder.
    """
    if data.train.labels is None:
        raise UserError("the training rows have no labels", "name their column: --label COLUMN")
    if data.labels.regression:
        recipe = regression_recipe(recipe)
    check_rankable(data, recipe.data.without_positive)
    data = replace(data, labels=with_relations(data.labels, recipe.data))
    check_objectives(recipe, data.labels)
    check_decision(recipe.decision, data)
    if recipe.encoder.name == "tfidf":
        return _decided(_fit_tfidf(recipe, data), data.validation)
    transformers.set_seed(recipe.seed)
    recipe = starting_at_random(recipe)
    model, tokenizer, notes = load_model(recipe.encoder, data, recipe.seed)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    max_length = input_length(recipe.encoder, model)
    task = Task.of(data, tokenizer, max_length, recipe.data.without_positive)
    check_stages(recipe.stages, model, task)
    if data.labels.multi_label and recipe.stages[0].start == "random":
        start_at_frequencies(model, task)
    notes += (
        truncation_notes(model, task.train) + window_notes(model, task.train) + task.cut_notes(max_length)
    )
    stages, history, objective = [], [], None
    for number, stage in enumerate(recipe.stages):
        stage_folder = Path(folder) / f"stage-{number}"
        result = finished_stage(stage_folder, model) if resume else None
        if result is None:
            if number:  # what a stage draws must not depend on whether those before it have just been trained
                transformers.set_seed(recipe.seed + number)
            result = run_stage(
                stage,
                model,
                tokenizer,
                task,
                folder=stage_folder,
                seed=recipe.seed + number * STAGE_SEEDS,
                title=_title(recipe, number),
                resume=resume,
                resumable=resumable,
                quiet=quiet,
                callbacks=callbacks,
            )
            wait_for_all()
            if resumable and is_main_process():
                finish_stage(stage_folder, model, tokenizer, result)
        stages.append(result.recipe)
        history += [{**entry, "stage": number} for entry in result.history]
        objective = result.objective or objective
    if task.scale is not None:
        task.scale.fold_into(final_linear(model))
    encoder = recipe.encoder.model_copy(
        update={
            "pooling": recipe.encoder.pooling or pooling_in_use(model),
            "max_length": max_length,
            **windows_in_use(recipe.encoder, model),
        }
    )
    resolved = recipe.model_copy(update={"stages": stages, "encoder": encoder})
    fitted = Fitted(
        model.eval(),
        tokenizer,
        data.labels,
        resolved,
        history,
        objective,
        max_length,
        notes=notes,
        cut=task.cut_shares,
    )
    return _decided(fitted, data.validation)


def _decided(fitted: Fitted, validation: TextSplit | None) -> Fitted:
    assert fitted.recipe is not None
    return replace(fitted, decision=decide(fitted.recipe.decision, fitted, validation))


def _title(recipe: Recipe, number: int) -> str:
    stages = f", stage {number + 1} of {len(recipe.stages)}" if len(recipe.stages) > 1 else ""
    return f"{recipe.method}, seed {recipe.seed}{stages}"


def _fit_tfidf(recipe: Recipe, data: TextData) -> Fitted:
    if recipe.encoder.second is not None:
        raise RecipeError("TF-IDF cannot be fused with an encoder", "leave out --second-encoder")
    if recipe.encoder.windows != "none":
        raise RecipeError("TF-IDF reads whole texts without windows", "leave out --windows")
    stage = recipe.stages[-1]
    model = TfidfClassifier.fit(data.train, data.labels, seed=recipe.seed)
    return Fitted(model, None, data.labels, recipe.model_copy(update={"stages": [stage]}))


def load_fitted(folder: str | Path) -> Fitted:
    """Loads a trained classifier for scoring.

    Args:
        folder: A run folder, or its `model` folder, or any plain sequence classification checkpoint; or what
            `tellapart export` wrote.

    Raises:
        MissingDependencyError: It is an export, and ONNX Runtime is not installed.
        ModelError: There is no classifier.
    """
    if is_exported(Path(folder)):
        exported, tokenizer, max_length = load_exported(Path(folder))
        return _as_it_decides(Fitted(exported, tokenizer, labels_of(exported), max_length=max_length), folder)
    for candidate in (Path(folder), Path(folder) / "model"):
        if (candidate / TFIDF_CONFIG).is_file():
            model = TfidfClassifier.load(candidate)
            return _as_it_decides(Fitted(model, None, model.labels), folder)
    model, tokenizer = load_classifier(folder)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    max_length = min(tokenizer.model_max_length, position_limit(model.config))
    return _as_it_decides(Fitted(model, tokenizer, labels_of(model), max_length=max_length), folder)


def _as_it_decides(fitted: Fitted, folder: str | Path) -> Fitted:
    """The classifier with what stands beside it on thresholds, temperature and the order of the classes."""
    for candidate in (Path(folder), Path(folder) / "model"):
        if (candidate / DECISION_FILE).is_file():
            decision, labels = read_decision(candidate / DECISION_FILE, fitted.labels)
            return replace(fitted, decision=decision, labels=labels)
    return fitted


def _check_replaceable(folder: Path) -> None:
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not any((folder / name).is_file() for name in ("config.json", TFIDF_CONFIG)):
        raise UserError(f"the folder {folder} holds files that are no model", "save to another folder")
