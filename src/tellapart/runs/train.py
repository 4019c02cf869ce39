"""From a recipe to a run folder: `model/`, `metrics.json`, `recipe.yaml`, `predictions.parquet`, `report.html`."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import transformers

from tellapart.data.batching import tokenise
from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.data.reading import read_data
from tellapart.data.splits import prepare_splits, sample
from tellapart.data.tables import write_table
from tellapart.encoders.pooling import default_pooling
from tellapart.encoders.scoring import score
from tellapart.encoders.transformer import (
    labels_of,
    load_classifier,
    load_encoder,
    load_tokenizer,
    position_limit,
    save_classifier,
)
from tellapart.errors import RecipeError, UserError
from tellapart.evaluation.metrics import (
    classification_metrics,
    per_class,
    predicted_ids,
    probabilities,
)
from tellapart.files import replacing
from tellapart.inspection.confusion import confusion_matrix
from tellapart.inspection.report import WrongPrediction, write_report
from tellapart.objectives import Objective
from tellapart.recipes import Recipe
from tellapart.runs.environment import environment
from tellapart.runs.stages import run_stage
from tellapart.training.progress import rows_bar
from tellapart.training.tfidf import CONFIG_FILE as TFIDF_CONFIG
from tellapart.training.tfidf import TfidfClassifier

CHECKPOINTS = "checkpoints"


@dataclass
class Fitted:
    """A trained classifier and what it was trained with.

    Args:
        model: A Transformers sequence classifier in training form, or a `TfidfClassifier`.
        tokenizer: Its tokeniser; None for TF-IDF.
        labels: The classes.
        recipe: The run with every open value decided; None for a model that was loaded.
        history: Logged losses and scores.
        objective: The last stage's objective.
        max_length: Longest input in tokens.
    """

    model: Any
    tokenizer: Any
    labels: LabelSpace
    recipe: Recipe | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    objective: Objective | None = None
    max_length: int = 128

    def scores(self, split: TextSplit, *, bf16: bool = False, quiet: bool = True) -> np.ndarray:
        """Returns the logits of a split's rows, float32 (N, K).

        Args:
            split: The rows.
            bf16: Whether to run under bf16 autocast.
            quiet: Whether to show no progress.
        """
        if isinstance(self.model, TfidfClassifier):
            return self.model.scores(split)
        rows = tokenise(split, self.tokenizer, max_length=self.max_length)
        with rows_bar(len(rows), quiet=quiet) as progress:
            return score(self.model, rows, bf16=bf16, progress=progress)

    def save(self, folder: str | Path) -> None:
        """Writes a plain checkpoint, whole or not at all.

        Raises:
            UserError: The folder holds something that is no model.
            OutputError: The folder cannot be written.
        """
        _check_replaceable(Path(folder))
        with replacing(folder) as temporary:
            if isinstance(self.model, TfidfClassifier):
                self.model.save(temporary)
                return
            # The length that training truncated at is the tokeniser's limit from here on, so that a
            # pipeline truncates at the same place.
            self.tokenizer.model_max_length = self.max_length
            save_classifier(self.model, temporary, self.tokenizer)


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Args:
        folder: The run folder.
        metrics: The content of `metrics.json`.
        recipe: The run with every open value decided.
        notes: What reading and splitting the data found and did.
    """

    folder: Path
    metrics: dict[str, Any]
    recipe: Recipe
    notes: tuple[str, ...]


def fit(
    recipe: Recipe,
    data: TextData,
    folder: str | Path,
    *,
    resume: bool = False,
    resumable: bool = False,
    quiet: bool = False,
) -> Fitted:
    """Trains a recipe's method on data in memory.

    Args:
        recipe: Encoder, stages and seed; its `data` section is not looked at.
        data: The splits as they are; without validation rows the last weights are the result.
        folder: For checkpoints.
        resume: Whether to go on from the newest checkpoint there.
        resumable: Whether to write checkpoints that a killed run can go on from.
        quiet: Whether to show no progress.

    Raises:
        UserError: The recipe does not fit the data or the encoder.
    """
    if data.train.labels is None:
        raise UserError("the training rows have no labels", "name their column: --label COLUMN")
    if recipe.encoder.name == "tfidf":
        return _fit_tfidf(recipe, data)
    transformers.set_seed(recipe.seed)
    tokenizer = load_tokenizer(recipe.encoder.name)
    model = load_encoder(
        recipe.encoder.name,
        data.labels,
        pooling=recipe.encoder.pooling,
        classifier_dropout=recipe.encoder.classifier_dropout,
    )
    max_length = recipe.encoder.max_length
    if max_length > position_limit(model.config):
        raise RecipeError(
            f"max_length is {max_length} and the encoder {recipe.encoder.name} reads at most"
            f" {position_limit(model.config)} tokens",
            f"use --max-length {position_limit(model.config)} or less",
        )
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    train = tokenise(data.train, tokenizer, max_length=max_length, labels=data.labels)
    validation = None
    if data.validation is not None:
        validation = tokenise(data.validation, tokenizer, max_length=max_length, labels=data.labels)
    stages, history, objective = [], [], None
    for number, stage in enumerate(recipe.stages):
        result = run_stage(
            stage,
            model,
            tokenizer,
            data.labels,
            train,
            validation,
            folder=Path(folder) / f"stage-{number}",
            seed=recipe.seed,
            title=f"{recipe.method}, seed {recipe.seed}",
            resume=resume,
            resumable=resumable,
            quiet=quiet,
        )
        stages.append(result.recipe)
        history += result.history
        objective = result.objective or objective
    encoder = recipe.encoder.model_copy(
        update={"pooling": recipe.encoder.pooling or default_pooling(model.config.model_type)}
    )
    resolved = recipe.model_copy(update={"stages": stages, "encoder": encoder})
    return Fitted(model.eval(), tokenizer, data.labels, resolved, history, objective, max_length)


