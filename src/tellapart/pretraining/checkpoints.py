"""Atomic checkpoints of a run, as safetensors and JSON."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tellapart.files import share_weights
from tellapart.pretraining.batches import Position

OPTIMIZER_TENSORS, OPTIMIZER_JSON = "optimizer.safetensors", "optimizer.json"
POSITION_JSON = "position.json"
_WRITING, _REMOVING = ".writing", ".removing"


def last_checkpoint(folder: str | Path) -> str | None:
    """Returns the newest checkpoint of a run, or None; removes incomplete ones."""
    for name in (_WRITING, _REMOVING):
        shutil.rmtree(Path(folder) / name, ignore_errors=True)
    found = _numbered(Path(folder))
    return str(found[max(found)]) if found else None


@contextlib.contextmanager
def staged(folder: Path, name: str, *, main: bool, wait: Any, keep: int | None) -> Iterator[Path]:
    """Yields a temporary folder for a checkpoint, which is renamed when the block ends without an error.

    The `main` process renames it to `name` and removes all but the `keep` newest ones (None keeps all); `wait` waits
    for the other processes.
    """
    staging = folder / _WRITING
    try:
        yield staging
        wait()
        if main:
            share_weights(staging / name)
            target = folder / name
            if target.is_dir():
                _remove(target)
            (staging / name).replace(target)
            numbers = sorted(_numbered(folder))
            for number in numbers[: -keep if keep else 0]:
                _remove(_numbered(folder)[number])
    finally:
        if main:
            shutil.rmtree(staging, ignore_errors=True)
        wait()


def _numbered(folder: Path) -> dict[int, Path]:
    found = {path.name.removeprefix("checkpoint-"): path for path in folder.glob("checkpoint-*")}
    return {int(number): path for number, path in found.items() if number.isdigit()}


def _remove(checkpoint: Path) -> None:
    """Renames the checkpoint before deleting it, so that no half-deleted one keeps the name."""
    away = checkpoint.with_name(_REMOVING)
    shutil.rmtree(away, ignore_errors=True)
    checkpoint.replace(away)
    shutil.rmtree(away, ignore_errors=True)


def save_optimizer(folder: Path, optimizer: Any, scheduler: Any) -> None:
    """Writes the state of an optimiser and its scheduler."""
    content = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    rest: dict[str, dict[str, Any]] = {}
    for index, state in content["state"].items():
        for name, value in state.items():
            if torch.is_tensor(value):
                tensors[f"{index}.{name}"] = value.detach().cpu().contiguous()
            else:
                rest.setdefault(str(index), {})[name] = value
    save_file(tensors, folder / OPTIMIZER_TENSORS)
    described = {
        "param_groups": content["param_groups"],
        "state": rest,
        "scheduler": scheduler.state_dict(),
    }
    (folder / OPTIMIZER_JSON).write_text(json.dumps(described), encoding="utf-8")


def load_optimizer(folder: Path, optimizer: Any, scheduler: Any) -> None:
    """Restores the state written by `save_optimizer`, bit for bit."""
    described = json.loads((folder / OPTIMIZER_JSON).read_text(encoding="utf-8"))
    state: dict[int, dict[str, Any]] = {
        int(index): dict(values) for index, values in described["state"].items()
    }
    for name, value in load_file(folder / OPTIMIZER_TENSORS).items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": described["param_groups"]})
    scheduler.load_state_dict(described["scheduler"])


def save_position(folder: Path, position: Position) -> None:
    """Writes where the batches of a run go on."""
    (folder / POSITION_JSON).write_text(json.dumps(asdict(position)), encoding="utf-8")


def has_position(folder: Path) -> bool:
    """Returns whether a checkpoint has a position; those of version 0.1 have none."""
    return (folder / POSITION_JSON).is_file()


def load_position(folder: Path) -> Position:
    """Reads what `save_position` wrote; checkpoints of version 0.1 have the beginning of the run."""
    if not has_position(folder):
        return Position()
    return Position(**json.loads((folder / POSITION_JSON).read_text(encoding="utf-8")))


def save_random_state(file: Path) -> None:
    """Writes the states of the random generators of Python, NumPy and torch."""
    _, words, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002  libraries draw from it
    version, inner, gauss = random.getstate()
    tensors = {
        "torch": torch.get_rng_state(),
        "numpy": torch.from_numpy(np.asarray(words).astype(np.int64)),
        "python": torch.tensor(inner, dtype=torch.int64),
    }
    if torch.cuda.is_available():
        tensors |= {f"cuda.{index}": state for index, state in enumerate(torch.cuda.get_rng_state_all())}
    if torch.backends.mps.is_available():
        tensors["mps"] = torch.mps.get_rng_state()
    rest = {"numpy": [position, has_gauss, cached], "python": [version, gauss]}
    save_file(tensors, file, metadata={"rest": json.dumps(rest)})


def load_random_state(file: Path) -> list[str]:
    """Restores the states written by `save_random_state`.

    Returns:
        The devices of this machine whose state the file does not have, as that of a run with fewer GPUs; their
        generators stay as they are.
    """
    from safetensors import safe_open

    tensors = load_file(file)
    with safe_open(file, framework="pt") as opened:
        rest = json.loads(opened.metadata()["rest"])
    torch.set_rng_state(tensors["torch"])
    words = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", words, *rest["numpy"]))  # noqa: NPY002
    version, gauss = rest["python"]
    random.setstate((version, tuple(tensors["python"].tolist()), gauss))
    missing = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if (state := tensors.get(f"cuda.{index}")) is None:
            missing.append(f"cuda:{index}")
        else:
            torch.cuda.set_rng_state(state, index)
    if torch.backends.mps.is_available():
        if "mps" in tensors:
            torch.mps.set_rng_state(tensors["mps"])
        else:
            missing.append("mps")
    return missing
