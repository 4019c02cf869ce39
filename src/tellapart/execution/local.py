"""Engines of this machine: this process, or processes that share out its cores or GPUs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from tellapart.errors import UserError
from tellapart.execution.engine import Engine, Loss

Result = TypeVar("Result")

DIED = "its process died, perhaps for lack of memory: use a smaller encoder or batch size"

END_SECONDS = 10.0
"""Seconds that an interrupted task has to remove its files before its process is killed."""


class ThisProcess(Engine):
    """Runs functions immediately; an interrupt reaches the caller.

    Args:
        device: The only visible GPU until the engine is closed, as in CUDA_VISIBLE_DEVICES; None for no restriction.
    """

    isolated = False

    def __init__(self, device: str | None = None) -> None:
        self._visible_before = os.environ.get("CUDA_VISIBLE_DEVICES")
        self._restricted = device is not None
        if device is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = device

    @property
    def slots(self) -> int:
        """One."""
        return 1

    def submit(self, function: Callable[..., Result], /, *arguments: Any) -> Future[Result]:
        """Returns a finished future."""
        future: Future[Result] = Future()
        future.set_result(function(*arguments))
        return future

    def close(self) -> None:
        """Makes the other GPUs visible again."""
        if not self._restricted:
            return
        self._restricted = False
        if self._visible_before is None:
            del os.environ["CUDA_VISIBLE_DEVICES"]
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = self._visible_before


class Processes(Engine):
    """One process for each part of the machine. A process that dies is replaced, and the others go on.

    The processes end with this one, also if it is killed.

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
            future = self._pools[idle].submit(_called, function, *arguments)
        except BrokenExecutor:
            self._pools[idle] = self._process(self._parts[idle])
            future = self._pools[idle].submit(_called, function, *arguments)
        self._running[idle] = future
        return future

    def loss(self, error: BaseException) -> Loss | None:
        """A process that dies takes its task with it; another try would end the same way."""
        return Loss(DIED) if isinstance(error, BrokenExecutor) else None

    def close(self) -> None:
        """Interrupts tasks that still run, kills processes whose task does not end, and waits for all of them."""
        running = {future: number for number, future in self._running.items() if not future.done()}
        for number in running.values():
            for process in _processes_of(self._pools[number]):
                _interrupt(process)
        _, left = wait(running, timeout=END_SECONDS)
        for future in left:
            for process in _processes_of(self._pools[running[future]]):
                process.kill()
        for pool in self._pools:
            pool.shutdown(wait=True, cancel_futures=True)

    def _process(self, part: tuple[str, Sequence[int]]) -> ProcessPoolExecutor:
        # One pool a process: a pool fails all its tasks when one of its processes dies.
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        return ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=part)


def visible_devices() -> list[str]:
    """Returns the GPUs that are visible to this process, as in CUDA_VISIBLE_DEVICES."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] if len(named) >= count else [str(number) for number in range(count)]


def local_engine(jobs: int | None = None, devices: Sequence[str] | None = None) -> Engine:
    """Returns an engine of this machine.

    Args:
        jobs: Number of processes on a CPU, which share out its cores; 1 for this process alone, on the first GPU if
            there are several; by default one process per GPU where there are several, else this process.
        devices: The GPUs; by default the visible ones.

    Raises:
        UserError: There are fewer cores than jobs, or there are GPUs.
    """
    devices = visible_devices() if devices is None else devices
    several = len(devices) > 1
    if jobs is not None and jobs > 1:
        if devices:
            raise UserError(
                f"--jobs {jobs} is for CPUs, but there {'are GPUs' if several else 'is a GPU'}",
                f"leave it out: {'each GPU has a process' if several else 'the GPU does one run after the other'}",
            )
        cores = _cores()
        if jobs > len(cores):
            raise UserError(
                f"{jobs} jobs cannot share {len(cores)} cores", f"use --jobs {len(cores)} or less"
            )
        return Processes([("", cores[number::jobs]) for number in range(jobs)])
    if not several:
        return ThisProcess()
    if jobs == 1:
        return ThisProcess(devices[0])
    return Processes([(device, ()) for device in devices])


def _cores() -> list[int]:
    """Numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _processes_of(pool: ProcessPoolExecutor) -> list[BaseProcess]:
    """Returns the processes of a pool; the method that ends them is of Python 3.14."""
    return list((pool._processes or {}).values())


def _interrupt(process: BaseProcess) -> None:
    """Interrupts a process as Ctrl-C does; where that is impossible, kills it."""
    if os.name == "nt":
        process.kill()
    elif process.pid is not None and process.is_alive():
        os.kill(process.pid, signal.SIGINT)


def end_with_parent() -> None:
    """Has this process end with the one that started it, also if that is killed: it would wait for work forever."""
    threading.Thread(target=_exit_after_parent, daemon=True, name="end with parent").start()


def _exit_after_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _begin(device: str, cores: Sequence[int]) -> None:
    """Begins a new process."""
    # Until the modules of the first task are imported, there is nothing to clean up, and nothing to print.
    signal.signal(signal.SIGINT, lambda *_: os._exit(1))
    end_with_parent()
    _see_only(device, cores)


def _called(function: Callable[..., Result], /, *arguments: Any) -> Result:
    """Calls a function, which alone may be interrupted: the pool's own code could leave half a result behind."""
    signal.signal(signal.SIGINT, _interrupt_once)
    try:
        return function(*arguments)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt_once(_signal: int, _frame: object) -> None:
    # Ctrl-C in a terminal and `Processes.close` interrupt the same task: the second must not stop its clean-up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _see_only(device: str, cores: Sequence[int]) -> None:
    """Restricts a new process before it imports libraries that count cores and devices."""
    os.environ["CUDA_VISIBLE_DEVICES"] = device
    if cores:
        os.environ["OMP_NUM_THREADS"] = str(len(cores))
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)
