"""Loads a tokeniser for counting tokens, without torch where a checkpoint allows it.

Transformers' Auto classes import torch, which takes longer than the checks of a small file.
"""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tellapart.encoders.resolve import FROM_SCRATCH, resolve_encoder
from tellapart.encoders.vocabulary import has_vocabulary
from tellapart.encoders.words import build_tokenizer

# Model types and the tokeniser class that AutoTokenizer has for them. It takes this class if the checkpoint names the
# same one.
_CLASSES = {
    "albert": "AlbertTokenizer",
    "bert": "BertTokenizer",
    "deberta": "DebertaTokenizer",
    "deberta-v2": "DebertaV2Tokenizer",
    "distilbert": "BertTokenizer",
    "electra": "BertTokenizer",
    "mpnet": "MPNetTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
}


def load_token_counter(encoder: str, texts: Sequence[str]) -> Any:
    """Loads the tokeniser of an encoder, or trains that of an encoder without a checkpoint.

    Args:
        encoder: `minilm`, `mpnet`, a folder, a Hub name, `textcnn` or `han`.
        texts: The training texts, for the last two.

    Returns:
        A Transformers tokeniser whose `input_ids` are those of training. Other inputs may differ from those of
        `tellapart.encoders.loading.load_tokenizer`.

    Raises:
        ModelError: There is no tokeniser, or it cannot be read.
        DataError: No word of the texts occurs often enough.
    """
    if encoder in FROM_SCRATCH:
        return build_tokenizer(encoder, texts)
    counter = _without_torch(Path(resolve_encoder(encoder)))
    if counter is not None:
        return counter
    from tellapart.encoders.loading import load_tokenizer  # imports torch

    return load_tokenizer(encoder)


def _without_torch(folder: Path) -> Any:
    """Loads the tokeniser that AutoTokenizer would choose; None if only AutoTokenizer can tell, or refuse, it."""
    with contextlib.suppress(Exception):  # of many kinds; `load_tokenizer` meets it again and explains it
        config, settings = (
            json.loads((folder / name).read_text(encoding="utf-8"))
            for name in ("config.json", "tokenizer_config.json")
        )
        name = _CLASSES.get(config["model_type"])
        named = str(settings.get("tokenizer_class")).removesuffix("Fast")
        if name == named and "auto_map" not in {*config, *settings}:
            counter = getattr(importlib.import_module("transformers"), name).from_pretrained(folder)
            return counter if has_vocabulary(counter) else None
    return None