def _fit_tfidf(recipe: Recipe, data: TextData) -> Fitted:
    stage = recipe.stages[-1]
    model = TfidfClassifier.fit(data.train, data.labels, seed=recipe.seed)
    return Fitted(model, None, data.labels, recipe.model_copy(update={"stages": [stage]}))


def load_fitted(folder: str | Path) -> Fitted:
    """Loads a trained classifier for scoring.

    Args:
        folder: A run folder, or its `model` folder, or any plain sequence classification checkpoint.

    Raises:
        ModelError: There is no classifier.
    """
    for candidate in (Path(folder), Path(folder) / "model"):
        if (candidate / TFIDF_CONFIG).is_file():
            model = TfidfClassifier.load(candidate)
            return Fitted(model, None, model.labels)
    model, tokenizer = load_classifier(folder)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    max_length = min(tokenizer.model_max_length, position_limit(model.config))
    return Fitted(model, tokenizer, labels_of(model), max_length=max_length)


def load_data(recipe: Recipe) -> TextData:
    """Reads the rows that a recipe names, with the splits it asks for.

    Raises:
        DataError: They cannot be used.
        RecipeError: The recipe names none.
    """
    given = recipe.data
    if given.source is None:
        raise RecipeError("the recipe names no data", "set data.source, or give DATA on the command line")
    data = read_data(
        given.source,
        text=given.text,
        text_pair=given.text_pair,
        label=given.label,
        label_delimiter=given.label_delimiter,
        multi_label=given.multi_label,
    )
    return split_data(recipe, data)


def split_data(recipe: Recipe, data: TextData) -> TextData:
    """Gives rows that were read the splits and samples that a recipe's seed and shares ask for."""
    given = recipe.data
    prepared = prepare_splits(
        data,
        few_shot=given.few_shot,
        validation_share=given.validation_share,
        test_share=given.test_share,
        seed=recipe.seed,
    )
    if given.train_rows is None or given.train_rows >= len(prepared.train):
        return prepared
    fewer = sample(prepared.train, given.train_rows, seed=recipe.seed)
    note = f"{len(fewer)} of {len(prepared.train)} training rows were drawn."
    return dataclasses.replace(prepared, train=fewer, notes=(*prepared.notes, note))


