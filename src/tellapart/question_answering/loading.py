"""Loads stock Transformers models for extractive question answering, with a new or a trained head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForQuestionAnswering, AutoTokenizer

from tellapart.encoders.loading import load_tokenizer
from tellapart.encoders.pooling import CONFIG_KEY, encoder_layers
from tellapart.encoders.resolve import resolve_encoder
from tellapart.encoders.transformer import readable
from tellapart.errors import ModelError


def load_qa_encoder(encoder: str) -> tuple[Any, Any]:
    """Loads an encoder with a question answering head, new unless it has one, and its tokeniser.

    Args:
        encoder: `minilm`, a folder, or a Hub name.

    Raises:
        ModelError: It cannot be read, or its architecture has no question answering head.
    """
    path = resolve_encoder(encoder)
    with readable(encoder):
        config = AutoConfig.from_pretrained(path)
        config.num_labels = 2  # start and end logits, whatever it was trained for
        config.num_hidden_layers = encoder_layers(config)
        vars(config).pop(CONFIG_KEY, None)
        model = AutoModelForQuestionAnswering.from_pretrained(path, config=config, dtype=torch.float32)
        return model, load_tokenizer(encoder)


def is_qa_model(model: str | Path) -> bool:
    """Whether a folder or Hub name holds a question answering model; False for anything that cannot be read."""
    try:
        path = resolve_encoder(str(model))
        with readable(str(model)):
            return _has_qa_head(AutoConfig.from_pretrained(path))
    except ModelError:
        return False  # e.g. a TF-IDF model, which is not a Transformers model


def load_qa_model(folder: str | Path) -> tuple[Any, Any]:
    """Loads a trained question answering model and its tokeniser.

    Args:
        folder: Output of `tellapart spans train` or `save_pretrained`, or a Hub name.

    Raises:
        ModelError: It holds no such model.
    """
    path = resolve_encoder(str(folder))
    with readable(str(folder)):
        config = AutoConfig.from_pretrained(path)
        if not _has_qa_head(config):
            kinds = config.architectures or []
            raise ModelError(
                f"{folder} holds {', '.join(kinds) or 'a model without a head'}, which does not answer questions",
                f"train one: tellapart spans train DATA --encoder {folder}",
            )
        model = AutoModelForQuestionAnswering.from_pretrained(path, dtype=torch.float32)
        return model.eval(), AutoTokenizer.from_pretrained(path)


def _has_qa_head(config: Any) -> bool:
    return any(name.endswith("ForQuestionAnswering") for name in config.architectures or [])
