"""What waiting threads cost beside other programs: training with threads that wait busily, and that sleep.

    python benchmarks/shared_machine.py --pairs 5

Each pair runs `tellapart train` twice, once with OpenMP's own settings and once with tellapart's (see
tellapart/threads.py), in alternating order: idle, beside one and two busy processes, and two trainings at
once. Seconds are those of training. Only an otherwise idle machine gives results that mean something. With
`--preload path/to/libiomp5.so` Intel's runtime takes the place of GNU's. Results go to
benchmarks/results/shared_machine-<runtime>.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evidence import RESULTS
from pairs import command_of, earlier, write
from tellapart.fitting.environment import environment
from tellapart.threads import WAITING

# Intel's own default, which GNU's runtime ignores: a variable of the user, so that tellapart changes nothing.
SETTINGS = {"busy": {"KMP_BLOCKTIME": "200"}, "asleep": WAITING}
LOADS = {"idle": 0, "one busy process": 1, "two busy processes": 2}


def command(folder: Path, given: argparse.Namespace) -> list[str]:
    """The training that is timed."""
    words = ["train", given.data, "--few-shot", str(given.few_shot), "--epochs", str(given.epochs)]
    return [sys.executable, "-m", "tellapart", *words, "--quiet", "--json", "--output", str(folder)]


def variables(setting: str, preload: Path | None) -> dict[str, str]:
    """The environment of a training."""
    left = {name: value for name, value in os.environ.items() if name not in WAITING}
    left.pop("OMP_NUM_THREADS", None)
    return {**left, **SETTINGS[setting], **({"LD_PRELOAD": str(preload)} if preload else {})}


def train(setting: str, given: argparse.Namespace, at_once: int = 1) -> float:
    """Returns the seconds of training; the mean of those that run at once."""
    with tempfile.TemporaryDirectory() as folder:
        running = [
            subprocess.Popen(
                command(Path(folder) / str(number), given),
                env=variables(setting, given.preload),
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(at_once)
        ]
        outputs = [process.communicate()[0] for process in running]
    return statistics.mean(json.loads(output)["training_seconds"] for output in outputs)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keeps single-threaded processes busy."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def pair(number: int, given: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Seconds of one pair: load to setting to seconds."""
    order = list(SETTINGS) if number % 2 == 0 else list(reversed(SETTINGS))
    found: dict[str, dict[str, float]] = {}
    for load, processes in LOADS.items():
        with busy(processes):
            found[load] = {setting: train(setting, given) for setting in order}
    found["two trainings at once"] = {setting: train(setting, given, at_once=2) for setting in order}
    return found


def summary(pairs: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Median seconds of each load, and the median ratio of the pairs."""
    found = {}
    for load in pairs[0]:
        seconds = {setting: [each[load][setting] for each in pairs] for setting in SETTINGS}
        ratios = [each[load]["busy"] / each[load]["asleep"] for each in pairs]
        found[load] = {name: statistics.median(values) for name, values in seconds.items()}
        found[load]["busy_over_asleep"] = statistics.median(ratios)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="trec6")
    parser.add_argument("--few-shot", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--preload", type=Path, help="Intel's libiomp5.so")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--resume", action="store_true", help="keep the pairs that were measured before")
    given = parser.parse_args()
    runtime = "intel" if given.preload else "gnu"
    target = given.output or RESULTS / f"shared_machine-{runtime}.json"
    options = {key: value for key, value in command_of(given).items() if key != "preload"}
    before = earlier(target, options) if given.resume else None
    pairs: list[dict[str, dict[str, float]]] = before["trials"] if before else []
    while len(pairs) < given.pairs:
        pairs.append(pair(len(pairs), given))
        result = {
            "command": options | {"pairs": len(pairs), "runtime": runtime},
            "environment": environment(),
            "trials": pairs,
            "summary": summary(pairs),
        }
        write(target, result)
        print(json.dumps(result["summary"]), flush=True)


if __name__ == "__main__":
    main()
