"""Runs for choosing `tellapart.training.defaults`: encoder learning rate × initialisation of the classifier.

    python benchmarks/defaults.py

Every cell is one `fit` on the training rows, evaluated on the validation rows and never on the test rows: defaults
selected on test rows would bias every later table. Cells that are already in the JSON file are not run again, so that
an interrupted run can be resumed. Results: benchmarks/results/defaults.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from tellapart.data.reading.rows import read_data
from tellapart.evaluation.metrics import classification_metrics
from tellapart.files import replacing
from tellapart.fitting.environment import environment
from tellapart.fitting.fit import fit
from tellapart.fitting.rows import split_data
from tellapart.recipes import Recipe, with_values

RESULT = Path(__file__).parent / "results" / "defaults.json"
_SHORT = ["encoder.max_length=64", "stages.0.epochs=5", "stages.0.evaluations=1"]
TASKS: dict[str, list[str]] = {
    "banking77, 8 a class": ["data.source=banking77", "data.few_shot=8", *_SHORT],
    "trec6, 1,000 rows": ["data.source=trec6", "data.train_rows=1000", *_SHORT],
}
RATES = (5e-5, 1e-4, 2e-4)
STARTS = ("probe", "random")

# Encoders that learn from scratch always start at random.
SCRATCH_TASKS: dict[str, list[str]] = {
    "TextCNN, trec6": ["data.source=trec6", "encoder.name=textcnn"],
    "TextCNN, chnsenticorp, 2,000 rows": [
        "data.source=chnsenticorp",
        "data.train_rows=2000",
        "encoder.name=textcnn",
    ],
    "HAN, r8, 1,000 rows": ["data.source=r8", "data.train_rows=1000", "encoder.name=han"],
}
SCRATCH_RATES = (5e-4, 1e-3, 2e-3, 4e-3)

CELLS = [
    *itertools.product(TASKS, RATES, STARTS),
    *itertools.product(SCRATCH_TASKS, SCRATCH_RATES, ["random"]),
]


def cell(task: str, rate: float, start: str, seed: int) -> dict[str, Any]:
    recipe = with_values(
        Recipe(seed=seed),
        [
            *(TASKS | SCRATCH_TASKS)[task],
            f"stages.0.learning_rate={rate}",
            f"stages.0.start={start}",
        ],
    )
    data = split_data(recipe, read_data(recipe.data.source))
    assert data.validation is not None
    assert data.validation.labels is not None
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(recipe, data, folder, quiet=True)
    seconds = time.perf_counter() - begin
    gold = data.labels.encode(data.validation.labels)
    accuracy = classification_metrics(data.labels, gold, fitted.scores(data.validation))["accuracy"]
    return {
        "task": task,
        "learning_rate": rate,
        "start": start,
        "seed": seed,
        "accuracy": accuracy,
        "rows": len(data.validation),
        "seconds": seconds,
        "processor": environment()["processor"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--tasks", default="", help="run only tasks whose name contains this")
    given = parser.parse_args()
    cells = json.loads(RESULT.read_text(encoding="utf-8"))["cells"] if RESULT.is_file() else []
    done = {(entry["task"], entry["learning_rate"], entry["start"], entry["seed"]) for entry in cells}
    for seed, (task, rate, start) in itertools.product(range(given.seeds), CELLS):
        if given.tasks not in task or (task, rate, start, seed) in done:
            continue
        cells.append(cell(task, rate, start, seed))
        print(json.dumps(cells[-1]), flush=True)
        with replacing(RESULT) as temporary:
            content = {"cells": cells, "environment": environment()}
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
