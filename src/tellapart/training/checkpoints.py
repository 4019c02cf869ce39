"""The checkpoints that a training has written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path


def last_checkpoint(folder: str | Path) -> str | None:
    """Returns the newest complete checkpoint of a run and removes half-written ones.

    A checkpoint's `trainer_state.json` is written after everything else in it, so that one whose state can be
    read is complete.

    Args:
        folder: The trainer's output folder.
    """
    found: dict[int, Path] = {}
    for path in Path(folder).glob("checkpoint-*"):
        number = path.name.removeprefix("checkpoint-")
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(path, ignore_errors=True)
            continue
        if number.isdigit():
            found[int(number)] = path
    return str(found[max(found)]) if found else None
