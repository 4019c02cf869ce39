"""Fingerprints of runs: a run is resumed only with the settings, rows, encoder and code that it was begun with."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

import tellapart
from tellapart.errors import RecipeError, TellapartError, TellapartWarning, damaged
from tellapart.files import write_json
from tellapart.plain_yaml import parse_yaml
from tellapart.recipes import Recipe
from tellapart.recipes.private_options import refuse_private

FINGERPRINT = "fingerprint.json"
"""File of a run folder with the fingerprint of the run."""

CODE = 3
"""Raised with every change after which equal settings and rows give other results."""

_OPEN = (None, "auto")  # values that a run decides
_HASHED_FILES = (".json", ".txt", ".model", ".safetensors", ".bin")  # of a checkpoint and its tokeniser

Contents = dict[str, dict[str, str]]


class Fingerprint(BaseModel):
    """What determines the result of a run.

    Args:
        kind: The kind of run, such as `train`.
        settings: Path of a key to its JSON value, for the values that differ from the default.
        contents: Path of a key that names data or a model, to what it names and the SHA-256 of that. If these agree,
            the names may differ: files may move.
        resolved: As `settings`, with the values that the run decided; a run may be resumed with either.
        code: `CODE` of the version that began the run.
        version: That version of tellapart, for the message.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    settings: dict[str, Any]
    contents: Contents = {}
    resolved: dict[str, Any] = {}
    code: int = CODE
    version: str = tellapart.__version__

    def other_settings(self, before: Fingerprint) -> list[str]:
        """Returns a clause for each setting that differs from an earlier run, such as "seed: 0 (now 1)"."""
        clauses = []
        for key in sorted({*self.settings, *before.settings}):
            now, then = self.settings.get(key), before.settings.get(key)
            named = self.contents.get(key)
            if named is not None and named == before.contents.get(key):
                continue
            if now != then and now != before.resolved.get(key, then):
                clauses.append(f"{key}: {_written(then)} (now {_written(now)})")
        return clauses

    def other_contents(self, before: Fingerprint) -> list[str]:
        """Returns a clause for each file, column or version that differs under the same settings."""
        clauses = []
        if self.code != before.code:
            clauses.append(f"version {before.version}, which computes other results")
        for key in sorted(self.contents.keys() & before.contents.keys()):
            now, then = self.contents[key], before.contents[key]
            clauses += [f"other {what}" for what in sorted({*now, *then}) if now.get(what) != then.get(what)]
        return clauses

    def check(self, before: Fingerprint, where: str) -> None:
        """Checks that this is the run that was begun earlier.

        Args:
            before: The fingerprint of that run.
            where: The run, such as "the run in runs/tickets".

        Raises:
            RecipeError: It is not; the message names what has changed.
        """
        if self.kind != before.kind:
            raise RecipeError(
                f"{where} was begun by another command ({before.kind}, now {self.kind})",
                "choose another --output",
            )
        changes = [*self.other_settings(before), *self.other_contents(before)]
        if changes:
            listed = ", ".join(changes[:3]) + (f" and {len(changes) - 3} more" if len(changes) > 3 else "")
            raise RecipeError(
                f"{where} was begun with {listed}",
                "repeat its command with the same data to resume it, choose another --output, or replace it with "
                "--overwrite",
            )


def changed_values(settings: BaseModel, prefix: str = "") -> dict[str, Any]:
    """Returns the values of a recipe that differ from their defaults, path to JSON value.

    Keys that a later version adds are therefore absent in both. Names of objectives and encoders are always there.
    """
    values: dict[str, Any] = {}
    written = settings.model_dump(mode="json")
    for name, described in type(settings).model_fields.items():
        value, path = getattr(settings, name), f"{prefix}{name}"
        if isinstance(value, BaseModel):
            values |= changed_values(value, f"{path}.")
        elif isinstance(value, list) and value and all(isinstance(one, BaseModel) for one in value):
            for number, one in enumerate(value):
                values |= changed_values(one, f"{path}.{number}.")
        elif name == "name" or value != described.get_default(call_default_factory=True):
            values[path] = written[name]
    return values


def recipe_fingerprint(
    kind: str, recipe: Recipe, rows: Mapping[str, Mapping[str, str]], **more: Any
) -> Fingerprint:
    """Returns the fingerprint of a run of a classifier.

    Args:
        kind: The kind of run.
        recipe: The recipe as the user gave it.
        rows: `TextData.fingerprints` of its rows.
        more: Further settings by name; those that are None are left out.

    Raises:
        RecipeError: An option for the trainer holds a secret, which must not be written.
    """
    for stage in recipe.stages:
        refuse_private(stage.trainer)
    settings = changed_values(recipe)
    if recipe.data.unlabelled is None:
        settings = {key: value for key, value in settings.items() if not key.startswith("self_training.")}
    settings |= {name: value for name, value in more.items() if value is not None}
    encoder = recipe.encoder
    named = {
        "encoder.name": encoder.name,
        "encoder.second": encoder.second,
        "encoder.embeddings": encoder.embeddings,
    }
    contents = {key: dict(named) for key, named in rows.items()} | model_contents(named)
    return Fingerprint(kind=kind, settings=settings, contents=contents)


def model_contents(named: Mapping[str, str | None]) -> dict[str, dict[str, str]]:
    """Returns the contents of the models and files that settings name: key to its last part and the SHA-256.

    Args:
        named: Key to a folder, a file or any other name; only folders, files and downloaded models have contents.
    """
    found = {key: _model_fingerprint(name) for key, name in named.items() if name is not None}
    return {
        key: {"files of " + key.removesuffix(".name").rpartition(".")[2]: digest}
        for key, digest in found.items()
        if digest is not None
    }


