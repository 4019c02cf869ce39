"""Progress bars for scoring and reading texts; that of training is in `tellapart.training.step_bar`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from tqdm.auto import tqdm

Progress = Callable[[int], Any] | None
"""Called with the number of rows done; None for no reports."""


@contextlib.contextmanager
def rows_bar(total: int, *, quiet: bool, title: str = "scoring") -> Iterator[Callable[[int], Any] | None]:
    """Yields a callback for the number of rows done that updates a bar on stderr; None if quiet."""
    if quiet:
        yield None
        return
    with tqdm(total=total, desc=title, unit="row", leave=False) as bar:
        yield bar.update


@contextlib.contextmanager
def text_counter(title: str, *, quiet: bool) -> Iterator[Callable[[int], Any] | None]:
    """Yields a callback for the number of texts that updates a counter on stderr; None if quiet."""
    if quiet:
        yield None
        return
    with tqdm(desc=title, unit="text", leave=False) as bar:
        yield bar.update
