"""Which files of a folder belong to a model, and which of them hold words of the training texts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from tellapart.deployment.manifest import MANIFEST_FILE
from tellapart.encoders.fused_tokenizer import TOKENIZER_FILE
from tellapart.evaluation.decision import DECISION_FILE
from tellapart.training.tfidf import CONFIG_FILE, WEIGHTS_FILE

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt", ".npy", ".npz", ".dill")
"""Suffixes of pickles and of archives that may hold pickles: loading them can execute code."""

_NAMES = {
    *("README.md", "LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE", "NOTICE.txt"),
    *("config.json", "generation_config.json", DECISION_FILE, MANIFEST_FILE, CONFIG_FILE, WEIGHTS_FILE),
    *(
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        TOKENIZER_FILE,
    ),
    # Vocabularies of the tokenisers of Transformers.
    *(
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "spiece.model",
        "spm.model",
        "spm_char.model",
        "tokenizer.model",
    ),
    *(
        "sentencepiece.model",
        "sentencepiece.bpe.model",
        "bpe.codes",
        "dict.txt",
        "emoji.json",
        "byte_maps.json",
    ),
    *("entity_vocab.json", "normalizer.json", "prophetnet.tokenizer", "source.spm", "target.spm"),
    *("target_vocab.json", "vocab-src.json", "vocab-tgt.json", "word_shape.json", "word_pronunciation.json"),
    "chat_template.jinja",
}
_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors|model(-\w+)?\.onnx(\.data|_data)?")
_INDEX = "model.safetensors.index.json"
_PART = re.compile(r"tokenizer-\d+")  # folder of a tokeniser of a fused encoder

_ESTIMATOR = "estimator.json"
_LEARNT = ("tellapart-textcnn", "tellapart-han")  # model types with a vocabulary of the training texts


def is_weights(name: str) -> bool:
    """Whether a file of this name holds model weights as safetensors or ONNX, which loading does not execute."""
    return bool(_WEIGHTS.fullmatch(name)) or name == WEIGHTS_FILE


def why_left_out(name: str) -> str | None:
    """Returns why a file of a model folder is not sent with the model; None if it belongs to the model.

    Args:
        name: Its path in the folder, with slashes.
    """
    folder, _, last = name.rpartition("/")
    if is_pickle(last):
        return "can run code when it is loaded"
    if name == _ESTIMATOR:
        return "has the settings of the estimator, with paths and label texts"
    belongs = last in _NAMES or is_weights(last) or last == _INDEX
    if belongs and (not folder or _PART.fullmatch(folder)):
        return None
    return "is no file of a model"


def is_pickle(name: str) -> bool:
    """Whether a file of this name is a pickle, or an archive that may hold one."""
    return Path(name).suffix.lower() in PICKLES


def remarks(folder: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Returns a sentence for each file to be sent that holds words of the training texts.

    Args:
        folder: The model folder.
        names: Paths of the files in it.
    """
    named = {*names}
    found = [CONFIG_FILE] if CONFIG_FILE in named else []
    if "tokenizer.json" in named and _model_type(folder) in _LEARNT:
        found.append("tokenizer.json")
    return tuple(
        f"{name} holds words of the training texts: whoever can read the repository can read them."
        for name in found
    )


def _model_type(folder: Path) -> str | None:
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None
