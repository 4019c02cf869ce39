"""A whole command: `tellapart train` from start to end against SetFit's whole script, alternating.

    python benchmarks/whole_command.py --setfit-python path/to/environment/bin/python

Both are started as processes of their own, import their packages, read the rows, load the encoder, train, and score
the same test rows; tellapart writes its run folder and report as well. SetFit (1.2, 1,000 steps of 16 pairs) is
benchmarks/setfit_peer.py and learns from the training rows of a seed; `tellapart train` has as many validation rows
besides, of which only `contrast` learns, in its second training. Results go to benchmarks/results/whole_command.json
after every pair; `--resume` adds pairs to those that are there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from evidence import RESULTS
from pairs import command_of, earlier, write
from setfit_runs import setfit_run
from tellapart.fitting.environment import environment
from tellapart.fitting.rows import read_rows, split_data
from tellapart.recipes import method_recipe, with_values
from tellapart.training.defaults import MAX_LENGTH

METHODS = ("cross-entropy", "contrast")


def setfit(given: argparse.Namespace, seed: int) -> dict[str, float]:
    """SetFit's script; the rows are drawn before it starts."""
    values = [f"data.source={given.data}", f"data.few_shot={given.few_shot}", f"seed={seed}"]
    recipe = with_values(method_recipe("cross-entropy"), values)
    data = split_data(recipe, read_rows(recipe))
    run = setfit_run(data, python=given.setfit_python, seed=seed, steps=given.steps, max_length=MAX_LENGTH)
    return {"seconds": run["process_seconds"], "accuracy": run["accuracy"]}


def own(given: argparse.Namespace, seed: int, method: str) -> dict[str, float]:
    """`tellapart train`."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        command = [sys.executable, "-m", "tellapart", "train", given.data, f"--few-shot={given.few_shot}"]
        command += [f"--seed={seed}", f"--method={method}", f"--output={output}", "--quiet"]
        start = time.perf_counter()
        subprocess.run(command, stdout=subprocess.PIPE, check=True)
        seconds = time.perf_counter() - start
        metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    return {"seconds": seconds, "accuracy": metrics["test"]["accuracy"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setfit-python", required=True, help="Python of an environment with setfit 1.2")
    parser.add_argument("--steps", type=int, default=1000, help="of SetFit")
    parser.add_argument("--data", default="banking77")
    parser.add_argument("--few-shot", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS / "whole_command.json")
    parser.add_argument("--resume", action="store_true", help="keep the pairs that were measured before")
    given = parser.parse_args()
    command = {key: value for key, value in command_of(given).items() if key != "setfit_python"}
    before = earlier(given.output, command) if given.resume else None
    trials: list[dict[str, Any]] = before["trials"] if before else []
    while len(trials) < given.pairs:
        seed = len(trials)
        arms: dict[str, Callable[[], dict[str, float]]] = {"SetFit": partial(setfit, given, seed)}
        arms |= {method: partial(own, given, seed, method) for method in METHODS}
        order = list(arms) if seed % 2 == 0 else list(arms)[::-1]
        trials.append({"seed": seed, **{arm: arms[arm]() for arm in order}})
        print(json.dumps(trials[-1]), flush=True)
        ratios = {
            method: [trial["SetFit"]["seconds"] / trial[method]["seconds"] for trial in trials]
            for method in METHODS
        }
        result = {
            "command": command | {"pairs": len(trials)},
            "environment": environment(),
            "trials": trials,
            "ratios": ratios,
            "median_ratios": {method: statistics.median(its) for method, its in ratios.items()},
        }
        write(given.output, result)


if __name__ == "__main__":
    main()
