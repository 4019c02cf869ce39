"""Runs SetFit on rows of tellapart, by setfit_peer.py in an environment of its own."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tellapart.data.examples import TextData
from tellapart.encoders.resolve import resolve_encoder

PEER = Path(__file__).parent / "setfit_peer.py"


def setfit_run(
    data: TextData, *, python: str, seed: int, steps: int | None, max_length: int, encoder: str = "minilm"
) -> dict[str, Any]:
    """Trains on the training rows and scores the test rows.

    Args:
        data: The rows; there are test rows.
        python: Python of an environment with setfit 1.2.
        seed: Its seed.
        steps: Steps of 16 pairs; None for its default, one pass over the pairs.
        max_length: Maximum input length in tokens.
        encoder: Name of the encoder.

    Returns:
        What setfit_peer.py prints, and `process_seconds`, the time of its process from start to end.
    """
    assert data.test is not None
    splits = {
        name: {"text": split.texts, "label": data.labels.encode(split.labels or []).tolist()}
        for name, split in (("train", data.train), ("test", data.test))
    }
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        rows.write_text(json.dumps(splits), encoding="utf-8")
        command = [python, str(PEER), str(rows), str(resolve_encoder(encoder))]
        command += [f"--max-length={max_length}", f"--seed={seed}"] + ([f"--steps={steps}"] if steps else [])
        start = time.perf_counter()
        finished = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        seconds = time.perf_counter() - start
    return {**json.loads(finished.stdout.splitlines()[-1]), "process_seconds": seconds}
