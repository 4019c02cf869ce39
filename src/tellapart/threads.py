"""Settings of OpenMP's threads for a machine that other programs use too, made before torch is loaded.

Threads that wait for each other do so busily by default: beside another program they take the time that the thread
they wait for would need. Waiting threads that sleep cost little on an idle machine and save most of a shared one:
docs/reference/defaults.md has the measurements.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
"""Waiting threads sleep: in general, in GNU's and in Intel's runtime."""

_THREADS = "OMP_NUM_THREADS"
_CGROUP = Path("/sys/fs/cgroup")


def share_the_machine(environment: MutableMapping[str, str] | None = None) -> bool:
    """Sets the variables of OpenMP that are not set; the user's own always win.

    Args:
        environment: The variables to change; by default those of the process, which its children inherit.

    Returns:
        Whether they have an effect: OpenMP reads them once, when torch is imported.
    """
    variables = os.environ if environment is None else environment
    if not WAITING.keys() & variables.keys():
        variables.update(WAITING)
    quota = processor_quota()
    if _THREADS not in variables and quota is not None and quota < usable_cores():
        variables[_THREADS] = str(max(1, math.floor(quota)))
    return "torch" not in sys.modules


def usable_cores() -> int:
    """Returns the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_quota(root: Path = _CGROUP) -> float | None:
    """Returns the cores whose time the process's control group may use, as containers limit it; None for no limit.

    Args:
        root: Where the control groups are mounted: `cpu.max` of version 2, else `cpu.cfs_quota_us` of version 1.
    """
    try:
        quota, period = (root / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        except OSError:
            return None
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:  # "max", or -1, is no limit
        return None
    return int(quota) / int(period)
