"""Seconds and peak memory of check, predict and train, over the number of rows.

    OMP_NUM_THREADS=1 python benchmarks/rows.py
    OMP_NUM_THREADS=1 python benchmarks/rows.py --parts check,predict-tfidf --rows 10000000 --resume

The rows are short synthetic texts in a CSV file: three of 40 words of a class's own, and four of 4,000 random ones;
eight classes. Every measurement is one command of tellapart in a process of its own, from the file to the files that
it writes. Models for `predict` learn from 10,000 rows, `textcnn` in one epoch. The peak is the resident
memory of the process, libraries included. Results go to benchmarks/results/rows.json after each.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from evidence import RESULTS
from pairs import write
from tellapart.fitting.environment import environment

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
LARGEST = {
    "check": SIZES[3],
    "predict-tfidf": SIZES[3],
    "predict-textcnn": SIZES[3],
    "predict-frozen": SIZES[1],
    "train-tfidf": SIZES[2],
    "train-textcnn": SIZES[2],
    "train-frozen": SIZES[1],
}
CLASSES, OWN, WORDS, BLOCK, LEARNED = 8, 40, 4_000, 100_000, SIZES[0]


def write_rows(file: Path, rows: int, seed: int) -> None:
    """Writes texts and labels as CSV, in blocks."""
    draw = np.random.default_rng(seed)
    syllables = [first + second for first in "bdfgklmnprst" for second in "aeiou"]
    words = np.array([a + b + c for a in syllables for b in syllables[:20] for c in syllables[:4]])[:WORDS]
    with file.open("w", encoding="utf-8") as out:
        out.write("text,label\n")
        for start in range(0, rows, BLOCK):
            count = min(BLOCK, rows - start)
            labels = draw.integers(CLASSES, size=count)
            own = labels[:, None] * OWN + draw.integers(OWN, size=(count, 3))
            chosen = words[np.hstack([own, draw.integers(WORDS, size=(count, 4))])].tolist()
            out.writelines(
                f"{' '.join(text)},class {label}\n"
                for text, label in zip(chosen, labels.tolist(), strict=True)
            )


METHODS = {
    "tfidf": ["--method", "tfidf"],
    "textcnn": ["--encoder", "textcnn", "--epochs", "1"],
    "frozen": ["--method", "frozen"],
}


def command_of(part: str, file: Path, folder: Path) -> list[str]:
    """The options of the measured command."""
    verb, _, method = part.partition("-")
    if verb == "check":
        return ["check", str(file)]
    if verb == "train":
        output = ["--output", str(folder / "run"), "--overwrite", "--quiet"]
        return ["train", str(file), *METHODS[method], *output]
    model = folder / method
    if not model.is_dir():
        rows = folder / "learned.csv"
        write_rows(rows, LEARNED, seed=1)
        run(["train", str(rows), *METHODS[method], "--output", str(model), "--quiet"], limit=None)
    return ["predict", str(model), str(file), "--output", str(folder / "predicted.csv"), "--quiet"]


def run(options: list[str], limit: int | None) -> dict[str, Any] | None:
    """Runs a command of tellapart; returns what it took, or None if it was given up."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "tellapart", *options], stdout=subprocess.DEVNULL)
    watch = None
    if limit is not None:
        watch = threading.Timer(limit, os.kill, (process.pid, signal.SIGKILL))
        watch.start()
    _, status, used = os.wait4(process.pid, 0)  # the peak of this process alone
    if watch is not None:
        watch.cancel()
    if os.WIFSIGNALED(status):
        return None
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"failed: tellapart {' '.join(options)}")
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_bytes": 1024 * used.ru_maxrss,
        "load": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default=",".join(map(str, SIZES)))
    parser.add_argument("--parts", default=",".join(LARGEST))
    parser.add_argument(
        "--limit", type=int, default=3600, help="seconds after which a measurement is given up"
    )
    parser.add_argument("--output", type=Path, default=RESULTS / "rows.json")
    parser.add_argument("--resume", action="store_true", help="keep what the output file has")
    given = parser.parse_args()
    result: dict[str, Any] = {"environment": environment(), "runs": []}
    if given.resume and given.output.is_file():
        result["runs"] = json.loads(given.output.read_text(encoding="utf-8"))["runs"]
    known = {(done["part"], done["rows"]) for done in result["runs"]}
    parts = given.parts.split(",")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for rows in map(int, given.rows.split(",")):
            wanted = [part for part in parts if rows <= LARGEST[part] and (part, rows) not in known]
            file = folder / "rows.csv"
            if wanted:
                write_rows(file, rows, seed=0)
            for part in wanted:
                found = run(command_of(part, file, folder), given.limit) or {"given_up_after": given.limit}
                print(json.dumps({"part": part, "rows": rows, **found}), flush=True)
                result["runs"].append({"part": part, "rows": rows, **found})
                result["runs"].sort(key=lambda run: (list(LARGEST).index(run["part"]), run["rows"]))
                write(given.output, result)


if __name__ == "__main__":
    main()
