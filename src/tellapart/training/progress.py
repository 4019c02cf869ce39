"""Progress on stderr: names of phases, bars of rows, and one bar over several runs."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Column
from tqdm.asyncio import tqdm as console_tqdm
from tqdm.auto import tqdm

from tellapart.errors import visible

Progress = Callable[[int], Any] | None
"""Called with the number of rows done; None for no reports."""


class RunsBar:
    """One bar over several runs, with the time left; from `runs_bar`.

    Args:
        total: The number of runs.
        done: How many of them are finished already.
        quiet: Whether to show nothing.
    """

    def __init__(self, total: int, done: int = 0, *, quiet: bool = False) -> None:
        self.total, self.done, self.quiet = total, done, quiet
        self._bar = RichProgress(
            MofNCompleteColumn(),
            BarColumn(bar_width=16),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),  # gives way to the times
            ),
            console=Console(stderr=True),
            transient=True,
            expand=True,
            redirect_stdout=False,
            disable=quiet or not sys.stderr.isatty(),
            speed_estimate_period=math.inf,  # runs may take longer than rich's 30 seconds
        )
        self._task = self._bar.add_task("", total=total, completed=done)
        self._bar.advance(self._task, 0)  # the time left counts from here

    def __enter__(self) -> RunsBar:
        self._token = _runs.set(None if self.quiet else self)
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        _runs.reset(self._token)

    def show(self, phase: str) -> None:
        """Names what is done at the moment."""
        self._bar.update(self._task, description=phase)

    def finish(self, outcome: str, runs: int = 1) -> None:
        """Counts finished runs and prints a line about them.

        Args:
            outcome: The run and its result.
            runs: Their number.
        """
        self.done += runs
        self._bar.advance(self._task, runs)
        if not self.quiet:
            print(visible(f"{self.done}/{self.total} {outcome}"), file=sys.stderr, flush=True)


_runs: ContextVar[RunsBar | None] = ContextVar("runs", default=None)
_parts: ContextVar[tuple[str, ...]] = ContextVar("parts", default=())


@contextlib.contextmanager
def part_of_run(name: str) -> Iterator[None]:
    """Puts a name before the phases of the block, such as `refit` or `model 2 of 3`."""
    token = _parts.set((*_parts.get(), name))
    try:
        yield
    finally:
        _parts.reset(token)


def show_phase(phase: str, *, quiet: bool) -> None:
    """Names the next phase of a run: on the bar over several runs, else on a line of stderr."""
    runs = _runs.get()
    if quiet:
        return
    phase = visible(": ".join((*_parts.get(), phase)))
    if runs is None:
        print(phase, file=sys.stderr, flush=True)
    else:
        runs.show(phase)


def run_bar(**options: Any) -> tqdm:
    """Returns a bar of a single run: hidden if several runs share one, and where stderr is a file."""
    hidden = None if tqdm is console_tqdm else False  # None: unless stderr is a terminal
    return tqdm(leave=False, disable=True if _runs.get() is not None else hidden, **options)


@contextlib.contextmanager
def rows_bar(
    total: int, *, quiet: bool, title: str = "scoring", unit: str = "row"
) -> Iterator[Callable[[int], Any] | None]:
    """Yields a callback for the number of rows done that updates a bar on stderr; None if quiet."""
    if quiet:
        yield None
        return
    with run_bar(total=total, desc=title, unit=unit) as bar:
        yield bar.update


@contextlib.contextmanager
def text_counter(title: str, *, quiet: bool) -> Iterator[Callable[[int], Any] | None]:
    """Yields a callback for the number of texts that updates a counter on stderr; None if quiet."""
    if quiet:
        yield None
        return
    with run_bar(desc=title, unit="text") as bar:
        yield bar.update
