"""Runs tasks in sequence or in parallel on several devices, within a time budget."""

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

Task = TypeVar("Task")
Result = TypeVar("Result")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


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


class InProcess(Executor):
    """Runs submitted functions immediately in this process; an interrupt reaches the caller."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Returns a finished future."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class OneProcess(Executor):
    """A worker process with a part of the machine; it is replaced if it dies.

    Args:
        device: The only visible GPU, as in CUDA_VISIBLE_DEVICES; empty for none.
        cores: Numbers of the CPU cores that it may use, one thread per core; empty for all.
    """

    def __init__(self, device: str, cores: Sequence[int] = ()) -> None:
        self._part = (device, tuple(cores))
        self._pool = self._process()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Runs a module-level function in the process."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenExecutor:
            self._pool = self._process()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Stops the process."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def _process(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        return ProcessPoolExecutor(1, mp_context=context, initializer=_see_only, initargs=self._part)


def visible_devices() -> list[str]:
    """Returns the GPUs that are visible to this process, as in CUDA_VISIBLE_DEVICES."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] if len(named) >= count else [str(number) for number in range(count)]


def executors(devices: Sequence[str], jobs: int = 1) -> list[Executor]:
    """Returns one worker process per GPU; with fewer than two GPUs this process, or `jobs` CPU processes.

    Args:
        devices: The GPUs.
        jobs: Number of processes on a CPU.

    Raises:
        UserError: There are fewer cores than jobs, or there are GPUs.
    """
    if jobs > 1:
        cores = _cores()
        if devices:
            raise UserError("--jobs is for CPUs, but there are GPUs", "leave it out: each GPU has a process")
        if jobs > len(cores):
            raise UserError(
                f"{jobs} jobs cannot share {len(cores)} cores", f"use --jobs {len(cores)} or less"
            )
        return [OneProcess("", cores[number::jobs]) for number in range(jobs)]
    if len(devices) < 2:
        return [InProcess()]
    return [OneProcess(device) for device in devices]


def _cores() -> list[int]:
    """Numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def schedule(
    tasks: Iterable[Task],
    run: Callable[[Task], Result],
    workers: Sequence[Executor],
    *,
    fits: Callable[[Task], bool],
    lost: Callable[[Task], Result],
) -> Iterator[tuple[Task, Result | None]]:
    """Runs tasks in order, each on the first free executor.

    Args:
        tasks: The tasks.
        run: Runs a task; a module-level function for executors in other processes.
        workers: Executors, each with one task at a time.
        fits: Whether a task may still start; called immediately before it would.
        lost: Returns the result of a task whose process died.

    Yields:
        A task and its result when it is finished; None for a task that was not started.
    """
    waiting = list(tasks)
    free = list(workers)
    running: dict[Future[Result], tuple[Executor, Task]] = {}
    while waiting or running:
        while free and waiting:
            task = waiting.pop(0)
            if not fits(task):
                yield task, None
                continue
            worker = free.pop(0)
            future = worker.submit(run, task)
            running[future] = (worker, task)
            if future.done():
                break  # its time is known now and affects whether the next task fits
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in [one for one in running if one in finished]:
            worker, task = running.pop(future)
            free.append(worker)
            try:
                result = future.result()
            except BrokenExecutor:
                result = lost(task)
            yield task, result


def _see_only(device: str, cores: Sequence[int]) -> None:
    """Restricts a new process before it imports libraries that count cores and devices."""
    os.environ["CUDA_VISIBLE_DEVICES"] = device
    if cores:
        os.environ["OMP_NUM_THREADS"] = str(len(cores))
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)
