"""Engines of this machine: this process, or processes that share out its cores or GPUs."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from typing import Any, TypeVar

from tellapart.errors import UserError
from tellapart.execution.engine import Engine, Loss

Result = TypeVar("Result")

DIED = "its process died, perhaps for lack of memory: use a smaller encoder or batch size"


class ThisProcess(Engine):
    """Runs functions immediately; an interrupt reaches the caller."""

    isolated = False

    @property
    def slots(self) -> int:
        """One."""
        return 1

    def submit(self, function: Callable[..., Result], /, *arguments: Any) -> Future[Result]:
        """Returns a finished future."""
        future: Future[Result] = Future()
        future.set_result(function(*arguments))
        return future


class Processes(Engine):
    """One process for each part of the machine. A process that dies is replaced, and the others go on.

    Args:
        parts: For each process the only visible GPU, as in CUDA_VISIBLE_DEVICES, empty for none; and the numbers of
            the CPU cores that it may use, one thread per core, empty for all.
    """

    def __init__(self, parts: Sequence[tuple[str, Sequence[int]]]) -> None:
        self._parts = list(parts)
        self._pools = [self._process(part) for part in self._parts]
        self._running: dict[int, Future[Any]] = {}
        threads = len(parts[0][1])
        each = f"{threads} {'thread' if threads == 1 else 'threads'}" if threads else "one GPU"
        self.notes = (f"Runs in {len(parts)} processes, {each} each.",)

    @property
    def slots(self) -> int:
        """The number of processes."""
        return len(self._parts)

    def submit(self, function: Callable[..., Result], /, *arguments: Any) -> Future[Result]:
        """Runs a function of a module in the first idle process."""
        idle = next(
            number
            for number in range(len(self._parts))
            if number not in self._running or self._running[number].done()
        )
        try:
            future = self._pools[idle].submit(function, *arguments)
        except BrokenExecutor:
            self._pools[idle] = self._process(self._parts[idle])
            future = self._pools[idle].submit(function, *arguments)
        self._running[idle] = future
        return future

    def loss(self, error: BaseException) -> Loss | None:
        """A process that dies takes its task with it; another try would end the same way."""
        return Loss(DIED) if isinstance(error, BrokenExecutor) else None

    def close(self) -> None:
        """Stops the processes; tasks that run are waited for."""
        for pool in self._pools:
            pool.shutdown(wait=True, cancel_futures=True)

    def _process(self, part: tuple[str, Sequence[int]]) -> ProcessPoolExecutor:
        # One pool a process: a pool fails all its tasks when one of its processes dies.
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        return ProcessPoolExecutor(1, mp_context=context, initializer=_see_only, initargs=part)


def visible_devices() -> list[str]:
    """Returns the GPUs that are visible to this process, as in CUDA_VISIBLE_DEVICES."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] if len(named) >= count else [str(number) for number in range(count)]


def local_engine(jobs: int | None = None, devices: Sequence[str] | None = None) -> Engine:
    """Returns an engine of this machine.

    Args:
        jobs: Number of processes on a CPU, which share out its cores; by default this process alone, or one process
            per GPU where there are several.
        devices: The GPUs; by default the visible ones.

    Raises:
        UserError: There are fewer cores than jobs, or there are GPUs.
    """
    jobs = 1 if jobs is None else jobs
    devices = visible_devices() if devices is None else devices
    if jobs > 1:
        cores = _cores()
        if devices:
            raise UserError("--jobs is for CPUs, but there are GPUs", "leave it out: each GPU has a process")
        if jobs > len(cores):
            raise UserError(
                f"{jobs} jobs cannot share {len(cores)} cores", f"use --jobs {len(cores)} or less"
            )
        return Processes([("", cores[number::jobs]) for number in range(jobs)])
    if len(devices) < 2:
        return ThisProcess()
    return Processes([(device, ()) for device in devices])


def _cores() -> list[int]:
    """Numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _see_only(device: str, cores: Sequence[int]) -> None:
    """Restricts a new process before it imports libraries that count cores and devices."""
    os.environ["CUDA_VISIBLE_DEVICES"] = device
    if cores:
        os.environ["OMP_NUM_THREADS"] = str(len(cores))
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)
