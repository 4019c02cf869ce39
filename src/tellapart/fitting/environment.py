"""The software, hardware and processes of a run."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import transformers

import tellapart
from tellapart.errors import UserError


def environment() -> dict[str, Any]:
    """Returns versions, processor, threads and device, for the JSON file of a result."""
    return {
        "tellapart": tellapart.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    values = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines) if value
    }
    extensions = [
        name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in values.get("flags", "")
    ]
    return f"{values.get('model name', platform.processor())} ({', '.join(extensions)})"


def process_number() -> int:
    """Returns the rank of this process under torchrun, from 0."""
    return int(os.environ.get("RANK", "0"))


def process_count() -> int:
    """Returns the number of processes that train together; known before they are connected."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this process writes files and reports."""
    return process_number() == 0


def check_single_process(what: str) -> None:
    """Refuses to run under torchrun or accelerate.

    Raises:
        UserError: Several processes were started.
    """
    if process_count() > 1:
        raise UserError(f"{what} runs in one process", "start it without torchrun or accelerate launch")


def wait_for_all() -> None:
    """Waits until every process has arrived: files that one of them deletes may still be read by another."""
    import torch.distributed as distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()


@contextlib.contextmanager
def main_process_first() -> Iterator[None]:
    """Lets the main process go first through a block, however long it takes.

    The barriers of torch and accelerate give up after minutes; tokenising a large corpus takes hours.
    """
    import torch.distributed as distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        yield
        return
    patient = distributed.new_group(backend="gloo", timeout=timedelta(days=30))
    if not is_main_process():
        distributed.barrier(group=patient)
    yield
    if is_main_process():
        distributed.barrier(group=patient)


def disconnect() -> None:
    """Closes the connection to the other processes, at the end of this one.

    The threads of an open connection can abort a process that exits, upon which torchrun stops the others.
    """
    import torch.distributed as distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
