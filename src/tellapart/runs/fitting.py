"""A recipe's stages on data in memory: what is trained, scored and saved."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from tellapart.data.batching import tokenise
from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.encoders.pooling import default_pooling
from tellapart.encoders.resolve import FROM_SCRATCH
from tellapart.encoders.scoring import score
from tellapart.encoders.scratch import (
    BuiltEncoder,
    build_encoder,
    learns_from_scratch,
    texts_of,
    truncation_notes,
)
from tellapart.encoders.transformer import (
    labels_of,
    load_classifier,
    load_encoder,
    load_tokenizer,
    position_limit,
    save_classifier,
)
from tellapart.errors import RecipeError, UserError
from tellapart.files import replacing
from tellapart.objectives import Objective
from tellapart.recipes import EncoderRecipe, Recipe
from tellapart.runs.stages import run_stage
from tellapart.training.defaults import default_max_length
from tellapart.training.progress import rows_bar
from tellapart.training.tfidf import CONFIG_FILE as TFIDF_CONFIG
from tellapart.training.tfidf import TfidfClassifier


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
        notes: What building the encoder found and did.
    """

    model: Any
    tokenizer: Any
    labels: LabelSpace
    recipe: Recipe | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    objective: Objective | None = None
    max_length: int = 128
    notes: tuple[str, ...] = ()

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
    if recipe.encoder.name in FROM_SCRATCH:
        recipe = _starting_at_random(recipe)
        model, tokenizer, notes = _build_encoder(recipe, data)
    else:
        model, tokenizer, notes = _load_encoder(recipe, data)
    from_scratch = learns_from_scratch(model.config)
    max_length = recipe.encoder.max_length or default_max_length(from_scratch=from_scratch)
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
    notes += truncation_notes(model, train)
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
        update={
            "pooling": recipe.encoder.pooling or default_pooling(model.config.model_type),
            "max_length": max_length,
        }
    )
    resolved = recipe.model_copy(update={"stages": stages, "encoder": encoder})
    return Fitted(model.eval(), tokenizer, data.labels, resolved, history, objective, max_length, notes)


def _load_encoder(recipe: Recipe, data: TextData) -> BuiltEncoder:
    for key in ("embeddings", "embedding_size", "vocabulary_size", "tokens"):
        if getattr(recipe.encoder, key) != EncoderRecipe.model_fields[key].default:
            raise RecipeError(
                f"encoder.{key} has no effect on {recipe.encoder.name}, which brings its own",
                f"leave it out, or choose {' or '.join(FROM_SCRATCH)}",
            )
    model = load_encoder(
        recipe.encoder.name,
        data.labels,
        pooling=recipe.encoder.pooling,
        classifier_dropout=recipe.encoder.classifier_dropout,
    )
    return BuiltEncoder(model, load_tokenizer(recipe.encoder.name), ())


def _build_encoder(recipe: Recipe, data: TextData) -> BuiltEncoder:
    encoder = recipe.encoder
    if encoder.pooling not in (None, "stock"):
        raise RecipeError(f"{encoder.name} pools in its own way", "leave pooling out")
    return build_encoder(
        encoder.name,
        data.labels,
        texts_of(data.train),
        further_texts=texts_of(data.validation),
        embeddings=encoder.embeddings,
        embedding_size=encoder.embedding_size,
        vocabulary_size=encoder.vocabulary_size,
        tokens=encoder.tokens,
        classifier_dropout=encoder.classifier_dropout,
        seed=recipe.seed,
    )


def _starting_at_random(recipe: Recipe) -> Recipe:
    """The recipe for an encoder that has learned nothing: a regression on its vectors is no start."""
    first, *others = recipe.stages
    if first.learns == "head":
        raise RecipeError(
            f"the first stage learns the classifier alone, and {recipe.encoder.name} has learned nothing yet",
            "choose a method that trains the encoder, or give the folder of a trained one as the encoder",
        )
    return recipe.model_copy(update={"stages": [first.model_copy(update={"start": "random"}), *others]})


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


def _check_replaceable(folder: Path) -> None:
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not any((folder / name).is_file() for name in ("config.json", TFIDF_CONFIG)):
        raise UserError(f"the folder {folder} holds files that are no model", "save to another folder")
