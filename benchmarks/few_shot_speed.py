"""Few texts per class: time to SetFit's accuracy, and accuracy within SetFit's training time.

    python benchmarks/few_shot_speed.py --setfit-python path/to/environment/bin/python

SetFit (1.2, Tunstall et al. 2022, Efficient Few-Shot Learning Without Prompts) is run by benchmarks/setfit_peer.py in
a separate environment, with its defaults and 1,000 steps of 16 pairs; it need not be installed here. Both sides are
trained on the same rows, start from the same encoder and are evaluated on the same test rows, without validation
rows. tellapart is trained from the start for 1, 2, 3, 5 … epochs: the first run that is as accurate as SetFit gives
the time to its accuracy, the longest one within SetFit's time the accuracy in its time. Reading the rows and loading
the encoder are not timed. Results go to benchmarks/results/few_shot_speed-<data>.json after every seed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from evidence import RESULTS
from pairs import command_of, earlier, now, write
from setfit_runs import setfit_run
from tellapart.data.examples import TextData
from tellapart.data.reading.rows import read_data
from tellapart.fitting.environment import environment
from tellapart.fitting.fit import fit
from tellapart.fitting.rows import split_data
from tellapart.recipes import Recipe, method_recipe, with_values

EPOCHS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89)


def rows_of(recipe: Recipe, test_rows: int | None) -> TextData:
    """Returns the training rows of a seed, and the test rows."""
    data = split_data(recipe, read_data(recipe.data.source))
    assert data.test is not None
    order = np.random.default_rng(0).permutation(len(data.test))[:test_rows]
    return TextData(data.train, None, data.test.select(order), data.labels)


def own(recipe: Recipe, data: TextData, epochs: int) -> dict[str, float]:
    """Returns seconds and accuracy of tellapart."""
    assert data.test is not None
    with tempfile.TemporaryDirectory() as folder:
        start = now("cpu")
        fitted = fit(with_values(recipe, [f"stages.0.epochs={epochs}"]), data, folder, quiet=True)
        seconds = now("cpu") - start
    gold = data.labels.encode(data.test.labels or [])
    accuracy = float((fitted.scores(data.test).argmax(1) == gold).mean())
    return {"epochs": epochs, "seconds": seconds, "accuracy": accuracy}


def trial(seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """Measures both sides on the rows of a seed."""
    options = [
        f"data.source={given.data}",
        f"data.few_shot={given.few_shot}",
        f"encoder.max_length={given.max_length}",
        f"seed={seed}",
    ]
    recipe = with_values(method_recipe(given.method), options)
    data = rows_of(recipe, given.test_rows)
    peer = setfit_run(
        data, python=given.setfit_python, seed=seed, steps=given.setfit_steps, max_length=given.max_length
    )
    print(f"seed {seed}: SetFit {peer['seconds']:.1f} s, accuracy {peer['accuracy']:.4f}", flush=True)
    runs: list[dict[str, float]] = []
    for epochs in EPOCHS:
        # The next run takes at least as long a pass as the last one: beyond SetFit's time nothing is to be learned.
        if runs and runs[-1]["seconds"] * epochs / runs[-1]["epochs"] > peer["seconds"]:
            break
        runs.append(own(recipe, data, epochs))
        print(
            "seed {}: {epochs} epochs, {seconds:.1f} s, accuracy {accuracy:.4f}".format(seed, **runs[-1]),
            flush=True,
        )
    return {"seed": seed, "setfit": peer, "tellapart": runs}


def summary(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns time ratios at equal accuracy (0 if never reached) and accuracy differences at equal time, per seed."""
    ratios, points = [], []
    for entry in trials:
        peer, runs = entry["setfit"], entry["tellapart"]
        reaching = [run["seconds"] for run in runs if run["accuracy"] >= peer["accuracy"]]
        ratios.append(peer["seconds"] / reaching[0] if reaching else 0.0)
        within = [run["accuracy"] for run in runs if run["seconds"] <= peer["seconds"]]
        points.append(100 * (within[-1] - peer["accuracy"]) if within else float("-inf"))
    return {
        "ratios": ratios,
        "median_ratio": statistics.median(ratios),
        "points": points,
        "median_points": statistics.median(points),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setfit-python", required=True, help="Python of an environment with setfit 1.2")
    parser.add_argument("--setfit-steps", type=int, default=1000)
    parser.add_argument("--data", default="banking77")
    parser.add_argument("--few-shot", type=int, default=8)
    parser.add_argument("--method", default="cross-entropy")
    parser.add_argument("--max-length", type=int, default=64)
    parser.add_argument("--test-rows", type=int, help="all by default")
    parser.add_argument("--pairs", type=int, default=5, help="seeds")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--resume", action="store_true", help="keep the seeds that were measured before")
    given = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    target = given.output or RESULTS / f"few_shot_speed-{Path(given.data).name}.json"
    command = {key: value for key, value in command_of(given).items() if key != "setfit_python"}
    before = earlier(target, command) if given.resume else None
    trials: list[dict[str, Any]] = before["trials"] if before else []
    while len(trials) < given.pairs:
        trials.append(trial(len(trials), given))
        result = {
            "command": command | {"pairs": len(trials)},
            "environment": environment(),
            "versions": trials[-1]["setfit"].pop("versions"),
            "trials": trials,
            **summary(trials),
        }
        write(target, result)
        print(
            f"{result['median_ratio']:.1f}x less time, {result['median_points']:+.1f} points in its time",
            flush=True,
        )


if __name__ == "__main__":
    main()
