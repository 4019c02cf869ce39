"""From a recipe's encoder to a model under a fresh classifier, and its tokeniser."""

from __future__ import annotations

from typing import Any

from tellapart.data.examples import LabelSpace, TextData
from tellapart.encoders.fused import load_fused_encoder, load_fused_tokenizer
from tellapart.encoders.resolve import FROM_SCRATCH
from tellapart.encoders.scratch import BuiltEncoder, build_encoder, learns_from_scratch, texts_of
from tellapart.encoders.transformer import load_encoder, load_tokenizer, position_limit
from tellapart.errors import RecipeError
from tellapart.recipes import EncoderRecipe, Recipe
from tellapart.training.defaults import default_max_length

# What only encoders that learn from the run's texts alone have.
_SCRATCH_KEYS = ("embeddings", "embedding_size", "vocabulary_size", "tokens")


def load_model(encoder: EncoderRecipe, data: TextData, seed: int) -> BuiltEncoder:
    """Loads what a recipe names as its encoder, alone or fused with a second one, or builds it from the texts.

    Args:
        encoder: What to load, and how it pools.
        data: The classes; and the texts, for encoders that learn from these alone.
        seed: Of embeddings that are trained first.

    Returns:
        A classifier in training form, its tokeniser, and notes.

    Raises:
        ModelError: An encoder cannot be read, or two do not fit together.
        RecipeError: A setting has no effect on this kind of encoder.
    """
    if encoder.name in FROM_SCRATCH:
        return _from_scratch(encoder, data, seed)
    for key in _SCRATCH_KEYS:
        if getattr(encoder, key) != EncoderRecipe.model_fields[key].default:
            raise RecipeError(
                f"encoder.{key} has no effect on {encoder.name}, which brings its own",
                f"leave it out, or choose {' or '.join(FROM_SCRATCH)}",
            )
    return BuiltEncoder(*_pre_trained(encoder, data.labels), ())


def _pre_trained(encoder: EncoderRecipe, labels: LabelSpace) -> tuple[Any, Any]:
    options: dict[str, Any] = {"pooling": encoder.pooling, "classifier_dropout": encoder.classifier_dropout}
    if encoder.second is None:
        return load_encoder(encoder.name, labels, **options), load_tokenizer(encoder.name)
    names = [encoder.name, encoder.second]
    tokenizer = load_fused_tokenizer(names)
    return load_fused_encoder(names, labels, fusion=encoder.fusion, **options), tokenizer


def _from_scratch(encoder: EncoderRecipe, data: TextData, seed: int) -> BuiltEncoder:
    if encoder.second is not None:
        raise RecipeError(
            f"{encoder.name} cannot be fused before it has learned anything",
            "train it first and give the folder, or leave out --second-encoder",
        )
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
        seed=seed,
    )


def starting_at_random(recipe: Recipe) -> Recipe:
    """Returns a recipe whose first stage starts at random where the encoder has learned nothing yet.

    Raises:
        RecipeError: Its first stage learns nothing but the classifier.
    """
    if recipe.encoder.name not in FROM_SCRATCH:
        return recipe
    first, *others = recipe.stages
    if first.learns == "head":
        raise RecipeError(
            f"the first stage learns the classifier alone, and {recipe.encoder.name} has learned nothing yet",
            "choose a method that trains the encoder, or give the folder of a trained one as the encoder",
        )
    return recipe.model_copy(update={"stages": [first.model_copy(update={"start": "random"}), *others]})


def input_length(encoder: EncoderRecipe, model: Any) -> int:
    """Returns the longest input in tokens.

    Raises:
        RecipeError: It is longer than the encoder reads.
    """
    length = encoder.max_length or default_max_length(from_scratch=learns_from_scratch(model.config))
    limit = position_limit(model.config)
    if length > limit:
        raise RecipeError(
            f"max_length is {length} and the encoder {encoder.name} reads at most {limit} tokens",
            f"use --max-length {limit} or less",
        )
    return length
