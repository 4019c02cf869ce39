"""The software, hardware and processes of a run."""

from __future__ import annotations

import contextlib
import os
import platform
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import transformers

import tellapart
from tellapart.encoders.precision import default_device
from tellapart.errors import TellapartWarning, UserError, shortened

# What torchrun, with its addresses kept over restarts, needs to be told: see `connect`.
_FRESH_ADDRESSES = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"


def environment() -> dict[str, Any]:
    """Returns versions, processor, threads and device, for the JSON file of a result."""
    device = default_device()
    return {
        "tellapart": tellapart.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(0) if device == "cuda" else device,
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


def connect() -> None:
    """Connects this process to the others that torchrun started with it; does nothing for a single process.

    Training arguments would connect later, and what fails then would be taken for a mistake in the arguments.

    Over a restart torchrun keeps the store of the addresses of its processes (PyTorch 2.13, rendezvous c10d): a
    process that is faster than the others finds the addresses of those that died, and machines that change their
    ranks wait at different stores. That cannot be mended from within; a run that may be restarted warns.

    Raises:
        UserError: The processes did not find each other.
    """
    if process_count() == 1:
        return
    from accelerate import PartialState  # slow to import; scoring does without

    shares = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    restarts = int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0"))
    if shares and restarts and is_main_process():
        warnings.warn(
            f"torchrun may not find its processes again after a restart: set {_FRESH_ADDRESSES} where it is started, "
            "on every machine.",
            TellapartWarning,
            stacklevel=2,
        )
    try:
        PartialState(cpu=default_device() == "cpu")
    except RuntimeError as error:  # the base of the errors of torch.distributed
        reason = shortened(" ".join(str(error).split()).rstrip("."), 200)
        remedy = f", and set {_FRESH_ADDRESSES} for restarts" if shares and restarts else ""
        raise UserError(
            f"the {process_count()} processes of this run could not connect to each other ({reason})",
            f"check that all of them run and that their machines reach each other on any port{remedy}",
        ) from None


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
