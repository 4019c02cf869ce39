"""Atomic writes of files and folders, and the cache folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tellapart.errors import DataError, OutputError, TellapartWarning, UserError

_LEFT = re.compile(r"\.(.+)\.\d+\.(?:tmp|old)")


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Writes a file or folder atomically: yields a temporary path, which replaces `path` when the block ends.

    A symbolic link stays, and the file or folder that it points to is replaced, by one of the same permissions. An
    earlier folder is renamed, and deleted when the new one has its name. A process that is killed leaves hidden files
    or folders, see `left_by_a_kill`: the new one, and between the two renamings the earlier one.

    Raises:
        OutputError: In place of an OSError. The earlier file or folder is as it was, and no temporary files remain.
    """
    target = Path(os.path.realpath(path)) if Path(path).is_symlink() else Path(path)
    temporary = _hidden(target, "tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _delete(temporary)  # of a killed process with this number, which containers often give again
        if target.is_file():  # meanwhile, too, only those read the new content who may read the earlier one
            temporary.touch(mode=target.stat().st_mode & 0o666 | stat.S_IWUSR)
        yield temporary
        if not target.is_file():
            share_weights(temporary)
        _keep_permissions(target, temporary)
        if target.is_dir() and temporary.is_dir():
            _replace_folder(target, temporary)
        else:
            temporary.replace(target)
    except OSError as error:
        raise OutputError(
            f"{target} could not be written ({error.strerror or error})",
            _REMEDIES.get(error.errno or 0, "free some disk space, or choose another place"),
        ) from error
    finally:
        _delete(temporary)


def check_output_file(
    output: str | Path,
    inputs: Iterable[str | Path | None] = (),
    *,
    overwrite: bool = False,
    replaceable: Callable[[Path], bool] = lambda _: False,
) -> None:
    """Checks that a file may be written, before the work whose result it is to hold.

    Args:
        output: The file.
        inputs: Files that the command reads, which are never replaced; None is left out.
        overwrite: Whether an existing file may be replaced.
        replaceable: Whether this existing file may be replaced without `overwrite`.

    Raises:
        UserError: It is one of the inputs, under whatever name, or it exists and may not be replaced.
    """
    path = Path(output)
    if not path.is_file():
        return
    for name in inputs:
        if name is not None and user_path(name).is_file() and user_path(name).samefile(path):
            raise UserError(f"the output {path} is a file that the command reads", "choose another --output")
    if not overwrite and path.stat().st_size and not replaceable(path):
        raise UserError(
            f"the output {path} exists", "choose another --output, or replace it with --overwrite"
        )


_NOT_PERMITTED = "change its permissions or those of its folder, or choose another place"
_REMEDIES = {
    errno.EBUSY: "choose a folder or file in it if it is a mount point, or end what uses it",
    errno.EACCES: _NOT_PERMITTED,
    errno.EPERM: _NOT_PERMITTED,
    errno.EROFS: "choose another place",
}


def share_weights(path: Path) -> None:
    """Gives weights the permissions of other new files; safetensors lets only their owner read them.

    Args:
        path: A file that may be of safetensors, or a folder with such files.
    """
    umask = os.umask(0o077)
    os.umask(umask)
    for file in path.glob("*.safetensors") if path.is_dir() else [path]:
        # Other files may have permissions of an access control list of their folder.
        with contextlib.suppress(OSError):  # a file system without permissions
            if not file.stat().st_mode & 0o077:
                file.chmod(0o666 & ~umask)


def unreadable_file(folder: str | Path) -> Path | None:
    """Returns the first file of a model that this process has no permission to read; None if there is none."""
    for place in (Path(folder), Path(folder) / "model"):
        with contextlib.suppress(OSError):
            for file in sorted(place.iterdir()):
                if file.is_file() and not os.access(file, os.R_OK):
                    return file
    return None


def left_by_a_kill(name: str) -> str | None:
    """Returns the name that a process was replacing when it was killed, for what it left; None for other names."""
    found = _LEFT.fullmatch(name)
    return found and found.group(1)


def _hidden(target: Path, suffix: str) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.{suffix}")


def _keep_permissions(target: Path, new: Path) -> None:
    """Gives a new file or folder the permissions of the one that it replaces."""
    if not target.exists():
        return
    before, now = target.stat().st_mode, new.stat().st_mode
    if stat.S_IFMT(before) == stat.S_IFMT(now) and (before ^ now) & 0o777:
        new.chmod(stat.S_IMODE(now) & ~0o777 | before & 0o777)


def _replace_folder(target: Path, new: Path) -> None:
    """Puts a new folder into the place of an earlier one, which stays there if that fails."""
    earlier = _hidden(target, "old")
    _delete(earlier)
    try:
        target.rename(earlier)
        new.rename(target)
    except BaseException:
        if not target.exists() and earlier.exists():
            earlier.rename(target)
        raise
    _delete(earlier)
    if earlier.exists():
        warnings.warn(
            f"{earlier}, the earlier content of {target}, cannot be deleted: delete it by hand.",
            TellapartWarning,
            stacklevel=5,
        )


def _delete(path: Path) -> None:
    """Deletes a file or folder if it is there and that is allowed."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


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


def finite_json(content: Any) -> Any:
    """Returns content of JSON with null in place of NaN and infinities, which JSON lacks."""
    if isinstance(content, dict):
        return {key: finite_json(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite_json(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


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
_DEVICE = re.compile(r"(con(in\$|out\$)?|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])\s*(\..*)?", re.IGNORECASE)
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
