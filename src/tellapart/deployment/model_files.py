"""Which files of a folder belong to a model, which hold words of the training texts, and replacing them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from tellapart.deployment.manifest import MANIFEST_FILE
from tellapart.encoders.fused_tokenizer import TOKENIZER_FILE
from tellapart.evaluation.decision import DECISION_FILE
from tellapart.training.tfidf import CONFIG_FILE, WEIGHTS_FILE

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt", ".npy", ".npz", ".dill")
"""Suffixes of pickles and of archives that may hold pickles: loading them can execute code."""

ESTIMATOR_FILE = "estimator.json"
"""The state of a `TextClassifier` beside its model."""

SAVING = ".saving-"
"""Begins the name of the hidden folder in which a model is written before its files are moved."""

_DOCUMENTS = {"README.md", "LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE", "NOTICE.txt"}
_FOUND_BY = (MANIFEST_FILE, CONFIG_FILE, "config.json")  # an export, TF-IDF, a Transformers checkpoint
_NAMES = {
    *_DOCUMENTS,
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
    if name == ESTIMATOR_FILE:
        return "has the settings of the estimator, with paths and label texts"
    if _is_named_as_model(last) and (not folder or _PART.fullmatch(folder)):
        return None
    return "is no file of a model"


def _is_named_as_model(name: str) -> bool:
    return name in _NAMES or is_weights(name) or name == _INDEX


def replace_model(folder: Path, new: Path) -> None:
    """Moves the files of a new model into a folder and removes those of an earlier one, of whatever kind.

    Other files stay. A process that is killed meanwhile leaves a folder of which no model can be loaded: the weights
    go first, and the files by which a model is found come last.

    Args:
        folder: The folder.
        new: A folder within a hidden folder of `folder` with the new model's files.

    Raises:
        OSError: A file cannot be removed or moved.
    """
    for path in sorted(_earlier_model(folder, new.parent.name), key=lambda path: _removal_rank(path.name)):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for path in sorted(new.iterdir(), key=lambda path: (path.name == ESTIMATOR_FILE, path.name in _FOUND_BY)):
        path.replace(folder / path.name)


def _earlier_model(folder: Path, temporary: str) -> list[Path]:
    """The files of a model in a folder; without a model, files such as `vocab.txt` could be anything else's."""
    paths = [path for path in folder.iterdir() if path.name != temporary]
    # The hidden folder of a process that was killed: it may have moved some of the files.
    held = any(path.name in _FOUND_BY or path.name.startswith(SAVING) for path in paths)
    return [
        path
        for path in paths
        if path.name in (ESTIMATOR_FILE, DECISION_FILE)
        or (held and _is_named_as_model(path.name) and path.name not in _DOCUMENTS)
        or (held and _PART.fullmatch(path.name) and path.is_dir())
    ]


def _removal_rank(name: str) -> int:
    if name == ESTIMATOR_FILE:
        return 0
    return 1 if is_weights(name) else 3 if name in _FOUND_BY else 2


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
