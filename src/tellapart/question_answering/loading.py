"""Stock Transformers models for extractive question answering: loaded with a head, fresh or trained."""

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


def load_span_encoder(encoder: str) -> tuple[Any, Any]:
    """Loads an encoder under a question answering head, a fresh one unless it has one; and its tokeniser.

    Args:
        encoder: `minilm`, a folder, or a Hub name.

    Raises:
        ModelError: It cannot be read, or there is no such head for it.
    """
    path = resolve_encoder(encoder)
    with readable(encoder):
        config = AutoConfig.from_pretrained(path)
        config.num_labels = 2  # a start and an end, whatever it was trained for
        config.num_hidden_layers = encoder_layers(config)
        vars(config).pop(CONFIG_KEY, None)
        model = AutoModelForQuestionAnswering.from_pretrained(path, config=config, dtype=torch.float32)
        return model, load_tokenizer(encoder)


def answers_questions(folder: str | Path) -> bool:
    """Whether a folder holds a model of the kind that `load_span_model` loads.

    Raises:
        ModelError: It cannot be read.
    """
    path = resolve_encoder(str(folder))
    with readable(str(folder)):
        return _is_span_model(AutoConfig.from_pretrained(path))


def load_span_model(folder: str | Path) -> tuple[Any, Any]:
    """Loads a trained question answering model and its tokeniser.

    Args:
        folder: What `tellapart spans train` or `save_pretrained` wrote, or a Hub name.

    Raises:
        ModelError: It holds no such model.
    """
    path = resolve_encoder(str(folder))
    with readable(str(folder)):
        config = AutoConfig.from_pretrained(path)
        if not _is_span_model(config):
            kinds = config.architectures or []
            raise ModelError(
                f"{folder} holds {', '.join(kinds) or 'a model without a head'}, which does not answer questions",
                f"train one: tellapart spans train DATA --encoder {folder}",
            )
        model = AutoModelForQuestionAnswering.from_pretrained(path, dtype=torch.float32)
        return model.eval(), AutoTokenizer.from_pretrained(path)


def _is_span_model(config: Any) -> bool:
    return any(name.endswith("ForQuestionAnswering") for name in config.architectures or [])
