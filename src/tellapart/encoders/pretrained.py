"""Reads configs, tokenisers and models through Transformers, without ever running code that a checkpoint contains.

All loading goes through these functions. Transformers' own default is to *ask on the terminal* whether it may run the
Python files of a checkpoint whose `auto_map` names some.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig
from transformers.models.auto.tokenization_auto import get_tokenizer_config

from tellapart.encoders.vocabulary import has_vocabulary
from tellapart.errors import ModelError

CODE_KEY = "auto_map"
"""Key of `config.json` and `tokenizer_config.json` that names classes in Python files of the checkpoint."""


def read_config(path: str | Path) -> Any:
    """Reads the config of a checkpoint.

    Args:
        path: A folder or a name on the Hub.

    Raises:
        ModelError: The checkpoint needs code of its own.
        OSError: There is no config.
        ValueError: The architecture is unknown.
    """
    settings, _ = PreTrainedConfig.get_config_dict(path)
    _refuse_code(path, settings, "config.json")
    return AutoConfig.from_pretrained(path, trust_remote_code=False)


def read_tokenizer(path: str | Path, **options: Any) -> Any:
    """Reads the tokeniser of a checkpoint.

    Args:
        path: A folder or a name on the Hub.
        options: Settings of the tokeniser that replace the saved ones.

    Raises:
        ModelError: The tokeniser needs code of its own, or there is none.
        OSError: Its files cannot be read.
    """
    _refuse_code(path, get_tokenizer_config(path), "tokenizer_config.json")
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, **options)
    if not has_vocabulary(tokenizer):
        raise ModelError(
            f"the model {path} has no tokeniser: its files have no vocabulary, and every word would be unknown",
            "copy the tokeniser's files into its folder, such as tokenizer.json, or save it there with "
            "save_pretrained",
        )
    return tokenizer


def read_model(kind: Any, path: str | Path, **options: Any) -> Any:
    """Reads the weights of a checkpoint, in float32.

    Args:
        kind: An Auto class, or a model class.
        path: A folder or a name on the Hub.
        options: Further arguments of `from_pretrained`.

    Raises:
        OSError: There are no weights.
        ValueError: The class does not fit the checkpoint.
    """
    return kind.from_pretrained(path, trust_remote_code=False, dtype=torch.float32, **options)


def build_model(kind: Any, config: Any, **options: Any) -> Any:
    """Builds a model with random weights.

    Args:
        kind: An Auto class.
        config: The config.
        options: Further arguments of `from_config`.

    Raises:
        ValueError: The Auto class has no model for the config.
    """
    return kind.from_config(config, trust_remote_code=False, **options)


def is_stock(folder: str | Path) -> bool:
    """Whether Transformers alone can load a model folder, without the classes of `tellapart.register()`."""
    settings, _ = PreTrainedConfig.get_config_dict(folder)
    return not str(settings.get("model_type")).startswith("tellapart-")


def _refuse_code(path: str | Path, settings: Mapping[str, Any], file: str) -> None:
    if settings.get(CODE_KEY):
        raise ModelError(
            f"the model {path} contains Python code of its own ({CODE_KEY} in its {file}), which is never run",
            "choose a checkpoint of an architecture that Transformers has built in; if this is one, remove "
            f"{CODE_KEY} from the file",
        )
