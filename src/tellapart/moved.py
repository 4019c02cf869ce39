"""Old module paths and names that documentation of version 0.1 named, kept importable."""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

MOVED = {
    "tellapart.data.squad": "tellapart.question_answering.squad",
    "tellapart.data.tokenising": "tellapart.data.batches.tokenising",
    "tellapart.evaluation.spans": "tellapart.question_answering.metrics",
}
"""Old path to new path; importing the old one gives a `DeprecationWarning`."""

MOVED_NAMES = {
    "tellapart.encoders.transformer": {
        "load_encoder": "tellapart.encoders.loading",
        "load_tokenizer": "tellapart.encoders.loading",
    }
}
"""Module to the names that it had, and where they are now."""


class MovedModules:
    """Import hook that loads a moved module from its new path; both paths give the same module object.

    It has the methods of `importlib.abc.MetaPathFinder` and `Loader`, whose import would slow down `--help`.
    """

    def __init__(self) -> None:
        self._specs: dict[str, importlib.machinery.ModuleSpec | None] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Returns a spec for the paths in `MOVED`, None for all others."""
        return importlib.machinery.ModuleSpec(fullname, self) if fullname in MOVED else None  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Imports the module from its new path."""
        warnings.warn(f"{spec.name} has moved: import {MOVED[spec.name]}", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(MOVED[spec.name])
        self._specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Gives the module, executed already under its new path, the spec of that path back."""
        assert module.__spec__ is not None
        module.__spec__ = self._specs.pop(module.__spec__.name)


def keep_old_paths() -> None:
    """Installs the import hook once."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(MovedModules())


def names_moved_from(module: str) -> Callable[[str], Any]:
    """Returns the `__getattr__` of a module from which names have moved.

    Args:
        module: Its name, a key of `MOVED_NAMES`.
    """

    def moved(name: str) -> Any:
        place = MOVED_NAMES[module].get(name)
        if place is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(importlib.import_module(place), name)

    return moved
