"""Scaling of the training time with the number of texts, their length, classes and processes.

    python benchmarks/growth.py

One quantity is varied at a time; the others are 512 texts, 64 tokens, 8 classes and one process. Texts are documents
of 20 Newsgroups truncated to exactly the length, so that there is no padding. Class ids are assigned cyclically, so
that the number of classes changes only the size of the classifier and of the distance matrix. Each point is one epoch
of contrastive learning with label distance by `tellapart.Trainer`, in a separate process. Two processes, started by
torchrun, share the batches and the threads. Points are measured in rounds; the result is their median. Results go to
benchmarks/results/growth.json after every round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from evidence import RESULTS
from pairs import add_device, command_of, earlier, now, settle_device, write
from tellapart.data.batches.batching import TokenisedDataset
from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import LabelSpace
from tellapart.data.reading.rows import read_data
from tellapart.encoders.loading import load_encoder, load_tokenizer
from tellapart.encoders.precision import use_bf16
from tellapart.fitting.environment import environment
from tellapart.objectives import CrossEntropy, LabelDistance
from tellapart.training.arguments import TrainingArguments
from tellapart.training.trainer import Trainer

BASE = {"texts": 512, "length": 64, "classes": 8, "processes": 1}
GROWTH = {
    "texts": (256, 512, 1024, 2048),
    "length": (16, 32, 64, 128, 256),
    "classes": (2, 8, 64, 512),
    "processes": (1, 2),
}
MARK = '{"seconds"'  # a worker's line among those that the Trainer prints
QUICK = {"texts": (64, 128), "length": (16, 32), "classes": (2, 64), "processes": (1, 2)}


def rows_of(point: dict[str, int]) -> TokenisedDataset:
    """Returns documents truncated to exactly the given length."""
    texts = read_data("20ng").train
    tokenised = tokenise(
        texts.select(np.arange(min(len(texts), 3 * point["texts"]))),
        load_tokenizer("minilm"),
        max_length=point["length"],
    )
    long = torch.nonzero(tokenised.lengths == point["length"]).squeeze(1)
    assert len(long), "no document is that long"
    chosen = long[torch.arange(point["texts"]) % len(long)]
    tokens = tokenised.batch(chosen.tolist())["input_ids"].flatten().numpy()
    lengths = np.full(point["texts"], point["length"])
    return TokenisedDataset({"input_ids": tokens}, lengths, np.arange(point["texts"]) % point["classes"])


def epoch(point: dict[str, int], device: str) -> float:
    """Returns the seconds of an epoch in this process, after one warm-up step."""
    torch.set_num_threads(max(1, torch.get_num_threads() // point["processes"]))
    transformers.set_seed(0)
    rows = rows_of(point)
    labels = LabelSpace(tuple(f"class {number}" for number in range(point["classes"])))
    model = load_encoder("minilm", labels)
    marks: list[float] = []

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            marks.append(now(device))

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=32 // point["processes"],
            num_train_epochs=1,
            bf16=use_bf16("auto", device),
            save_strategy="no",
            use_cpu=device == "cpu",
            disable_tqdm=True,
        )
        objective = 0.5 * CrossEntropy() + 0.5 * LabelDistance(distance="uniform")
        trainer = Trainer(model, arguments, objective=objective, train_dataset=rows)
        trainer.add_callback(Clock())
        trainer.train()
    # The first step also sets up kernels and the optimiser's state.
    return (marks[-1] - marks[0]) * len(marks) / (len(marks) - 1)


def measured(point: dict[str, int], device: str) -> float:
    """Measures a point in one or two separate processes."""
    launcher = [sys.executable]
    environ = dict(os.environ)
    if point["processes"] > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={point['processes']}"]
        environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
    worker = ["--device", device, "--point", json.dumps(point)]
    finished = subprocess.run(
        [*launcher, __file__, *worker], stdout=subprocess.PIPE, check=True, text=True, env=environ
    )
    return max(json.loads(line)["seconds"] for line in finished.stdout.splitlines() if line.startswith(MARK))


def points(growth: Mapping[str, tuple[int, ...]], base: dict[str, int]) -> list[tuple[str, dict[str, int]]]:
    """Returns the varied quantity and all settings of each point."""
    return [(name, base | {name: value}) for name, values in growth.items() for value in values]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=3, help="rounds")
    parser.add_argument("--quick", action="store_true", help="few and small points")
    add_device(parser)
    parser.add_argument("--output", type=Path, default=RESULTS / "growth.json")
    parser.add_argument("--resume", action="store_true", help="keep the rounds that were measured before")
    parser.add_argument(
        "--point", type=json.loads, help="measure one point in this process and print it as JSON"
    )
    given = parser.parse_args()
    settle_device(given, several=given.point is None or given.point["processes"] > 1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if given.point is not None:
        print(json.dumps({"seconds": epoch(given.point, given.device)}))
        return
    command = {key: value for key, value in command_of(given).items() if key != "point"}
    before = earlier(given.output, command) if given.resume else None
    rounds: list[list[float]] = before["rounds"] if before else []
    chosen = points(QUICK, BASE | {"texts": 128}) if given.quick else points(GROWTH, BASE)
    if not given.device.startswith("cpu") and torch.cuda.device_count() < 2:
        chosen = [(name, point) for name, point in chosen if point["processes"] == 1]
    while len(rounds) < given.pairs:
        ordered = chosen if len(rounds) % 2 == 0 else chosen[::-1]
        seconds = {json.dumps(pair): measured(pair[1], given.device) for pair in ordered}
        rounds.append([seconds[json.dumps(pair)] for pair in chosen])
        measured_points: list[dict[str, Any]] = [
            {"grows": name, **point, "seconds": statistics.median(values)}
            for (name, point), values in zip(chosen, zip(*rounds, strict=True), strict=True)
        ]
        result = {
            "command": command | {"pairs": len(rounds)},
            "environment": environment(),
            "points": measured_points,
            "rounds": rounds,
        }
        write(given.output, result)
        for entry in measured_points:
            print(f"{entry['grows']} {entry[entry['grows']]}: {entry['seconds']:.2f} s", flush=True)


if __name__ == "__main__":
    main()
