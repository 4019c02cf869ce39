"""Runs of the command line, in this process or on several that torchrun starts."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from tellapart.cli import main
from tellapart.encoders.loading import load_tokenizer
from tellapart.pretraining.synonyms import SynonymTable
from tellapart.pretraining.vocabulary import vocabulary_fingerprint

ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # see docs/how-to/several-processes.md
}


SEVERAL = """
import json, sys
from tellapart.cli import main
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as end:
        if end.code:
            raise
"""


def _started(
    *program: str, options: Sequence[str] = ("--standalone", "--nproc_per_node=2")
) -> subprocess.Popen[str]:
    """Starts torchrun with a program, on two processes of this machine or as the options say."""
    launcher = [sys.executable, "-m", "torch.distributed.run", *options, *program]
    return subprocess.Popen(
        launcher, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _finished(started: Sequence[subprocess.Popen[str]]) -> None:
    try:
        said = [process.communicate(timeout=300)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    codes = [process.returncode for process in started]
    assert not any(codes), "\n".join(text[-3000:] for text in said)


@pytest.fixture(scope="session")
def command() -> Callable[..., None]:
    """Runs `tellapart` with the arguments, here and on one thread."""

    def run(*arguments: object) -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as in the other processes: sums are split by threads
        try:
            with pytest.raises(SystemExit) as end:
                main([str(argument) for argument in arguments])
        finally:
            torch.set_num_threads(threads)
        assert not end.value.code

    return run


@pytest.fixture(scope="session")
def commands_on_two(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[Sequence[str]]], None]:
    """Runs `tellapart` several times on two processes that are started once, which takes longer than the runs."""
    program = tmp_path_factory.mktemp("several") / "several.py"
    program.write_text(SEVERAL)
    return lambda runs: _finished([_started(str(program), json.dumps(runs))])


@pytest.fixture(scope="session")
def command_that_loses_a_process() -> Callable[[Sequence[str], Path], None]:
    """Runs `tellapart` on two nodes, which find each other as machines would.

    The process of one is killed at the first checkpoint, and both start again.
    """

    def run(arguments: Sequence[str], checkpoints: Path) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            meeting = f"127.0.0.1:{unused.getsockname()[1]}"
        options = ["--nnodes=2", "--nproc_per_node=1", "--rdzv_backend=c10d", f"--rdzv_endpoint={meeting}"]
        nodes = [
            _started("-m", "tellapart", *arguments, options=[*options, "--max_restarts=1"]) for _ in range(2)
        ]
        deadline = time.monotonic() + 240
        while not [*checkpoints.glob("checkpoint-*")] and time.monotonic() < deadline:
            assert not any(node.poll() for node in nodes), "the run ended before a process could be killed"
            time.sleep(0.005)
        (worker,) = psutil.Process(nodes[1].pid).children()
        worker.kill()
        _finished(nodes)
        assert not worker.is_running()

    return run


@pytest.fixture(scope="session")
def kill_after_checkpoints() -> Callable[[Sequence[str], Path, Path, int], None]:
    """Starts a run and kills it, without warning, once so many checkpoints have come and gone."""
    # Forked from a process that has imported what takes long.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "tellapart.cli",
            "tellapart.runs.train",
            "tellapart.pretraining.run",
            "transformers.models.bert.modeling_bert",
        ]
    )

    def run(arguments: Sequence[str], output: Path, checkpoints: Path, count: int) -> None:
        process = context.Process(target=main, args=([*arguments, "--quiet", "--output", str(output)],))
        with pytest.MonkeyPatch.context() as patch:
            for name in ("OMP_NUM_THREADS", "HF_HUB_OFFLINE"):
                patch.setenv(name, ENVIRONMENT[name])
            process.start()
        seen: set[str] = set()
        deadline = time.monotonic() + 120
        while len(seen) <= count and process.is_alive() and time.monotonic() < deadline:
            seen |= {path.name for path in checkpoints.glob("checkpoint-*")}
            time.sleep(0.005)
        process.kill()
        process.join()
        assert len(seen) > count, "the run ended before it could be killed"
        assert not (output / "model").exists()

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


@pytest.fixture(scope="session")
def many_synonyms(tiny_encoder, tmp_path_factory) -> Path:
    """A table in which every token is a synonym of every even one."""
    tokenizer = load_tokenizer(tiny_encoder)
    size = len(tokenizer)
    keys = torch.arange(size * size)
    wanted = (keys // size % 2 == 0) & (keys // size != keys % size)
    path = tmp_path_factory.mktemp("synonyms") / "many.safetensors"
    SynonymTable(keys[wanted], size, vocabulary_fingerprint(tokenizer), "test").save(path)
    return path


@pytest.fixture(scope="session")
def assert_same_weights() -> Callable[[dict[str, torch.Tensor], dict[str, torch.Tensor]], None]:
    """Compares the weights of two models, up to rounding."""

    def compare(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
        assert first.keys() == second.keys()
        for name, value in first.items():
            torch.testing.assert_close(
                second[name], value, atol=1e-5, rtol=1e-4, msg=lambda text, n=name: f"{n}: {text}"
            )

    return compare
