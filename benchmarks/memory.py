"""Peak memory of training: tellapart against the stock Trainer, and a large batch in chunks against a small one.

    python benchmarks/memory.py

Every arm is a separate process that trains on the same real texts. `stock` and `tellapart` are the arms of
training_speed.py. `small-batch` trains contrastive learning with label distance on batches of 64 in one pass,
`large-batch` on batches of 1,024 in chunks of 64 (`gradient_cache`). The result is the peak during training minus
the memory in use before: on CPUs the resident memory reported by Linux, on GPUs the memory allocated by torch.
Results go to benchmarks/results/memory.json.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers

from evidence import RESULTS
from pairs import add_device, command_of, settle_device, write
from tellapart.data.examples import TextData
from tellapart.data.reading.rows import read_data
from tellapart.data.splits import prepare_splits, sample
from tellapart.encoders.loading import load_encoder
from tellapart.encoders.precision import use_bf16
from tellapart.fitting.environment import environment
from tellapart.objectives import CrossEntropy, LabelDistance
from tellapart.training.arguments import TrainingArguments
from tellapart.training.trainer import Trainer
from training_speed import Task, ours, stock

ARMS = ("stock", "tellapart", "small-batch", "large-batch")
SMALL = 64


class Peak:
    """Peak memory in bytes since construction, and memory in use at that time."""

    def __init__(self, device: str) -> None:
        self.cuda = torch.device(device).type == "cuda"
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
        else:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
            self.before = self._resident("VmRSS")

    def bytes(self) -> int:
        return torch.cuda.max_memory_allocated() if self.cuda else self._resident("VmHWM")

    @staticmethod
    def _resident(name: str) -> int:
        found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
        assert found is not None
        return 1024 * int(found[1])


def contrastive(task: Task, given: argparse.Namespace, batch_size: int, texts: int | None) -> None:
    """Runs an epoch of contrastive learning with label distance."""
    transformers.set_seed(0)
    model = load_encoder(task.encoder, task.labels)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=batch_size,
            gradient_cache=texts,
            num_train_epochs=1,
            bf16=use_bf16("auto", given.device),
            save_strategy="no",
            use_cpu=given.device == "cpu",
            disable_tqdm=True,
        )
        objective = 0.5 * CrossEntropy() + 0.5 * LabelDistance(distance="uniform")
        Trainer(model, arguments, objective=objective, train_dataset=task.rows).train()


def measure(arm: str, given: argparse.Namespace) -> dict[str, Any]:
    """Trains one arm in this process."""
    data = prepare_splits(read_data(given.data), seed=0)
    assert data.test is not None
    train = sample(data.train, given.rows, seed=0)
    batch_size = 32 if arm in ("stock", "tellapart") else given.large_batch
    task = Task(
        TextData(train, None, data.test.select([0]), data.labels), "minilm", given.max_length, batch_size
    )
    runs: dict[str, Callable[[], Any]] = {
        "stock": lambda: stock()(task, given.device, 0),
        "tellapart": lambda: ours()(task, given.device, 0),
        "small-batch": lambda: contrastive(task, given, SMALL, None),
        "large-batch": lambda: contrastive(task, given, given.large_batch, SMALL),
    }
    peak = Peak(given.device)
    runs[arm]()
    return {"peak_bytes": peak.bytes(), "before_bytes": peak.before}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="r8")
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--large-batch", type=int, default=1024)
    parser.add_argument("--max-length", type=int, default=128)
    add_device(parser)
    parser.add_argument("--output", type=Path, default=RESULTS / "memory.json")
    parser.add_argument("--arm", choices=ARMS, help="measure one arm in this process and print it as JSON")
    given = parser.parse_args()
    settle_device(given, several=given.arm is None)  # the processes of the arms choose one
    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if given.arm is not None:
        print(json.dumps(measure(given.arm, given)))
        return
    measured = {}
    for arm in ARMS:
        finished = subprocess.run(
            [sys.executable, *sys.argv, "--arm", arm], stdout=subprocess.PIPE, check=True
        )
        figures = json.loads(finished.stdout.splitlines()[-1])
        figures["added_bytes"] = figures["peak_bytes"] - figures["before_bytes"]
        measured[arm] = figures
        print(
            f"{arm}: {figures['added_bytes'] / 2**20:.0f} MiB beyond {figures['before_bytes'] / 2**20:.0f} MiB"
        )
    ratios = {
        "tellapart, of the stock Trainer": _ratio(measured, "tellapart", "stock"),
        "large batch in chunks, of the small one": _ratio(measured, "large-batch", "small-batch"),
    }
    for name, value in ratios.items():
        print(f"{name}: {value:.3f}")
    command = {key: value for key, value in command_of(given).items() if key != "arm"}
    result = {"command": command, "environment": environment(), "arms": measured, "ratios": ratios}
    write(given.output, result)


def _ratio(measured: dict[str, dict[str, int]], first: str, second: str) -> float:
    return measured[first]["added_bytes"] / measured[second]["added_bytes"]


if __name__ == "__main__":
    main()
