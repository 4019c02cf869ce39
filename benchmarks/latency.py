"""Time to classify one text: tellapart against a stock pipeline, alternating in one process.

    python benchmarks/latency.py --pairs 5

A classifier is trained briefly on the mix of texts of scoring_speed.py. Each arm loads it once, and then classifies
texts one at a time:

- `pipeline`: `transformers.pipeline("text-classification")` with the checkpoint, as in its documentation.
- `tellapart`: the run, as `tellapart serve` answers, without the network.
- `onnx`, `int8`: an export of `tellapart export`, without and with `--quantize int8`, answered in the same way.

All arms truncate texts at 128 tokens. In a round each arm classifies the same texts; every other round has the
reverse order of arms. The ratio of a round is that of the medians over its texts. Results go to
benchmarks/results/latency.json after every round; `--resume` adds rounds to those that are there.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from evidence import RESULTS
from pairs import command_of, earlier, write
from scoring_speed import Workplace, mixed
from tellapart.fitting.environment import environment
from tellapart.runs.export import export
from tellapart.serving.model import Text, load_model

ARMS = ("pipeline", "tellapart", "onnx", "int8")
WARM_UP = 10


def prepared(arm: str, place: Workplace) -> Callable[[str], str]:
    """Loads an arm's model; the function returns the label of a text."""
    if arm == "pipeline":
        classify = transformers.pipeline("text-classification", str(place.run / "model"), device="cpu")
        return lambda text: str(classify(text, truncation=True)[0]["label"])
    folder = place.run
    if arm != "tellapart":
        quantize = "int8" if arm == "int8" else None
        folder = export(place.run, place.folder / f"export-{arm}", quantize=quantize).folder
    model = load_model(str(folder))
    return lambda text: str(model.answers([Text(text)])[0]["predicted_label"])


def timed(classify: Callable[[str], str], place: Workplace, texts: list[str]) -> dict[str, float]:
    """Returns the median and the 95th percentile of the milliseconds of a text, and the accuracy."""
    for text in texts[:WARM_UP]:
        classify(text)
    seconds, found = [], []
    for text in texts:
        start = time.perf_counter()
        found.append(classify(text))
        seconds.append(time.perf_counter() - start)
    right = sum(label == gold for label, gold in zip(found, place.gold, strict=True))
    return {
        "p50_ms": 1000 * float(np.median(seconds)),
        "p95_ms": 1000 * float(np.percentile(seconds, 95)),
        "accuracy": right / len(texts),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--train-rows", type=int, default=4_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=5, help="rounds of all arms")
    parser.add_argument("--output", type=Path, default=RESULTS / "latency.json")
    parser.add_argument("--resume", action="store_true", help="keep the rounds that were measured before")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    before = earlier(given.output, command_of(given)) if given.resume else None
    measured: dict[str, list[dict[str, float]]] = before["arms"] if before else {arm: [] for arm in ARMS}
    training, scored = mixed(given.train_rows, given.texts)
    with tempfile.TemporaryDirectory() as folder:
        place = Workplace(Path(folder), training, scored, "cross-entropy")
        ready = {arm: prepared(arm, place) for arm in ARMS}
        texts = place.texts()
        for number in range(len(measured["pipeline"]), given.pairs):
            for arm in ARMS if number % 2 == 0 else ARMS[::-1]:
                measured[arm].append(timed(ready[arm], place, texts))
                print("round {}: {:>9} {p50_ms:.2f} ms".format(number, arm, **measured[arm][-1]), flush=True)
            write(given.output, result_of(measured, command_of(given)))


def result_of(measured: dict[str, list[dict[str, float]]], command: dict[str, Any]) -> dict[str, Any]:
    """The content of the JSON file: the ratios of each arm's median to that of the pipeline in the same round."""
    ratios = {
        arm: [
            stock["p50_ms"] / own["p50_ms"]
            for stock, own in zip(measured["pipeline"], measured[arm], strict=True)
        ]
        for arm in ARMS[1:]
    }
    return {
        "command": command | {"pairs": len(measured["pipeline"])},
        "environment": environment(),
        "arms": measured,
        "ratios": ratios,
        "median_ratios": {arm: statistics.median(its) for arm, its in ratios.items()},
    }


if __name__ == "__main__":
    main()
