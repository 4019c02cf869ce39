"""The manifest of an export: model file, versions, agreement with PyTorch, checksums."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from tellapart.errors import ModelError
from tellapart.files import write_json

MANIFEST_FILE = "export.json"

_REMEDY = "export the model again: tellapart export MODEL --output FOLDER"
_PACKAGES = ("tellapart", "torch", "transformers", "onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Agreement:
    """Agreement of an exported model with PyTorch in float32 on the same texts.

    Args:
        texts: Number of texts.
        largest_difference: Largest absolute difference of logits.
        largest_logit: Largest absolute PyTorch logit.
        equal_labels: Share of texts with the same labels, 0 to 1.
    """

    texts: int
    largest_difference: float
    largest_logit: float
    equal_labels: float


@dataclass(frozen=True)
class Manifest:
    """The content of `export.json`.

    Args:
        model: The model file used for scoring.
        format: `onnx`.
        quantization: `int8`, or None for float32.
        opset: Version of ONNX's operators.
        inputs: Names of the model's inputs, each int64 (B, L).
        agreement: File name to its agreement with PyTorch.
        versions: Package to the version that made the export.
        sha256: Relative path to checksum, for all files except this one.
    """

    model: str
    format: str
    quantization: str | None
    opset: int
    inputs: list[str]
    agreement: dict[str, Agreement]
    versions: dict[str, str]
    sha256: dict[str, str]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes `export.json`.

    Raises:
        OutputError: It cannot be written.
    """
    write_json(folder / MANIFEST_FILE, asdict(manifest))


def read_manifest(folder: Path) -> Manifest:
    """Reads `export.json` and verifies the checksums of the files needed for scoring.

    Raises:
        ModelError: It is unreadable, names a file outside the folder, or a file is missing or has changed.
    """
    try:
        content = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        content["agreement"] = {name: Agreement(**found) for name, found in content["agreement"].items()}
        manifest = Manifest(**content)
        known = manifest.format == "onnx" and manifest.model in manifest.sha256
        checksums = {str(name): str(checksum) for name, checksum in manifest.sha256.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{folder / MANIFEST_FILE} cannot be read ({error})", _REMEDY) from error
    if not known:
        raise ModelError(f"{folder / MANIFEST_FILE} names no model in the format onnx", _REMEDY)
    for name, checksum in checksums.items():
        path = _inside(folder, name)
        if name.endswith(".onnx") and name != manifest.model:
            continue  # not read
        if not path.is_file():
            raise ModelError(f"{folder} lacks the file {name} of the export", _REMEDY)
        if file_checksum(path) != checksum:
            raise ModelError(f"{path} is not the file that was exported (its checksum differs)", _REMEDY)
    return manifest


def checksums_of(folder: Path) -> dict[str, str]:
    """Returns relative path to checksum for all files below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_checksum(path) for path in files}


def file_checksum(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def package_versions() -> dict[str, str]:
    """Returns the installed versions of the packages that make an export."""
    return {name: version(name) for name in _PACKAGES}


def _inside(folder: Path, name: str) -> Path:
    path = folder / PurePosixPath(name)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelError(f"{folder / MANIFEST_FILE} names {name}, which lies outside the folder", _REMEDY)
    return path
