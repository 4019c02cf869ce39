"""Processor time of a comparison: training steps, evaluations, and the overhead of all else.

    OMP_NUM_THREADS=1 python benchmarks/comparison_overhead.py
    OMP_NUM_THREADS=1 python benchmarks/comparison_overhead.py --data banking77 --few-shot 5 --trials 1

Five methods with three seeds are compared in this process. Parts of it are measured in seconds of the processor, each
without the parts within it, so that other processes on the machine hardly change the shares. *Overhead* is all that
is neither a training step nor an evaluation: reading and tokenising, loading the encoder, the start regression, files
and page. Results go to benchmarks/results/comparison_overhead-<data>.json.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evidence import RESULTS
from pairs import write
from tellapart.data.batches import tokenising
from tellapart.fitting import prepared, stages
from tellapart.fitting.environment import environment
from tellapart.fitting.fitted import TransformersScorer
from tellapart.fitting.paired_rows import PairedRows
from tellapart.recipes import validated
from tellapart.runs import compare as comparing
from tellapart.training.trainer import Trainer

METHODS = ("cross-entropy", "contrast", "negative-supervision-am", "label-distance", "two-stages")
STEPS, EVALUATIONS, REST = "training steps", "evaluations", "the rest"
PARTS: dict[str, tuple[tuple[Any, str], ...]] = {
    STEPS: ((Trainer, "train"),),
    EVALUATIONS: ((Trainer, "evaluation_loop"), (TransformersScorer, "scores")),
    "tokenising": ((tokenising, "_tokens"),),
    "loading the encoder": ((prepared, "load_model"),),
    "start regression": ((stages, "fit_start"),),
    "reading and splitting": ((PairedRows, "of"),),
    "report": ((comparing, "write_comparison"), (comparing, "add_nearest")),
}


class Clock:
    """Seconds of the processor by part, each without the parts within it."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open = [REST]
        self._since = time.process_time()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Counts the time inside for a part."""
        self._credit()
        self._open.append(name)
        try:
            yield
        finally:
            self._credit()
            self._open.pop()

    def _credit(self) -> None:
        now = time.process_time()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def timed(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Returns the function, timed."""

        @functools.wraps(function)
        def measured(*arguments: Any, **options: Any) -> Any:
            with self.part(name):
                return function(*arguments, **options)

        return measured


def measured(data: dict[str, Any], trials: int) -> dict[str, Any]:
    """Compares the methods once."""
    clock = Clock()
    for name, places in PARTS.items():
        for owner, function in places:
            setattr(owner, function, clock.timed(getattr(owner, function), name))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, clock.part(REST):
        recipe = validated({"seed": 7300, "data": data})
        comparison = comparing.compare(recipe, METHODS, Path(folder) / "run", trials=trials, quiet=True)
    ordered = sorted(clock.seconds.items(), key=lambda part: part[1], reverse=True)
    seconds = {name: round(value, 2) for name, value in ordered}
    useful = seconds[STEPS] + seconds[EVALUATIONS]
    return {
        "processor_seconds": seconds,
        "overhead": round(sum(seconds.values()) / useful - 1, 4),
        "overhead_of_steps": round(sum(seconds.values()) / seconds[STEPS] - 1, 4),
        "seconds": round(time.perf_counter() - start, 1),
        "accuracy": {name: result.mean for name, result in comparison.methods.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="trec6")
    parser.add_argument("--few-shot", type=int, default=20)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    found = measured({"source": given.data, "few_shot": given.few_shot}, given.trials)
    command = {"data": given.data, "few_shot": given.few_shot, "trials": given.trials, "methods": METHODS}
    target = given.output or RESULTS / f"comparison_overhead-{given.data}.json"
    write(target, {"command": command, "environment": environment(), **found})
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
