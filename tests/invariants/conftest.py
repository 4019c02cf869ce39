"""Runs of the real command line, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `tellapart` with the arguments, on one process or on several that torchrun starts."""

    def run(*arguments: object, ranks: int = 1) -> subprocess.CompletedProcess[str]:
        launcher = [sys.executable, "-m"]
        if ranks > 1:
            launcher += ["torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}", "-m"]
        finished = subprocess.run(
            [*launcher, "tellapart", *map(str, arguments)],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert finished.returncode == 0, finished.stderr[-3000:]
        return finished

    return run


@pytest.fixture(scope="session")
def weights() -> Callable[[Path], dict[str, torch.Tensor]]:
    """Reads the weights of a run folder's model."""
    return lambda folder: load_file(folder / "model" / "model.safetensors")


@pytest.fixture(scope="session")
def steady_encoder(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny encoder with a dropout so rare that nothing is ever dropped: two runs can be compared."""
    import shutil

    folder = tmp_path_factory.mktemp("steady") / "encoder"
    shutil.copytree(tiny_encoder, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 1e-7, "attention_probs_dropout_prob": 1e-7}
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


@pytest.fixture(scope="session")
def plainly() -> Sequence[str]:
    """Options under which a step is a plain gradient: SGD in float32 keeps differences as small as they are."""
    return (
        "--max-length=24",
        "--quiet",
        "--learning-rate=0.05",
        "--set=stages.0.head_learning_rate=0.05",
        "--set=stages.0.trainer.optim=sgd",
        "--set=stages.0.weight_decay=0",
        "--set=stages.0.precision=fp32",
    )
