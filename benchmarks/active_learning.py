"""Simulates five rounds of labelling: `tellapart suggest` against random choice and plain least confidence.

    python benchmarks/active_learning.py

The training rows of a data set are the pool, and their labels are hidden until a text is chosen. The first labels are
drawn at random, two per class (TREC: one). In each round 50 (TREC: 30) texts are chosen, labelled and added, and the
model is fitted again. The model is the cheapest that tellapart has: a logistic regression on the vectors of the
frozen encoder, which are computed once per data set, with the C of `tellapart check --deep`. Measured is the accuracy
on all test rows after each round. Arms of a seed begin with the same labels.

`suggest` runs the functions of the command with the frozen encoder's vectors: there are no labelled rows beside the
training rows, so that pairs of classes are weighted by the confusions that the pool's probabilities let expect. The
rule was chosen on seeds from 100, with the same test rows. Results go to benchmarks/results/active_learning.json
after every run, and a run that is there is not repeated.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.preprocessing import normalize

from active_learning_pages import ARMS, FILE
from evidence import RESULTS
from pairs import write
from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.data.reading.rows import read_task
from tellapart.evaluation.active_learning import (
    CANDIDATES,
    diverse_rows,
    expected_confusions,
    informativeness,
    pair_weights,
    top_two,
)
from tellapart.evaluation.label_quality import REGULARISATION
from tellapart.fitting.audit import encoded
from tellapart.fitting.environment import environment
from tellapart.training.head import Head
from tellapart.training.probe import fit_linear

SETS = {"banking77": {"first": 2, "batch": 50}, "trec6": {"first": 1, "batch": 30}}
"""Data set to first labels per class and labels per round."""

ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=",".join(SETS))
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--output", type=Path, default=RESULTS / FILE)
    given = parser.parse_args()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    result = earlier_results(given.output, {"encoder": given.encoder, "rounds": ROUNDS})
    for name in given.data.split(","):
        own = result["sets"].setdefault(name, {**SETS[name], "runs": []})
        _check_equal(given.output, own, SETS[name])
        done = {(run["seed"], run["arm"]) for run in own["runs"]}
        missing = [(seed, arm) for seed in seeds for arm in ARMS if (seed, arm) not in done]
        if not missing:
            continue
        task = _Task.read(name, given.encoder)
        own.update(pool=len(task.pool), test=len(task.test), classes=len(task.labels))
        for seed, arm in missing:
            own["runs"].append(simulated(task, arm, seed, **SETS[name]))
            write(given.output, result | {"environment": environment()})


def earlier_results(file: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Returns the content of a file of results, or that of a new one; runs of other settings are not added to it."""
    if not file.is_file():
        return settings | {"sets": {}}
    result = json.loads(file.read_text(encoding="utf-8"))
    _check_equal(file, result, settings)
    return result


def _check_equal(file: Path, found: dict[str, Any], settings: dict[str, Any]) -> None:
    for key, value in settings.items():
        if found[key] != value:
            raise SystemExit(
                f"{file} has results with {key} {found[key]}, not {value}: choose another --output."
            )


class _Task:
    """The vectors and class ids of pool and test rows.

    Args:
        labels: The K classes.
        pool: Vectors (N, d).
        pool_ids: Class ids (N,).
        test: Vectors (M, d).
        test_ids: Class ids (M,).
    """

    def __init__(
        self,
        labels: LabelSpace,
        pool: np.ndarray,
        pool_ids: np.ndarray,
        test: np.ndarray,
        test_ids: np.ndarray,
    ) -> None:
        self.labels, self.pool, self.pool_ids = labels, pool, pool_ids
        self.test, self.test_ids = test, test_ids

    @classmethod
    def read(cls, name: str, encoder: str) -> _Task:
        """Reads a data set and encodes its training rows without duplicates and its test rows."""
        data = read_task(name)
        keys = data.train.keys()
        pool = data.train.select(sorted({key: row for row, key in enumerate(keys)}.values()))
        assert data.test is not None
        rows = TextData(pool.joined(data.test), None, None, data.labels)
        with tempfile.TemporaryDirectory() as folder:
            vectors = np.array(encoded(rows, rows.train, encoder, None, Path(folder) / "vectors"))
        ids = [data.labels.encode(_labels(split)) for split in (pool, data.test)]
        return cls(data.labels, vectors[: len(pool)], ids[0], vectors[len(pool) :], ids[1])


def _labels(split: TextSplit) -> list:
    assert split.labels is not None
    return split.labels


def simulated(task: _Task, arm: str, seed: int, *, first: int, batch: int) -> dict[str, Any]:
    """Returns the accuracy after the first labels and after each round of one arm and seed."""
    random = np.random.default_rng(seed)
    labelled = np.concatenate(
        [
            random.choice(np.flatnonzero(task.pool_ids == one), first, replace=False)
            for one in range(len(task.labels))
        ]
    )
    start = time.process_time()
    accuracies, sizes = [], []
    for turn in range(ROUNDS + 1):
        head = Head(
            *fit_linear(
                task.pool[labelled],
                task.pool_ids[labelled],
                len(task.labels),
                regularisation=REGULARISATION,
                seed=seed,
            )
        )
        accuracies.append(float((head.logits(task.test).argmax(1) == task.test_ids).mean()))
        sizes.append(len(labelled))
        if turn < ROUNDS:
            free = np.setdiff1d(np.arange(len(task.pool)), labelled)
            chosen = choose(task, arm, head.logits(task.pool[free]), free, batch, random)
            labelled = np.concatenate([labelled, free[chosen]])
    return {
        "seed": seed,
        "arm": arm,
        "labels": sizes,
        "accuracy": accuracies,
        "cpu_seconds": time.process_time() - start,
    }


def choose(
    task: _Task, arm: str, logits: np.ndarray, free: np.ndarray, batch: int, random: np.random.Generator
) -> np.ndarray:
    """Returns the places in `free` of the texts to label, (batch,)."""
    if arm == "random":
        return random.choice(len(free), batch, replace=False)
    top = top_two(task.labels, logits)
    if arm == "least-confidence":
        return np.argsort(top.probability, kind="stable")[:batch]
    kept = np.argsort(top.margin, kind="stable")[: CANDIDATES * batch]
    weights = pair_weights(expected_confusions(top, len(task.labels)))
    informative = informativeness(top.select(kept), weights)
    return kept[diverse_rows(normalize(task.pool[free[kept]]), informative, batch)]


if __name__ == "__main__":
    main()
