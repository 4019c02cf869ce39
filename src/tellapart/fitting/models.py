"""Loads or builds a recipe's encoder with an untrained classifier, and its tokeniser."""

from __future__ import annotations

from typing import Any

from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.encoders.loading import (
    load_encoder,
    load_fused_encoder,
    load_fused_tokenizer,
    load_tokenizer,
    load_windowed_encoder,
)
from tellapart.encoders.resolve import FROM_SCRATCH
from tellapart.encoders.scratch import BuiltEncoder, build_encoder, learns_from_scratch, texts_of
from tellapart.encoders.transformer import position_limit
from tellapart.encoders.windowed import reads_windows
from tellapart.errors import DataError, RecipeError
from tellapart.recipes import EncoderRecipe
from tellapart.training.defaults import default_max_length

# Settings of encoders trained from scratch only.
_SCRATCH_KEYS = ("embeddings", "embedding_size", "vocabulary_size", "tokens")

# Settings of windowed encoders only.
_WINDOW_KEYS = ("window_length", "window_stride")


def load_model(encoder: EncoderRecipe, data: TextData, seed: int) -> BuiltEncoder:
    """Loads a recipe's encoder, optionally fused with a second one, or builds it from the training texts.

    Args:
        encoder: The encoder section of the recipe.
        data: The classes, and the texts for encoders trained from scratch.
        seed: Seed of word embeddings that are trained first.

    Returns:
        A classifier in training form, its tokeniser, and notes.

    Raises:
        ModelError: An encoder cannot be read, or two do not fit together.
        RecipeError: A setting has no effect on this kind of encoder.
        DataError: The encoder is windowed, and the rows are pairs.
    """
    _check_window_keys(encoder)
    if encoder.name in FROM_SCRATCH:
        return _from_scratch(encoder, data, seed)
    for key in _SCRATCH_KEYS:
        if getattr(encoder, key) != EncoderRecipe.model_fields[key].default:
            raise RecipeError(
                f"encoder.{key} has no effect on {encoder.name}, which has its own",
                f"leave it out, or choose {' or '.join(FROM_SCRATCH)}",
            )
    model, tokenizer = _pre_trained(encoder, data.labels)
    check_readable(model, data.train)
    return BuiltEncoder(model, tokenizer, ())


def _pre_trained(encoder: EncoderRecipe, labels: LabelSpace) -> tuple[Any, Any]:
    options: dict[str, Any] = {"pooling": encoder.pooling, "classifier_dropout": encoder.classifier_dropout}
    if encoder.windows != "none":
        if encoder.second is not None:
            raise RecipeError(
                "two fused encoders cannot read windows: they would split a text at different places",
                "leave out --windows or --second-encoder",
            )
        return load_windowed_encoder(
            encoder.name,
            labels,
            windows=encoder.windows,
            window_length=encoder.window_length,
            window_stride=encoder.window_stride,
            **options,
        )
    if encoder.second is None:
        return load_encoder(encoder.name, labels, **options), load_tokenizer(encoder.name)
    names = [encoder.name, encoder.second]
    tokenizer = load_fused_tokenizer(names)
    return load_fused_encoder(names, labels, fusion=encoder.fusion, **options), tokenizer


def _check_window_keys(encoder: EncoderRecipe) -> None:
    given = [key for key in _WINDOW_KEYS if getattr(encoder, key) is not None]
    if given and encoder.windows == "none":
        raise RecipeError(
            f"encoder.{given[0]} has no effect without windows",
            "choose how they are pooled, for example --windows max",
        )


def check_readable(model: Any, split: TextSplit) -> None:
    """Checks that a windowed model is not given pairs of texts.

    Raises:
        DataError: It is.
    """
    if split.text_pairs is not None and reads_windows(model):
        raise DataError(
            "the rows are pairs, and the model reads windows of single texts",
            "train without --windows, or join the two texts into one column",
        )


def windows_in_use(encoder: EncoderRecipe, model: Any) -> dict[str, Any]:
    """Returns the window settings with defaults filled in; empty without windows."""
    if encoder.windows == "none":
        return {}
    return {key: getattr(model.config, key) for key in ("windows", *_WINDOW_KEYS)}


def _from_scratch(encoder: EncoderRecipe, data: TextData, seed: int) -> BuiltEncoder:
    if encoder.second is not None:
        raise RecipeError(
            f"{encoder.name} cannot be fused before it is trained",
            "train it first and give the folder, or leave out --second-encoder",
        )
    if encoder.windows != "none":
        raise RecipeError(f"{encoder.name} reads texts of any length without windows", "leave out --windows")
    if encoder.pooling not in (None, "stock"):
        raise RecipeError(f"{encoder.name} has its own pooling", "leave out --pooling")
    return build_encoder(
        encoder.name,
        data.labels,
        [*texts_of(data.train), *texts_of(data.label_texts)],
        further_texts=texts_of(data.validation),
        embeddings=encoder.embeddings,
        embedding_size=encoder.embedding_size,
        vocabulary_size=encoder.vocabulary_size,
        tokens=encoder.tokens,
        classifier_dropout=encoder.classifier_dropout,
        seed=seed,
    )


def input_length(encoder: EncoderRecipe, model: Any) -> int:
    """Returns the longest input in tokens.

    Raises:
        RecipeError: It exceeds the encoder's limit, or no text would have a second window.
    """
    windowed = reads_windows(model)
    length = encoder.max_length or default_max_length(
        from_scratch=learns_from_scratch(model.config), windowed=windowed
    )
    if windowed and length <= model.config.window_length:
        raise RecipeError(
            f"texts are cut to {length} tokens, which fit into one window of {model.config.window_length}",
            "use a larger --max-length, or leave out --windows",
        )
    limit = position_limit(model.config)
    if length > limit:
        raise RecipeError(
            f"max_length is {length} and the encoder {encoder.name} reads at most {limit} tokens",
            f"use --max-length {limit} or less",
        )
    return length
