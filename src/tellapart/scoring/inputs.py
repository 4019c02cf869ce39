"""The files that a path, a folder or a glob pattern names, and whether an output folder is apart from them."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from itertools import chain, takewhile
from pathlib import Path

from tellapart.data.reading.sources import is_saved_dataset
from tellapart.data.reading.tables import FORMATS, file_format, input_format
from tellapart.errors import DataError, UserError, did_you_mean
from tellapart.files import user_path
from tellapart.scoring.units import part_name

_MAGIC = re.compile(r"[*?[]")
_HIDDEN = (".", "_")  # as for Spark and pyarrow: `_SUCCESS` and `_metadata` are no rows


@dataclass(frozen=True)
class Inputs:
    """Files to score, in order.

    Args:
        given: The file, folder or pattern as the user named it, with `~` expanded.
        root: The folder that `names` are relative to.
        names: The files, sorted.
        notes: Remarks on what is not read.
    """

    given: Path
    root: Path
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def pattern(self) -> bool:
        """Whether a glob pattern named the files."""
        return not self.given.exists()

    def path(self, name: str) -> Path:
        """Returns the path of a file."""
        return self.root / name


def writes_parts(source: str | Path, output: str | Path) -> bool:
    """Whether predictions go to a folder of parts: for folders and patterns, and for outputs without a suffix.

    Raises:
        DataError: The file system refuses the name of the source.
    """
    path, target = user_path(source), Path(output)
    if path.is_dir() or _is_pattern(path):
        return True
    return path.is_file() and file_format(target) is None and (target.is_dir() or not target.suffix)


def list_inputs(source: str | Path) -> Inputs:
    """Lists the files of a folder, or those that a pattern matches.

    Hidden files, files of other formats and sub-folders are not read; `**` in a pattern stands for any sub-folders.

    Args:
        source: A file, a folder, or a pattern with `*`, `?`, `[...]` or `**`.

    Raises:
        DataError: There is no file to read, one has a name that is not UTF-8, or the folder is a saved data set.
    """
    path = check_given(source)
    if path.is_file():
        inputs = Inputs(path, path.parent, (path.name,))
    elif path.is_dir():
        inputs = _in_folder(path)
    else:
        inputs = _matched(path)
    for name in inputs.names:
        _check_name(inputs.path(name), name)
    return inputs


def check_given(source: str | Path) -> Path:
    """Returns the path of a file, a folder or a pattern, with `~` expanded.

    Raises:
        DataError: It is no pattern, and there is nothing of this name.
    """
    path = user_path(source)
    if path.is_file() or path.is_dir() or _is_pattern(path):
        return path
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    raise DataError(f"there is no file or folder {path}{did_you_mean(path.name, siblings)}", "check the path")


def _matched(path: Path) -> Inputs:
    """Lists the files that a pattern matches."""
    # Unlike Path.glob, it neither matches hidden folders nor needs a pattern that is relative.
    found = {name for name in glob.iglob(str(path), recursive=True) if Path(name).is_file()}  # noqa: PTH207
    distinct = _distinct(found)
    names, notes = _readable(Path(), distinct)
    if not names:
        raise DataError(
            f"no file of a known format matches the pattern {path}",
            "check it, quote it so that the shell leaves it alone, and write ** for sub-folders",
        )
    if repeated := sorted(found.difference(distinct)):
        notes = (
            *notes,
            f"{len(repeated)} further name(s) of the same files are left out, such as {_shown(repeated[0])}.",
        )
    return Inputs(path, Path(), names, notes)


def _distinct(found: Iterable[str]) -> list[str]:
    """Returns names in order, one for each entry of a folder: links to folders, and `..`, give it several names.

    A link to a file is an entry of its own: someone put it there to be read, also where other links lead to the file.
    """
    folders: dict[str, str] = {}
    entries: dict[tuple[str, str], str] = {}
    for name in sorted(found, key=lambda name: (len(Path(name).parts), name)):  # the shortest name is kept
        folder, own = os.path.split(name)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        entries.setdefault((folders[folder], own), name)
    return sorted(entries.values())


def _check_name(path: Path, name: str) -> None:
    """Refuses a name that the index, which is UTF-8, cannot hold."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"the name of the file {_shown(path)} is not UTF-8",
            "rename it, or give the other files by a pattern",
        ) from None


