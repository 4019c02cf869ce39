"""Pieces of work one by one, or side by side on several devices, for as long as a budget lasts."""

from __future__ import annotations

import multiprocessing
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from typing import Any, TypeVar

from tellapart.errors import UserError

Piece = TypeVar("Piece")
Result = TypeVar("Result")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Budget:
    """Wall time that may be spent.

    Args:
        seconds: How much; None for any amount.
        clock: What tells the time, in seconds.
    """

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = None if seconds is None else clock() + seconds

    def fits(self, expected: float | None) -> bool:
        """Whether there is time left, and enough for what is expected to take so many seconds, if that is known."""
        if self._end is None:
            return True
        left = self._end - self._clock()
        return left > 0 and (expected is None or expected <= left)


def parse_budget(written: str) -> float:
    """Returns the seconds that `90s`, `30m`, `1.5h` or `2d` stand for.

    Raises:
        UserError: It is none of these.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", written.strip().lower())
    if found is None:
        raise UserError(f'"{written}" is no length of time', "write --budget 30m, 90s, 1.5h or 2d")
    return float(found[1]) * _UNITS[found[2]]


class InProcess(Executor):
    """Does what is submitted at once, in this process; what interrupts it interrupts the caller."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Returns a finished future."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class OneProcess(Executor):
    """A process of its own on a part of the machine; a new one takes its place when it has died.

    Args:
        device: The one GPU that it sees, as CUDA_VISIBLE_DEVICES names it; none where it is empty.
        cores: The numbers of the processor's cores that it may use, a thread each; empty for all.
    """

    def __init__(self, device: str, cores: Sequence[int] = ()) -> None:
        self._part = (device, tuple(cores))
        self._pool = self._process()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Has a function of a module called in that process."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenExecutor:
            self._pool = self._process()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the process."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def _process(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        return ProcessPoolExecutor(1, mp_context=context, initializer=_see_only, initargs=self._part)


def visible_devices() -> list[str]:
    """Returns the names of the GPUs that CUDA shows to this process, as CUDA_VISIBLE_DEVICES has them."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] if len(named) >= count else [str(number) for number in range(count)]


def executors(devices: Sequence[str], jobs: int = 1) -> list[Executor]:
    """Returns a process a device; with fewer than two, this process alone, or several that share the cores.

    Args:
        devices: The GPUs.
        jobs: Processes on a CPU.

    Raises:
        UserError: There are fewer cores than jobs, or GPUs are there.
    """
    if jobs > 1:
        cores = _cores()
        if devices:
            raise UserError(
                "--jobs divides the cores of a CPU, and there are GPUs",
                "leave it out: each GPU has a process",
            )
        if jobs > len(cores):
            raise UserError(
                f"{jobs} jobs cannot share {len(cores)} cores", f"use --jobs {len(cores)} or less"
            )
        return [OneProcess("", cores[number::jobs]) for number in range(jobs)]
    if len(devices) < 2:
        return [InProcess()]
    return [OneProcess(device) for device in devices]


def _cores() -> list[int]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def schedule(
    pieces: Iterable[Piece],
    work: Callable[[Piece], Result],
    workers: Sequence[Executor],
    *,
    fits: Callable[[Piece], bool],
    lost: Callable[[Piece], Result],
) -> Iterator[tuple[Piece, Result | None]]:
    """Has pieces of work done in their order, each by the first worker that is free.

    Args:
        pieces: What there is to do.
        work: Does one; with workers in other processes a function of a module.
        workers: Who does it, one piece at a time each.
        fits: Whether a piece may still begin; asked right before it would.
        lost: The result of a piece whose process has died.

    Yields:
        A piece and its result as soon as it is there; None for one that was not begun.
    """
    waiting = list(pieces)
    free = list(workers)
    running: dict[Future[Result], tuple[Executor, Piece]] = {}
    while waiting or running:
        while free and waiting:
            piece = waiting.pop(0)
            if not fits(piece):
                yield piece, None
                continue
            worker = free.pop(0)
            future = worker.submit(work, piece)
            running[future] = (worker, piece)
            if future.done():
                break  # its time is known now: the next piece is weighed with it
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in [one for one in running if one in finished]:
            worker, piece = running.pop(future)
            free.append(worker)
            try:
                result = future.result()
            except BrokenExecutor:
                result = lost(piece)
            yield piece, result


def _see_only(device: str, cores: Sequence[int]) -> None:
    """Narrows a new process before it imports what counts cores and devices."""
    os.environ["CUDA_VISIBLE_DEVICES"] = device
    if cores:
        os.environ["OMP_NUM_THREADS"] = str(len(cores))
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)
