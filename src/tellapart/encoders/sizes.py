"""Parameter counts of encoders from their configs, without downloading or reading weights."""

from __future__ import annotations

import functools
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from tellapart.encoders.pooling import encoder_layers
from tellapart.encoders.resolve import FROM_SCRATCH, resolve_encoder
from tellapart.encoders.scratch import CONFIGS
from tellapart.encoders.transformer import parameter_count, readable
from tellapart.errors import MissingDependencyError, ModelError

_BASE: tuple[str, dict[str, int]] = ("bert", {})
_LARGE: tuple[str, dict[str, int]] = (
    "bert",
    {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
)

# Configs of published encoders, for machines without their files. The default ElectraConfig is the small model.
_PUBLISHED: dict[str, tuple[str, dict[str, int]]] = {
    "minilm": (
        "bert",
        {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    ),
    "google-bert/bert-base-uncased": _BASE,
    "google-bert/bert-base-multilingual-cased": _BASE,
    "google-bert/bert-base-chinese": _BASE,
    "google-bert/bert-large-uncased": _LARGE,
    "hfl/chinese-bert-wwm": _BASE,
    "hfl/chinese-bert-wwm-ext": _BASE,
    "hfl/chinese-roberta-wwm-ext": _BASE,
    "hfl/chinese-roberta-wwm-ext-large": _LARGE,
    "hfl/chinese-macbert-base": _BASE,
    "hfl/chinese-macbert-large": _LARGE,
    "albert/albert-base-v2": (
        "albert",
        {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
    ),
    "google/electra-small-discriminator": ("electra", {}),
    "google/electra-small-generator": ("electra", {}),
    "google/electra-base-discriminator": (
        "electra",
        {"embedding_size": 768, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
    ),
    "google/electra-base-generator": ("electra", {"embedding_size": 768}),
}


@functools.cache
def parameters_a_token(encoder: str, embedding_size: int | None = None) -> int | None:
    """Returns the number of parameters, without embeddings, that are applied to each token.

    ALBERT's shared parameters count once per layer.

    Args:
        encoder: `minilm`, `textcnn`, `han`, a folder, or a Hub name.
        embedding_size: Embedding width of `textcnn` and `han`; by default their own.

    Returns:
        The number; None if there is neither a local config nor a known one.
    """
    config = _config(encoder, embedding_size)
    if config is None:
        return None
    try:
        with readable(encoder), torch.device("meta"):
            model = AutoModelForSequenceClassification.from_config(config)
    except ModelError:
        return None
    return parameter_count(model) + _shared_again(model)


def _config(encoder: str, embedding_size: int | None) -> Any:
    if encoder in FROM_SCRATCH:
        return CONFIGS[encoder](**({} if embedding_size is None else {"embedding_size": embedding_size}))
    try:
        path = resolve_encoder(encoder)
        with readable(encoder):
            config = AutoConfig.from_pretrained(path, local_files_only=True)
            if hasattr(config, "num_hidden_layers"):
                config.num_hidden_layers = encoder_layers(config)
            return config
    except (ModelError, MissingDependencyError):
        if encoder not in _PUBLISHED:
            return None
    family, settings = _PUBLISHED[encoder]
    return AutoConfig.for_model(family, **settings)


def _shared_again(model: Any) -> int:
    """Returns the parameters of ALBERT's layers that sharing saves: once for each layer except the first."""
    config = model.config
    if config.model_type != "albert":
        return 0
    layers = model.base_model.encoder.albert_layer_groups
    shared = sum(parameter.numel() for parameter in layers.parameters())
    return shared * config.num_hidden_layers // config.num_hidden_groups - shared