def train(
    recipe: Recipe,
    output: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> RunResult:
    """Trains a recipe and writes a run folder.

    A run that was killed goes on with `resume=True` from its newest checkpoint to the same result.

    Args:
        recipe: The run.
        output: The folder to write.
        resume: Whether to go on with what is there.
        overwrite: Whether to throw away what is there.
        quiet: Whether to show no progress.

    Raises:
        UserError: The folder is in use, or the recipe or the data cannot be used.
        OutputError: The folder cannot be written.
    """
    quiet = quiet or not is_main_process()
    folder = Path(output)
    if is_main_process():
        claim_folder(output, resume=resume, overwrite=overwrite)
    if resume and (folder / "metrics.json").is_file():
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        return RunResult(folder, metrics, recipe, ("the run was finished already",))
    data = load_data(recipe)
    checkpoints = folder / CHECKPOINTS
    start = time.perf_counter()
    fitted = fit(recipe, data, checkpoints, resume=resume, resumable=True, quiet=quiet)
    seconds = time.perf_counter() - start
    assert fitted.recipe is not None
    metrics = {"method": recipe.method, "training_seconds": round(seconds, 2)}
    metrics["rows"] = {name: len(split) for name, split in data.splits.items()}
    logits = {}
    for name in ("validation", "test"):
        split = data.splits.get(name)
        if split is not None and split.labels is not None:
            logits[name] = fitted.scores(split, quiet=quiet)
            metrics[name] = classification_metrics(
                fitted.labels, fitted.labels.encode(split.labels), logits[name]
            )
    metrics["environment"] = environment()
    if is_main_process():
        _write_run(folder, fitted, data, logits, metrics)
        shutil.rmtree(checkpoints, ignore_errors=True)
    return RunResult(folder, metrics, fitted.recipe, data.notes)


def is_main_process() -> bool:
    """Whether this process is the one that writes files and reports, of those that torchrun started."""
    return int(os.environ.get("RANK", "0")) == 0


def _check_replaceable(folder: Path) -> None:
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not any((folder / name).is_file() for name in ("config.json", TFIDF_CONFIG)):
        raise UserError(f"the folder {folder} holds files that are no model", "save to another folder")


def claim_folder(output: str | Path, *, resume: bool, overwrite: bool) -> Path:
    """Returns the output folder if it may be written.

    Raises:
        UserError: It holds files of another run, and neither resuming nor overwriting was asked for.
    """
    folder = Path(output)
    if folder.is_file():
        raise UserError(f"the output {output} is a file", "give a folder")
    if folder.is_dir() and any(folder.iterdir()) and not resume:
        if not overwrite:
            raise UserError(
                f"the output folder {output} is not empty",
                "choose another --output, go on with --resume, or replace it with --overwrite",
            )
        if not _is_run_folder(folder):
            raise UserError(
                f"the output folder {output} holds files that no run wrote",
                "choose another --output, or empty it yourself",
            )
        shutil.rmtree(folder)
    return folder


def _is_run_folder(folder: Path) -> bool:
    """Whether every file there has a name that runs write: --overwrite must never delete anything else."""
    names = {path.name for path in folder.iterdir()}
    return all(name in RUN_FILES or name.startswith(("confusion-", "label-distance-")) for name in names)


RUN_FILES = {
    "model",
    CHECKPOINTS,
    "metrics.json",
    "recipe.yaml",
    "predictions.parquet",
    "report.html",
    "trials",
    "comparison.json",
    "comparison.html",
    "comparison.png",
}


def _write_run(
    folder: Path, fitted: Fitted, data: TextData, logits: dict[str, np.ndarray], metrics: dict[str, Any]
) -> None:
    assert fitted.recipe is not None
    fitted.save(folder / "model")
    with replacing(folder / "recipe.yaml") as temporary:
        temporary.write_text(fitted.recipe.to_yaml(), encoding="utf-8")
    shown = "test" if "test" in logits else "validation"
    if shown in logits:
        split = data.splits[shown]
        write_table(prediction_table(fitted.labels, split, logits[shown]), folder / "predictions.parquet")
        _write_report(folder / "report.html", fitted, split, logits[shown], metrics, shown)
    with replacing(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def prediction_table(labels: LabelSpace, split: TextSplit, logits: np.ndarray) -> pa.Table:
    """Returns texts, gold labels, predicted labels and probabilities as a table."""
    columns: dict[str, Any] = {"text": split.texts}
    if split.text_pairs is not None:
        columns["text_pair"] = split.text_pairs
    if split.labels is not None:
        columns["label"] = split.labels
    predicted, probability = predicted_columns(labels, logits)
    return pa.table(columns | {"predicted_label": predicted, "probability": probability})


def predicted_columns(labels: LabelSpace, logits: np.ndarray) -> tuple[list, list]:
    """Returns what `predict` adds to a table: labels and their probabilities.

    For multi-label tasks both are lists, of the labels whose probability is above a half.
    """
    chances = probabilities(labels, logits)
    chosen = predicted_ids(labels, logits)
    names = np.asarray(labels.names, dtype=object)
    if not labels.multi_label:
        return names[chosen].tolist(), chances[np.arange(len(chosen)), chosen].tolist()
    masks = chosen.astype(bool)
    return [names[mask].tolist() for mask in masks], [
        row[mask].tolist() for row, mask in zip(chances, masks, strict=True)
    ]


def _write_report(
    path: Path, fitted: Fitted, split: TextSplit, logits: np.ndarray, metrics: dict[str, Any], shown: str
) -> None:
    assert fitted.recipe is not None
    assert split.labels is not None
    labels = fitted.labels
    gold = labels.encode(split.labels)
    predicted = predicted_ids(labels, logits)
    write_report(
        path,
        title=f"{fitted.recipe.method} on {fitted.recipe.data.source or 'data'}",
        metrics=metrics[shown],
        per_class=per_class(labels, gold, predicted),
        confusion=confusion_matrix(labels, gold, predicted),
        names=labels.names,
        training_log=fitted.history,
        recipe_yaml=fitted.recipe.to_yaml(),
        errors=_errors(labels, split, gold, logits),
    )


def _errors(
    labels: LabelSpace, split: TextSplit, gold: np.ndarray, logits: np.ndarray
) -> list[WrongPrediction]:
    predicted, probability = predicted_columns(labels, logits)
    ids = predicted_ids(labels, logits)
    wrong = np.flatnonzero((ids != gold).any(1) if labels.multi_label else ids != gold)
    assert split.labels is not None
    return [
        {
            "text": split.texts[row],
            "text_pair": None if split.text_pairs is None else split.text_pairs[row],
            "gold": split.labels[row],
            "predicted": predicted[row],
            "probability": max(probability[row], default=0.0) if labels.multi_label else probability[row],
        }
        for row in wrong
    ]
