"""Files of a served model: where they are, whether they have changed, and what stands beside them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tellapart.deployment.manifest import MANIFEST_FILE, file_checksum
from tellapart.encoders.resolve import resolve_encoder
from tellapart.errors import ModelError
from tellapart.files import finite_json
from tellapart.training.tfidf import CONFIG_FILE as TFIDF_CONFIG

_METRICS_FILE = "metrics.json"
_CARD_FILE = "README.md"
_MODEL_FOLDER = "model"
_MODEL_FILES = ("config.json", TFIDF_CONFIG, MANIFEST_FILE)

_MOST_CARD_BYTES = 1 << 20

Stamps = tuple[tuple[str, int, int, int], ...]
"""Path, size, time of change and inode of each file of a model; equal as long as none was replaced."""


def model_folder(source: str) -> Path | None:
    """Returns the folder with a model's files; None for a model that is none, such as one of the Hub's cache."""
    for candidate in (Path(source), Path(source) / _MODEL_FOLDER):
        if any((candidate / name).is_file() for name in _MODEL_FILES):
            return candidate
    try:
        resolved = Path(resolve_encoder(source))
    except ModelError:
        return None
    return resolved if resolved.is_dir() else None


def file_stamps(source: str) -> Stamps:
    """Returns what changes when a file of a model, or the metrics beside it, is replaced; empty without a folder.

    Symbolic links to a folder are followed first, so that all stamps are of one folder, and other ones after the link
    has been switched.
    """
    written = model_folder(source)
    if written is None:
        return ()
    found = []
    for file in [*_files(written.resolve()), *_metrics_files(written)]:
        try:
            status = file.stat()
        except OSError:  # it is being replaced
            continue
        found.append((str(file), status.st_size, status.st_mtime_ns, status.st_ino))
    return tuple(found)


def digest(folder: Path) -> str:
    """Returns the first 12 hexadecimal digits of the SHA-256 of a model's files."""
    lines = [f"{file.relative_to(folder).as_posix()} {file_checksum(file)}\n" for file in _files(folder)]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def model_name(folder: Path) -> str:
    """Returns the name of the folder that a person gave: that of the run, of a model in a run folder."""
    target = folder.resolve()
    return target.parent.name if target.name == _MODEL_FOLDER else target.name


def read_report(folder: Path) -> dict[str, Any]:
    """Returns the content of the run's `metrics.json`; nothing if there is none, or it is not readable."""
    for file in _metrics_files(folder):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict):
            return dict(finite_json(content))  # earlier versions wrote NaN and Infinity
    return {}


def read_card(folder: Path) -> str | None:
    """Returns the model card; None if there is none, or it is not readable or very large."""
    file = folder / _CARD_FILE
    try:
        return None if file.stat().st_size > _MOST_CARD_BYTES else file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _files(folder: Path) -> list[Path]:
    """Returns the files of a model: those of the folder, and the tokenisers of a fused one; no training states."""
    try:
        files = [*folder.glob("*"), *folder.glob("tokenizer-*/*")]
    except OSError:
        return []
    return sorted(file for file in files if file.is_file() and not file.name.startswith("."))


def _metrics_files(folder: Path) -> list[Path]:
    """Returns `metrics.json` of the run that wrote the model, if there is one.

    Where the folder is a symbolic link, the run of its target comes first, then the run that the link is in.
    """
    target = folder.resolve()
    runs = [one.parent for one in (target, folder) if one.name == _MODEL_FOLDER]
    return [run / _METRICS_FILE for run in (*runs, target) if (run / _METRICS_FILE).is_file()][:1]
