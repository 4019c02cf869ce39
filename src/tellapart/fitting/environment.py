"""What a result was measured on: versions, device, threads."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch
import transformers

import tellapart


def environment() -> dict[str, Any]:
    """Returns a description of software and hardware, for the JSON beside every result."""
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
