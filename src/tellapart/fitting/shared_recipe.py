"""What of a recipe may be shown to others: names without folders of this machine, no texts, no secrets."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import yaml

from tellapart.data.reading.tables import FORMATS
from tellapart.recipes import Recipe

_KEPT = ("order", "label_names", "label_delimiter", "hierarchy_separator")  # of classes, never paths
_SECRET = re.compile(r"token$|password|secret|^hub_", re.IGNORECASE)
_DATA_SUFFIXES = (*FORMATS, ".txt", ".text", ".yaml", ".yml", ".gz", ".vec")


def is_path(name: str) -> bool:
    """Whether a name is a path by its form, or there is such a file or folder."""
    suffix = Path(name).suffix.lower()
    if name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 2 or suffix in _DATA_SUFFIXES:
        return True
    with contextlib.suppress(OSError, ValueError):  # a name that no file can have
        return Path(name).exists()
    return False


def hub_set(source: str | None) -> str | None:
    """The name of a data set on the Hub, without its configuration; None for other data."""
    if source is None or is_path(source) or not re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+){1,2}", source):
        return None
    return "/".join(source.split("/")[:2])


def shared_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, without folders of this machine, texts, and secrets among the trainer's options."""
    content = recipe.model_dump(mode="json")
    texts = content["data"]["label_texts"]
    if isinstance(texts, dict):
        number = sum(1 if isinstance(text, str) else len(text) for text in texts.values())
        content["data"]["label_texts"] = f"{number} texts of {len(texts)} classes, not shown"
    for stage in content["stages"]:
        stage["trainer"] = {key: value for key, value in stage["trainer"].items() if not _SECRET.search(key)}
    return yaml.safe_dump(_without_folders(content), sort_keys=False, allow_unicode=True)


def _without_folders(value: Any) -> Any:
    """Returns plain data in which every path is its last part."""
    if isinstance(value, dict):
        return {key: one if key in _KEPT else _without_folders(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_folders(one) for one in value]
    return shared_name(value) if isinstance(value, str) else value


def shared_name(name: str) -> str:
    """Of a path its last part; other names as they are."""
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1] or name if is_path(name) else name
