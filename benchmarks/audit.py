"""Swapped labels among the suspects of `tellapart check --deep`.

    python benchmarks/audit.py

3 % of the training labels of a data set are swapped for another class at random. Measured is the share of swapped
labels among as many of the first suspects, beside a plain confidence ranking of all rows (lowest out-of-fold
probability of the given label) and cleanlab's normalised margin; and the time of an audit of the unchanged rows,
encoding included.
Results go to benchmarks/results/audit.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from cleanlab.rank import get_label_quality_scores

from evidence import RESULTS
from pairs import write
from tellapart.data.examples import TextData
from tellapart.data.reading.rows import read_task
from tellapart.evaluation.label_quality import fold_of_rows, label_quality, out_of_fold_probabilities
from tellapart.fitting.audit import audit_data, encoded
from tellapart.fitting.environment import environment

SHARE = 0.03


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="banking77")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS / "audit.json")
    given = parser.parse_args()
    data = dataclasses.replace(read_task(given.data), validation=None, test=None)
    with tempfile.TemporaryDirectory() as folder:
        vectors_folder = Path(folder) / "vectors"
        load, start, cpu_start = os.getloadavg()[0], time.perf_counter(), time.process_time()
        found = audit_data(data, vectors_folder, encoder=given.encoder)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        vectors = encoded(data, data.train, given.encoder, None, vectors_folder)  # read from the folder
        runs = [swapped_run(data, np.asarray(vectors), seed) for seed in range(given.seeds)]
    write(
        given.output,
        {
            "command": {"data": given.data, "encoder": given.encoder, "seeds": given.seeds},
            "rows": len(data.train),
            "classes": len(data.labels),
            "share": SHARE,
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "load": load,
            "unchanged": {
                "suspects": len(found.suspects),
                "duplicates_across_labels": found.duplicates_across_labels,
            },
            "runs": runs,
            "cleanlab": found.cleanlab,
            "environment": environment(),
        },
    )


def swapped_run(data: TextData, vectors: np.ndarray, seed: int) -> dict[str, float]:
    """Returns what one draw of swapped labels gives."""
    random = np.random.default_rng(seed)
    assert data.train.labels is not None
    targets = data.labels.encode(data.train.labels)
    count = round(SHARE * len(targets))
    rows = random.choice(len(targets), count, replace=False)
    targets[rows] = (targets[rows] + random.integers(1, len(data.labels), count)) % len(data.labels)
    swapped = np.zeros(len(targets), dtype=bool)
    swapped[rows] = True
    names = [data.labels.names[target] for target in targets]
    folds = fold_of_rows(data.train.keys(), [frozenset([name]) for name in names], seed=seed)
    chances = out_of_fold_probabilities(vectors, targets, data.labels, folds, seed=seed)
    suspects = label_quality(chances, targets).suspects
    plain = np.argsort(chances[np.arange(len(targets)), targets], kind="stable")
    margin = np.argsort(get_label_quality_scores(targets, chances, method="normalized_margin"), kind="stable")
    return {
        "seed": seed,
        "swapped": count,
        "suspects": len(suspects),
        "found": int(swapped[suspects].sum()),
        "first_suspects": float(swapped[suspects[:count]].mean()),
        "plain_confidence": float(swapped[plain[:count]].mean()),
        "normalised_margin": float(swapped[margin[:count]].mean()),
    }


if __name__ == "__main__":
    main()
