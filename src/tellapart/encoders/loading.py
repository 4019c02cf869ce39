"""Loads tokenisers, pre-trained encoders under a fresh classifier, and trained classifiers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoModel,
    AutoModelForSequenceClassification,
)

from tellapart.data.examples import LabelSpace
from tellapart.encoders import fused, han, textcnn, windowed  # noqa: F401  registers them with the Auto classes
from tellapart.encoders.cutting import WindowsName
from tellapart.encoders.fused import FusedForSequenceClassification, FusionName, fused_classifier
from tellapart.encoders.fused_tokenizer import TOKENIZER_FILE, FusedTokenizer
from tellapart.encoders.pooling import (
    CONFIG_KEY,
    PoolingName,
    default_pooling,
    encoder_layers,
    set_pooling,
    unfolded,
)
from tellapart.encoders.pretrained import build_model, read_config, read_model, read_tokenizer
from tellapart.encoders.resolve import resolve_encoder
from tellapart.encoders.transformer import classifies_tokens, head_dropouts, readable, set_classifier_dropout
from tellapart.encoders.windowed import (
    WindowedForSequenceClassification,
    check_can_window,
    windowed_classifier,
)
from tellapart.errors import ModelError

# How composed classifiers are loaded under a fresh classifier, by model type.
_COMPOSED: dict[str, Callable[..., Any]] = {
    fused.FusedConfig.model_type: fused.with_fresh_classifier,
    windowed.WindowedConfig.model_type: windowed.with_fresh_classifier,
}

_TOKEN_TYPES = "token_type_ids"


def load_tokenizer(encoder: str) -> Any:
    """Loads an encoder's tokeniser, or the `FusedTokenizer` of a fused encoder.

    The tokeniser returns token types exactly if the encoder distinguishes several, even if its class does otherwise
    (ALBERT's omits them, so that the two texts of a pair could not be told apart). The setting is saved with it.

    Raises:
        ModelError: There is no tokeniser, or it cannot be read.
    """
    path = resolve_encoder(encoder)
    with readable(encoder):
        if (Path(path) / TOKENIZER_FILE).is_file():
            return FusedTokenizer.from_pretrained(path)
        tokenizer = read_tokenizer(path)
        names = [name for name in tokenizer.model_input_names if name != _TOKEN_TYPES]
        reads = _reads_token_types(read_config(path))
        if reads is None or reads == (_TOKEN_TYPES in tokenizer.model_input_names):
            return tokenizer
        return read_tokenizer(path, model_input_names=names + [_TOKEN_TYPES] * reads)


def _reads_token_types(config: Any) -> bool | None:
    """Returns whether a model distinguishes token types; None if neither its config nor its class tells."""
    types = getattr(config, "type_vocab_size", None)
    if types is not None:
        return types > 1
    kind = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(config), None)
    has_none = kind is not None and _TOKEN_TYPES not in inspect.signature(kind.forward).parameters
    return False if has_none else None


def load_encoder(
    encoder: str,
    labels: LabelSpace,
    *,
    pooling: PoolingName | None = None,
    classifier_dropout: float | None = None,
) -> Any:
    """Loads a pre-trained encoder under a fresh classifier.

    Everything outside the base model is new, even if the checkpoint was already a classifier. The weights are
    float32.

    Args:
        encoder: `minilm`, `mpnet`, a folder, or a Hub name.
        labels: The classes; names and problem type are written into the config before training.
        pooling: `mean`, `cls` or `stock`; by default `mean` where a plain checkpoint supports it.
        classifier_dropout: Dropout rate before the final linear layer; by default the checkpoint's own.

    Returns:
        A Transformers sequence classifier in training form (see `tellapart.encoders.pooling`); a fused
        (`tellapart.encoders.fused`) or windowed one (`tellapart.encoders.windowed`) if the checkpoint is one.

    Raises:
        ModelError: The encoder cannot be read, has no sequence classification head, or classifies tokens.
    """
    path = resolve_encoder(encoder)
    with readable(encoder):
        config = read_config(path)
        if config.model_type in _COMPOSED:
            return _COMPOSED[config.model_type](
                path, labels, pooling=pooling, classifier_dropout=classifier_dropout
            )
        config.num_hidden_layers = encoder_layers(config)
        vars(config).pop(CONFIG_KEY, None)
        base = read_model(AutoModel, path, config=config)
    config.id2label, config.label2id = labels.id2label, labels.label2id
    config.problem_type = labels.problem_type
    try:
        model = build_model(AutoModelForSequenceClassification, config)
    except ValueError:
        raise ModelError(
            f"the encoder {encoder} ({config.model_type}) has no sequence classification head",
            "choose an encoder such as BERT, RoBERTa, ALBERT, ELECTRA, DeBERTa or ModernBERT",
        ) from None
    if classifies_tokens(model):
        raise ModelError(
            f"the encoder {encoder} ({config.model_type}) classifies each token, as decoders do, and has no vector"
            " of a text to learn from",
            "choose an encoder such as BERT, MPNet or ModernBERT",
        )
    model.base_model.load_state_dict(base.state_dict(), strict=False)
    set_pooling(model, pooling or default_pooling(config.model_type))
    if classifier_dropout is not None:
        set_classifier_dropout(model, classifier_dropout)
    return model


def load_fused_encoder(
    encoders: Sequence[str],
    labels: LabelSpace,
    *,
    pooling: PoolingName | None = None,
    fusion: FusionName = "concat",
    classifier_dropout: float | None = None,
) -> FusedForSequenceClassification:
    """Loads several pre-trained encoders under one fresh classifier.

    Args:
        encoders: Two or more of `minilm`, `mpnet`, a folder, or a Hub name.
        labels: As for `load_encoder`.
        pooling: `mean`, `cls` or `stock`, for all parts; by default `mean` for each part that supports it.
        fusion: `concat`, `mean` or `sum`; `mean` and `sum` require vectors of equal width.
        classifier_dropout: Dropout rate before the final linear layer; by default the first checkpoint's own.

    Returns:
        A classifier in training form with float32 weights.

    Raises:
        ModelError: An encoder cannot be read, does not support this pooling, or they do not fit together.
    """
    parts = [load_encoder(encoder, labels, pooling=pooling) for encoder in encoders]
    if classifier_dropout is None:
        classifier_dropout = _head_dropout(parts[:1])
    return fused_classifier(parts, labels, fusion, classifier_dropout)


def load_fused_tokenizer(encoders: Sequence[str]) -> FusedTokenizer:
    """Loads the tokenisers of several encoders as one.

    Raises:
        ModelError: A tokeniser cannot be read, or belongs to a fused encoder itself.
    """
    return FusedTokenizer([load_tokenizer(encoder) for encoder in encoders])


def load_windowed_encoder(
    encoder: str,
    labels: LabelSpace,
    *,
    windows: WindowsName,
    window_length: int | None = None,
    window_stride: int | None = None,
    pooling: PoolingName | None = None,
    classifier_dropout: float | None = None,
) -> tuple[WindowedForSequenceClassification, Any]:
    """Loads a pre-trained encoder that reads windows, under a fresh classifier, and its tokeniser.

    Args:
        encoder: `minilm`, `mpnet`, a folder, or a Hub name.
        labels: As for `load_encoder`.
        windows: How the windows' vectors are pooled: `max`, `mean` or `learned`.
        window_length: Tokens per window, special tokens included; by default 128, or the encoder's maximum input
            if that is shorter.
        window_stride: Minimum overlap of neighbouring windows in tokens; by default an eighth of a window.
        pooling: Of the tokens of a window, as for `load_encoder`.
        classifier_dropout: Dropout rate before the final linear layer; by default the checkpoint's own.

    Returns:
        A classifier in training form with float32 weights, and the tokeniser.

    Raises:
        ModelError: The encoder cannot be read, or cannot read windows of this length.
    """
    with readable(encoder):
        check_can_window(encoder, read_config(resolve_encoder(encoder)).model_type)
    part, tokenizer = load_encoder(encoder, labels, pooling=pooling), load_tokenizer(encoder)
    model = windowed_classifier(
        part,
        tokenizer,
        labels,
        windows=windows,
        window_length=window_length,
        window_stride=window_stride,
        classifier_dropout=_head_dropout([part]) if classifier_dropout is None else classifier_dropout,
    )
    return model, tokenizer


def _head_dropout(models: Sequence[Any]) -> float:
    """Returns the rate of the last dropout module in the first model's head; 0 without one."""
    return next((module.p for model in models for module in reversed(head_dropouts(model))), 0.0)


def load_classifier(folder: str | Path) -> tuple[Any, Any]:
    """Loads a trained classifier and its tokeniser.

    Args:
        folder: Written by `save_classifier`, `tellapart train` or `save_pretrained`.

    Returns:
        The classifier as of `load_classifier_model`, and the tokeniser.

    Raises:
        ModelError: The folder holds no sequence classifier, or no tokeniser.
    """
    model = load_classifier_model(folder)
    path = resolve_encoder(str(folder))
    with readable(str(folder), trained=True):
        if hasattr(model.config, "part_configs"):
            return model, FusedTokenizer.from_pretrained(path)
        return model, read_tokenizer(path)


def load_classifier_model(folder: str | Path) -> Any:
    """Loads a trained classifier in training form (without the extra layer of folded pooling), in evaluation mode.

    Args:
        folder: As for `load_classifier`; it needs no tokeniser.

    Raises:
        ModelError: The folder holds no sequence classifier.
    """
    path = resolve_encoder(str(folder))
    with readable(str(folder), trained=True):
        config = read_config(path)
        architectures = config.architectures or []
        if not any(name.endswith("ForSequenceClassification") for name in architectures):
            raise ModelError(
                f"{folder} holds {', '.join(architectures) or 'a model without a head'}, not a classifier",
                "train one: tellapart train DATA --encoder " + str(folder),
            )
        model = read_model(AutoModelForSequenceClassification, path)
        return model.eval() if hasattr(config, "part_configs") else unfolded(model).eval()
