"""Atomic writes of files and folders, and the cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tellapart.errors import DataError, OutputError, TellapartWarning


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Writes a file or folder atomically: yields a temporary path, which replaces `path` when the block ends.

    A symbolic link stays, and the file or folder that it points to is replaced.

    Raises:
        OutputError: In place of an OSError. No temporary files remain.
    """
    target = Path(os.path.realpath(path)) if Path(path).is_symlink() else Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if target.is_dir() and temporary.is_dir():
            shutil.rmtree(target)
        temporary.replace(target)
    except OSError as error:
        raise OutputError(
            f"{target} could not be written ({error.strerror or error})",
            "free some disk space, or choose another place",
        ) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def user_path(written: str | Path) -> Path:
    """Returns the path that a user wrote, with `~` expanded; it need not exist, nor the user of `~user`.

    Raises:
        DataError: The file system refuses the name, for example since it is too long, or access to its folder.
    """
    path = Path(written)
    with contextlib.suppress(RuntimeError):  # no such user: the path stays as written
        path = path.expanduser()
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a null character
        return path
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror})", "check the path and its permissions"
        ) from error
    return path


def write_text(path: str | Path, text: str) -> None:
    """Writes a UTF-8 text file atomically, with equal bytes everywhere; raises `OutputError` as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, content: Any) -> None:
    """Writes an indented JSON file atomically; raises `OutputError` as `replacing` does."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_kept(path: Path) -> dict[str, Any] | None:
    """Reads a JSON object that an earlier run kept for a later one.

    Returns:
        Its content; None if there is no such file, or with a warning if it is damaged, as after a power failure.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        content = None
    if isinstance(content, dict):
        return content
    warnings.warn(
        f"{path} is damaged: what it was the result of is run again.", TellapartWarning, stacklevel=2
    )
    return None


_PLAIN_NAME = re.compile(r'[^\x00-\x1f\x7f/\\:*?"<>|\ud800-\udfff]*[^\x00-\x1f\x7f/\\:*?"<>|\ud800-\udfff. ]')
# Names of devices on Windows, with any suffix.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])\s*(\..*)?", re.IGNORECASE)
_LONGEST = 220  # bytes: file systems allow 255, and suffixes and temporary files add to a name


def path_component(name: str) -> str:
    """Returns one component of a path for something that users name: no separator, no parent folder.

    It is the name itself where every file system allows it: at most 220 bytes of UTF-8, no separator, control
    character or any of `:*?"<>|`, no name of a device such as `NUL`, no dot or space at the end. Else it is the plain
    characters of the name and eight digits of its SHA-256, so that different names have different components.
    """
    allowed = _PLAIN_NAME.fullmatch(name) and not _DEVICE.fullmatch(name) and len(name.encode()) <= _LONGEST
    return name if allowed else _hashed(name)


def file_stem(name: str) -> str:
    """Returns the name of a file for a method's name: `path_component`, without `=`, of at most 100 characters."""
    return _hashed(name) if "=" in name or len(name) > 100 else path_component(name)


def _hashed(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:60].strip("-.")
    return f"{plain}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def cache_folder() -> Path:
    """Returns the folder of downloaded data sets and tokens: `TELLAPART_CACHE`, by default `~/.cache/tellapart`."""
    return Path(os.environ.get("TELLAPART_CACHE") or "~/.cache/tellapart").expanduser()
