"""Seconds and peak memory of training and of confusion counts, over the number of classes.

    python benchmarks/classes.py

Each class has two short synthetic training texts: three of four words of its own among 4,000, and two random ones.
Validation and test have 2,000 texts each, of random classes. Every measurement is one process: `tfidf` and `frozen`
are `tellapart train` from the file to the report; `confusions` counts three predictions per class, about half of them
wrong, and writes what a trial and a page hold. The peak is the resident memory of the process, libraries included.
Results go to benchmarks/results/classes.json.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from evidence import RESULTS
from pairs import write
from tellapart.data.examples import LabelSpace
from tellapart.evaluation.confusions import from_json, to_json
from tellapart.fitting.environment import environment
from tellapart.inspection.confusion import confusion_matrix
from tellapart.inspection.figures import save_confusion_heatmap
from tellapart.inspection.workbench import workbench_data, write_errors

PARTS = ("confusions", "frozen", "tfidf")
WORDS, OWN, EVALUATED = 4_000, 4, 2_000


def write_texts(folder: Path, classes: int) -> None:
    """Writes train, validation and test rows of a synthetic task as CSV."""
    draw = random.Random(0)
    syllables = [first + second for first in "bdfgklmnprst" for second in "aeiou"]
    words = ["".join(draw.choices(syllables, k=3)) for _ in range(WORDS)]
    own = [draw.sample(words, OWN) for _ in range(classes)]
    evaluated = [draw.choices(range(classes), k=EVALUATED) for _ in range(2)]
    for name, ids in zip(("train", "validation", "test"), ([*range(classes)] * 2, *evaluated), strict=True):
        rows = [
            (" ".join([*draw.sample(own[one], OWN - 1), *draw.choices(words, k=2)]), f"{one:05d}")
            for one in ids
        ]
        draw.shuffle(rows)
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows])


def train(method: str, classes: int, folder: Path) -> dict[str, Any]:
    """Trains by the command line and returns what the run says."""
    from tellapart.cli import main as command

    write_texts(folder, classes)
    sys.argv = [
        "tellapart",
        "train",
        str(folder),
        "--method",
        method,
        "--output",
        str(folder / "run"),
        "--quiet",
    ]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        command()
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    files = {one: (folder / "run" / one).stat().st_size for one in ("report.html", "errors.json")}
    return {"accuracy": metrics["test"]["accuracy"], "files": files}


def confusions(classes: int, folder: Path) -> dict[str, Any]:
    """Counts confusions, and writes trial, page data and picture."""
    random_ids = np.random.default_rng(0)
    gold = np.tile(np.arange(classes), 3)
    predicted = np.where(random_ids.random(len(gold)) < 0.5, gold, random_ids.integers(0, classes, len(gold)))
    labels = LabelSpace(tuple(f"{one:05d}" for one in range(classes)))
    counts = confusion_matrix(labels, gold, predicted)
    trial = folder / "trial.json"
    trial.write_text(json.dumps(to_json(counts)))
    summed = from_json(json.loads(trial.read_text()))
    write_errors(folder / "errors.json", workbench_data([], classes=labels.names, matrices={"": summed}))
    save_confusion_heatmap(summed, labels.names, folder / "confusion.png")
    return {"files": {one: (folder / one).stat().st_size for one in ("trial.json", "errors.json")}}


def measure(part: str, classes: int) -> dict[str, Any]:
    """Measures one part in this process."""
    with tempfile.TemporaryDirectory() as name:
        start, used = time.perf_counter(), time.process_time()
        folder = Path(name)
        found = confusions(classes, folder) if part == "confusions" else train(part, classes, folder)
        return {
            "part": part,
            "classes": classes,
            "seconds": round(time.perf_counter() - start, 1),
            "cpu_seconds": round(time.process_time() - used, 1),
            "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            "load": os.getloadavg()[0],
            **found,
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classes", default="100,1000,5000,20000")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument(
        "--limit", type=int, default=3600, help="seconds after which a measurement is given up"
    )
    parser.add_argument("--output", type=Path, default=RESULTS / "classes.json")
    parser.add_argument("--resume", action="store_true", help="keep what the output file has")
    parser.add_argument("--one", help="measure PART:CLASSES in this process and print it as JSON")
    given = parser.parse_args()
    if given.one is not None:
        part, classes = given.one.split(":")
        print(json.dumps(measure(part, int(classes))))
        return
    result: dict[str, Any] = {"environment": environment(), "rounds": 1, "runs": []}
    if given.resume and given.output.is_file():
        result["runs"] = json.loads(given.output.read_text())["runs"]
    for classes in map(int, given.classes.split(",")):
        for part in given.parts.split(","):
            if (part, classes) not in {(run["part"], run["classes"]) for run in result["runs"]}:
                result["runs"].append(_measured(part, classes, given.limit))
                result["runs"].sort(key=lambda run: (PARTS.index(run["part"]), run["classes"]))
                write(given.output, result)  # after each: a long benchmark may be stopped


def _measured(part: str, classes: int, limit: int) -> dict[str, Any]:
    """Measures one part in a process of its own; one that takes too long has `given_up_after`."""
    command = [sys.executable, __file__, "--one", f"{part}:{classes}"]
    try:
        finished = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=limit)
    except subprocess.TimeoutExpired:
        print(f"{part}, {classes:,} classes: given up after {limit} s")
        return {"part": part, "classes": classes, "given_up_after": limit}
    found: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    print(
        f"{part}, {classes:,} classes: {found['seconds']} s ({found['cpu_seconds']} s of processor time), "
        f"{found['peak_bytes'] / 2**20:,.0f} MiB"
    )
    return found


if __name__ == "__main__":
    main()