def check_resumed(
    folder: Path, fingerprint: Fingerprint, *, resume: bool, recipe: BaseModel | None = None
) -> None:
    """Checks that the run in a folder may go on as this one, and writes the fingerprint of a new run.

    Runs of version 0.1 have no fingerprint: the recipe that they wrote is compared, and a warning says that the rows
    are not.

    Args:
        folder: The run folder.
        fingerprint: Of the run that is to be started or resumed.
        resume: Whether to resume what the folder holds.
        recipe: The recipe, to compare with that of a run without a fingerprint; None for verbs that wrote none.

    Raises:
        RecipeError: The folder holds another run.
        OutputError: The file cannot be written.
    """
    if resume:
        before = read_fingerprint(folder)
        if before is not None:
            fingerprint.check(before, f"the run in {folder}")
            return
        if recipe is not None and any(not path.name.startswith(".") for path in folder.glob("*")):
            _check_unmarked(folder, fingerprint.kind, recipe)
    write_json(folder / FINGERPRINT, fingerprint.model_dump())


def read_fingerprint(folder: Path) -> Fingerprint | None:
    """Reads the fingerprint of a run; None if the folder has none.

    Raises:
        DataError: The file is damaged.
    """
    file = folder / FINGERPRINT
    if not file.is_file():
        return None
    try:
        return Fingerprint.model_validate_json(file.read_bytes())
    except ValidationError as error:
        remedy = "choose another --output, or replace the run with --overwrite"
        raise damaged(f"file {file}", error, remedy) from None


def add_resolved(folder: Path, recipe: BaseModel) -> None:
    """Adds the values that a run decided to its fingerprint: it may be resumed with the recipe it wrote.

    Raises:
        OutputError: The file cannot be written.
    """
    before = read_fingerprint(folder)
    if before is not None:
        write_json(folder / FINGERPRINT, before.model_dump() | {"resolved": changed_values(recipe)})


def source_of(folder: Path) -> str | None:
    """Returns the data of the run in a folder, as its user named them; None if unknown."""
    with contextlib.suppress(TellapartError, OSError, ValueError):
        before = read_fingerprint(folder)
        if before is not None:
            return before.settings.get("data.source") or before.settings.get("texts")
    return None


def warn_unmarked(what: str) -> None:
    """Warns that an earlier version has written something without a fingerprint of its rows."""
    warnings.warn(
        f"{what} hold no fingerprint of their rows, since an earlier version wrote them: they are taken up, and that "
        "the data are the same is not checked",
        TellapartWarning,
        stacklevel=1,  # one place, so that it is shown once
    )


def _check_unmarked(folder: Path, kind: str, recipe: BaseModel) -> None:
    """Compares the recipe that a run of an earlier version wrote: no value that is decided now may be another one."""
    resolved: dict[str, Any] = {}
    with contextlib.suppress(OSError, UnicodeError, RecipeError):
        resolved = _flat(parse_yaml((folder / "recipe.yaml").read_text(encoding="utf-8"), "recipe.yaml"))
    now = _flat(recipe.model_dump(mode="json"))
    asked = {key: now[key] for key in resolved.keys() & now.keys() if now[key] not in _OPEN}
    known = {key: resolved[key] for key in asked}
    Fingerprint(kind=kind, settings=asked).check(
        Fingerprint(kind=kind, settings=known), f"the run in {folder}"
    )
    warn_unmarked(f"the files in {folder}")


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings and lists of mappings as path to value."""
    flat: dict[str, Any] = {}
    for key, value in content.items() if isinstance(content, dict) else ():
        sections = value if isinstance(value, list) and value and isinstance(value[0], dict) else None
        if sections is not None:
            for number, one in enumerate(sections):
                flat |= _flat(one, f"{prefix}{key}.{number}.")
        elif isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _written(value: Any) -> str:
    """A value as YAML writes it, cut if it is long."""
    text = "the default" if value is None else json.dumps(value, ensure_ascii=False).strip('"')
    return text if len(text) <= 60 else text[:57] + "…"


def _model_fingerprint(name: str) -> str | None:
    """SHA-256 of a folder's model or of a file; the revision of a downloaded model; None for other names."""
    path = Path(name).expanduser()
    if path.is_dir():
        model = path if (path / "config.json").is_file() or not (path / "model").is_dir() else path / "model"
        files = sorted(file for file in model.iterdir() if file.suffix in _HASHED_FILES and file.is_file())
    elif path.is_file():
        files = [path]
    else:
        return _revision(name) if "/" in name else None
    digest = hashlib.sha256()
    for file in files:
        state = file.stat()
        digest.update(f"{file.name} {_file_sha256(str(file), state.st_size, state.st_mtime_ns)}\n".encode())
    return digest.hexdigest()


@functools.lru_cache(maxsize=64)
def _file_sha256(file: str, size: int, changed: int) -> str:
    """SHA-256 of a file; size and time of change keep the cache from answering for an older one."""
    with Path(file).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _revision(name: str) -> str | None:
    """The commit of a model on the Hub that is in the local cache."""
    from transformers.utils.hub import try_to_load_from_cache

    with contextlib.suppress(ValueError, OSError):
        config = try_to_load_from_cache(name, "config.json")
        return Path(config).parent.name if isinstance(config, str | os.PathLike) else None
    return None
