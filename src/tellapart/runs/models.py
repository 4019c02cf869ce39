"""From a recipe's encoder to a model under a fresh classifier, and its tokeniser."""

from __future__ import annotations

from typing import Any

from tellapart.data.examples import LabelSpace
from tellapart.encoders.fused import load_fused_encoder, load_fused_tokenizer
from tellapart.encoders.transformer import load_encoder, load_tokenizer, position_limit
from tellapart.errors import RecipeError
from tellapart.recipes import EncoderRecipe


def load_model(encoder: EncoderRecipe, labels: LabelSpace) -> tuple[Any, Any]:
    """Loads what a recipe names as its encoder, alone or fused with a second one.

    Args:
        encoder: What to load, and how it pools.
        labels: The classes.

    Returns:
        A classifier in training form and its tokeniser.

    Raises:
        ModelError: An encoder cannot be read, or two do not fit together.
        RecipeError: The inputs are to be longer than the encoder reads.
    """
    if encoder.second is None:
        tokenizer: Any = load_tokenizer(encoder.name)
        model = load_encoder(
            encoder.name, labels, pooling=encoder.pooling, classifier_dropout=encoder.classifier_dropout
        )
    else:
        names = [encoder.name, encoder.second]
        tokenizer = load_fused_tokenizer(names)
        model = load_fused_encoder(
            names,
            labels,
            pooling=encoder.pooling,
            fusion=encoder.fusion,
            classifier_dropout=encoder.classifier_dropout,
        )
    limit = position_limit(model.config)
    if encoder.max_length > limit:
        raise RecipeError(
            f"max_length is {encoder.max_length} and the encoder {encoder.name} reads at most {limit} tokens",
            f"use --max-length {limit} or less",
        )
    return model, tokenizer
