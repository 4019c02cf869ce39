"""What a larger encoder gives: MiniLM and MPNet, as a frozen encoder and fine-tuned with cross entropy.

    python benchmarks/encoders.py --methods frozen --seeds 3
    python benchmarks/encoders.py --encoders minilm,mpnet --seeds 10
    python benchmarks/encoders.py --encoders minilm,mpnet --rows test --seeds 10 --first-seed 100

An arm is an encoder with a pooling: `minilm` and `mpnet` with their default, the mean over the tokens, `mpnet-cls`
with the vector of the first token, and `mpnet-stock` with the dense layer of MPNetForSequenceClassification, which
starts at random. Everything else is as in `tellapart train`. With `--rows development` (the default) the accuracy is
that on training rows which no run trains or validates on, the same for all arms and seeds, so that choices are not
made on test rows; with `--rows test` it is that on the test rows. Cells that are already in the file are not run
again: a run can be interrupted and resumed, and seeds, arms and data sets can be added. Results:
benchmarks/results/encoders.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from evidence import RESULTS
from pairs import write
from tellapart.data.examples import TextData
from tellapart.data.reading.rows import read_data
from tellapart.data.splits import complete_splits
from tellapart.evaluation.metrics import classification_metrics
from tellapart.fitting.environment import environment
from tellapart.fitting.fit import fit
from tellapart.fitting.rows import split_data
from tellapart.recipes import method_recipe, with_values

ARMS: dict[str, list[str]] = {
    "minilm": ["encoder.name=minilm", "encoder.pooling=mean"],
    "mpnet": ["encoder.name=mpnet", "encoder.pooling=mean"],
    "mpnet-cls": ["encoder.name=mpnet", "encoder.pooling=cls"],
    "mpnet-stock": ["encoder.name=mpnet", "encoder.pooling=stock"],
}
# A frozen encoder has one solver, so that the validation rows decide nothing that the table would have to say.
METHODS: dict[str, list[str]] = {"frozen": ["stages.0.solver=l-bfgs"], "cross-entropy": []}
KEYS = ("data", "few_shot", "arm", "method", "rows", "seed")
DEVELOPMENT_SHARE = 0.15


def with_evaluated_rows(data: TextData, rows: str) -> TextData:
    """Returns the task with the rows to evaluate on as test rows, the same for every seed."""
    if rows == "development":  # the test rows of the data set do not take part
        without = dataclasses.replace(data, validation=None, test=None)
        return complete_splits(without, validation_share=0.0, test_share=DEVELOPMENT_SHARE, seed=0)
    return data


def cell(data: str, few_shot: int, arm: str, method: str, rows: str, seed: int) -> dict[str, Any]:
    """Trains one classifier and returns its accuracy, with the values that identify the cell."""
    settings = [f"data.source={data}", f"data.few_shot={few_shot}", f"seed={seed}"]
    recipe = with_values(method_recipe(method), [*settings, *ARMS[arm], *METHODS[method]])
    drawn = split_data(recipe, with_evaluated_rows(read_data(data), rows))
    evaluated = drawn.test
    assert evaluated is not None
    assert evaluated.labels is not None
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(recipe, drawn, folder, quiet=True)
    seconds = time.perf_counter() - start
    gold = drawn.labels.encode(evaluated.labels)
    metrics = classification_metrics(drawn.labels, gold, fitted.scores(evaluated))
    return {
        "data": Path(data).name,
        "few_shot": few_shot,
        "arm": arm,
        "method": method,
        "rows": rows,
        "seed": seed,
        "accuracy": metrics["accuracy"],
        "evaluated": len(evaluated),
        "seconds": seconds,
        "processor": environment()["processor"],
    }


def main() -> None:
    """Runs the cells that are missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="banking77")
    parser.add_argument("--few-shot", type=int, default=5)
    parser.add_argument("--encoders", default=",".join(ARMS), help="arms, separated by commas")
    parser.add_argument("--methods", default=",".join(METHODS), help="separated by commas")
    parser.add_argument("--rows", choices=["development", "test"], default="development")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS / "encoders.json")
    given = parser.parse_args()
    cells = []
    if given.output.is_file():
        cells = json.loads(given.output.read_text(encoding="utf-8"))["cells"]
    done = {tuple(entry[key] for key in KEYS) for entry in cells}
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    for seed, method, arm in itertools.product(seeds, given.methods.split(","), given.encoders.split(",")):
        if (Path(given.data).name, given.few_shot, arm, method, given.rows, seed) in done:
            continue
        cells.append(cell(given.data, given.few_shot, arm, method, given.rows, seed))
        print(json.dumps(cells[-1]), flush=True)
        write(given.output, {"cells": cells, "environment": environment()})


if __name__ == "__main__":
    main()
