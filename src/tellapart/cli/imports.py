"""Imports of large packages by short commands."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """Switches Python's garbage collector off for a block of imports.

    They create very many objects that stay, and the collector would visit them again and again: a tenth of the
    time. Later collections leave these objects out.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
