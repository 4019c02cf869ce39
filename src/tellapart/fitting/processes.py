"""Of several processes that torchrun started: which one this is."""

from __future__ import annotations

import os


def process_number() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_main_process() -> bool:
    """Whether this process is the one that writes files and reports."""
    return process_number() == 0


def wait_for_all() -> None:
    """Returns when every process has come here: what one removes, another may still be reading."""
    import torch.distributed as distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()
