"""Helpers of the speed benchmarks: timing, and JSON results that can be resumed."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tellapart.files import replacing
from tellapart.fitting.environment import environment


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds the option --device; `settle_device` reads it."""
    parser.add_argument("--device", help="cpu, cuda or cuda:N; by default a GPU if there is one")


def settle_device(given: argparse.Namespace, *, several: bool = False) -> None:
    """Shows only the device of the option --device to what chooses one by itself, and to `environment`.

    Without a device it is filled in. To be called before anything asks for GPUs: CUDA reads the variable once.

    Args:
        given: The options.
        several: Whether all GPUs stay visible, for several processes.
    """
    name, _, number = (given.device or "cuda").partition(":")
    if name == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif not several:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        devices = (
            [str(index) for index in range(int(number or 0) + 1)] if visible is None else visible.split(",")
        )
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[int(number or 0)]
    if given.device is None:
        given.device = "cuda" if torch.cuda.is_available() else "cpu"
    elif number and not several:
        given.device = name


def now(device: str) -> float:
    """Seconds on a clock, after synchronising the device."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def write(target: Path, result: Mapping[str, Any]) -> None:
    """Writes a result atomically."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def earlier(target: Path, command: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the earlier result of the same command on the same kind of machine, or None.

    The number of pairs may differ: an interrupted run can be resumed, and pairs can be added.
    """
    if not target.is_file():
        return None
    result = json.loads(target.read_text(encoding="utf-8"))
    if _without_pairs(result["command"]) != _without_pairs(command) or result["environment"] != environment():
        raise SystemExit(
            f"{target} holds pairs with other options or from another machine: leave out --resume"
        )
    return result


def _without_pairs(command: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in command.items() if key != "pairs"}


def command_of(given: Any) -> dict[str, Any]:
    """Returns the options that a result depends on."""
    return {
        key: str(value) if isinstance(value, Path) else value
        for key, value in vars(given).items()
        if key not in ("output", "resume")
    }