def _shown(path: str | Path) -> str:
    """Returns a path for messages, with escapes for bytes that are not UTF-8."""
    return os.fsencode(path).decode(errors="backslashreplace")


def check_apart(inputs: Inputs, output: str | Path) -> None:
    """Checks that no part would be among the files that are read.

    Raises:
        UserError: The output has the name of a file, or lies in the input folder, a file lies in the output folder,
            or the pattern matches the parts.
    """
    remedy = "choose another --output"
    if file_format(Path(output)) is not None and not Path(output).is_dir():
        raise UserError(
            f"the output {output} is named like a file, but several files are written",
            f"name a folder, such as {Path(output).with_suffix('')}",
        )
    target = Path(output).resolve()
    paths = [inputs.path(name) for name in inputs.names]
    folders = {path.parent for path in paths}
    for folder in sorted(folders | {path.resolve().parent for path in paths if path.is_symlink()}):
        if folder.resolve().is_relative_to(target):
            raise UserError(f"the files in {folder} are read, and the output folder is {output}", remedy)
    if inputs.given.is_dir() and target.is_relative_to(inputs.given.resolve()):
        raise UserError(f"the output folder {output} lies in the input folder {inputs.given}", remedy)
    if inputs.pattern and _matches_parts(inputs.given, folders, Path(output)):
        raise UserError(f"the pattern {inputs.given} also matches the parts in {output}", remedy)


def _matches_parts(given: Path, folders: set[Path], output: Path) -> bool:
    """Whether a pattern matches a part, by the name that the user gave or by one that links give it."""
    part = Path(os.path.abspath(output / part_name(0, 0)))  # noqa: PTH100  links stay as in the pattern
    pattern = Path(os.path.abspath(given))  # noqa: PTH100
    if _matches(part.parts, pattern.parts):
        return True
    # A link in the pattern, or one that it came through, is the folder that the output lies below.
    fixed = [*takewhile(lambda component: not _MAGIC.search(component), given.parts)]
    ways = {Path(*fixed)}.union(folders, *(folder.parents for folder in folders))
    target = output.resolve() / part_name(0, 0)
    for way in ways:
        place = way.resolve()
        if target.is_relative_to(place):
            name = Path.cwd() / way / target.relative_to(place)
            if _matches(name.parts, (Path.cwd() / given).parts):
                return True
    return False


def _is_pattern(path: Path) -> bool:
    return not path.exists() and _MAGIC.search(str(path)) is not None


def _in_folder(folder: Path) -> Inputs:
    if is_saved_dataset(folder):
        raise DataError(
            f"{folder} is a data set that datasets.save_to_disk wrote", "write it as Parquet with to_parquet"
        )
    with os.scandir(folder) as entries:
        kinds = [(entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")]
    names, notes = _readable(folder, sorted(name for name, is_folder in kinds if not is_folder))
    folders = sum(is_folder for _, is_folder in kinds)
    if not names:
        below = f"; files of its {folders} sub-folder(s) match '{folder}/**/*'" if folders else ""
        raise DataError(
            f"the folder {folder} holds no file of a known format",
            f"give one with files that end in {', '.join(FORMATS)}{below}",
        )
    if folders:
        notes = (
            *notes,
            f"The {folders} sub-folder(s) of {folder} are not read; '{folder}/**/*' matches them.",
        )
    return Inputs(folder, folder, names, notes)


def _readable(root: Path, found: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the files of a known format that are not hidden, and a note on the others."""
    names = tuple(name for name in found if _is_readable(root / name))
    kept = set(names)
    others = [name for name in found if name not in kept]
    if not others:
        return names, ()
    return names, (
        f"{len(others)} file(s) are hidden or of another format and not read, such as {_shown(others[0])}.",
    )


def _is_readable(path: Path) -> bool:
    return not path.name.startswith(_HIDDEN) and input_format(path) is not None


def _matches(path: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether a pattern matches a path, both as components; `**` matches any number of them."""
    places = {0}  # components of the path that the pattern has matched so far
    for component in pattern:
        if component == "**":
            places = set(chain.from_iterable(range(place, len(path) + 1) for place in places))
        else:
            wanted = re.compile(translate(component))
            places = {place + 1 for place in places if place < len(path) and wanted.match(path[place])}
    return len(path) in places
