"""The seam between what is to be run and where: an engine runs tasks, and `schedule` gives it one after the other."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from tellapart.errors import UserError

Task = TypeVar("Task")
Result = TypeVar("Result")

CHECK_SECONDS = 5.0
"""Interval of the health checks of an engine while tasks run, in seconds."""

REPEATS = 2
"""Maximum number of retries of a task whose worker or node was lost."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Loss:
    """Why a task ended without a result.

    Args:
        reason: A clause, such as "its process died".
        again: Whether the task may succeed elsewhere, as after the loss of a machine.
    """

    reason: str
    again: bool = False


class Engine(ABC):
    """Runs functions of modules, several at a time.

    Functions and arguments must be picklable unless the engine runs them in this process. Engines are context
    managers; leaving one ends what still runs. One may be entered twice, so that it is closed within another context:
    `with place.engine() as engine, claimed(output) as folder, engine` empties no folder for an engine that cannot be
    had, and releases the lock only when nothing writes there any more.

    Attributes:
        isolated: Whether a task that crashes leaves the caller alive.
        shares_files: Whether tasks see the files of the caller.
        notes: What to announce about it.
    """

    isolated: bool = True
    shares_files: bool = True
    notes: tuple[str, ...] = ()

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many tasks may run at the same time."""

    @abstractmethod
    def submit(self, function: Callable[..., Result], /, *arguments: Any) -> Future[Result]:
        """Starts a function; called only while fewer than `slots` run."""

    def loss(self, error: BaseException) -> Loss | None:
        """Says whether an error of a future means that the task was lost; None if the task itself raised it."""
        del error
        return None

    def check(self) -> None:  # noqa: B027  most engines need no check
        """Checks that the engine still runs tasks.

        Raises:
            UserError: It does not, and waiting would not end.
        """

    def close(self) -> None:  # noqa: B027  some have nothing to end
        """Ends what still runs, and waits for its end; may be called again."""

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Budget:
    """A limit on wall time.

    Args:
        seconds: The limit; None for no limit.
        clock: Returns the time in seconds.
    """

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = None if seconds is None else clock() + seconds

    def fits(self, expected: float | None) -> bool:
        """Whether a task with this expected time in seconds, or None if unknown, may start."""
        if self._end is None:
            return True
        left = self._end - self._clock()
        return left > 0 and (expected is None or expected <= left)


def parse_budget(written: str) -> float:
    """Parses `90s`, `30m`, `1.5h` or `2d` into seconds.

    Raises:
        UserError: The format is different.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", written.strip().lower())
    if found is None:
        raise UserError(f'"{written}" is no length of time', "write --budget 30m, 90s, 1.5h or 2d")
    return float(found[1]) * _UNITS[found[2]]


def schedule(
    tasks: Iterable[Task],
    run: Callable[..., Result],
    engine: Engine,
    *,
    lost: Callable[[Task, str], Result],
    fits: Callable[[Task], bool] = lambda _task: True,
    arguments: Callable[[Task], tuple[Any, ...]] = lambda task: (task,),
) -> Iterator[tuple[Task, Result | None]]:
    """Runs tasks in order, each as soon as the engine has room.

    Args:
        tasks: The tasks; the next is requested when there is room for it.
        run: Runs a task; a function of a module unless the engine is this process.
        engine: Where it runs.
        lost: Returns the result of a task that was lost, given the reason.
        fits: Whether a task may still start; called immediately before it would.
        arguments: Returns what `run` is called with; called when the task starts, and again if it is repeated.

    Yields:
        A task and its result when it is finished; None for a task that was not started.

    Raises:
        UserError: The engine no longer runs anything.
    """
    coming = iter(tasks)
    again: list[tuple[int, Task]] = []
    repeats: Counter[int] = Counter()
    running: dict[Future[Result], tuple[int, Task]] = {}
    started = 0
    while True:
        while len(running) < max(1, engine.slots):
            if again:
                number, task = again.pop(0)
            else:
                try:
                    number, task = started, next(coming)
                except StopIteration:
                    break
                started += 1
                if not fits(task):
                    yield task, None
                    continue
            future = engine.submit(run, *arguments(task))
            running[future] = number, task
            if future.done():
                break  # its time is known now and affects whether the next task fits
        if not running:
            return
        finished, _ = wait(running, timeout=CHECK_SECONDS, return_when=FIRST_COMPLETED)
        if not finished:
            engine.check()
        for future in [one for one in running if one in finished]:
            number, task = running.pop(future)
            try:
                result = future.result()
            except Exception as error:
                loss = engine.loss(error)
                if loss is None:
                    raise
                if loss.again and repeats[number] < REPEATS:
                    repeats[number] += 1
                    again.append((number, task))
                    continue
                result = lost(task, loss.reason)
            yield task, result
