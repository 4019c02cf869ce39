"""A comparison on a Ray cluster of two nodes on this machine, beside the same comparison without one.

    python benchmarks/cluster.py compare
    python benchmarks/cluster.py kill
    python benchmarks/cluster.py predict --rows 1000000
    python benchmarks/cluster.py memory

`compare` runs twelve cells in this process, in two processes and on the cluster, compares the trials value by value,
and takes the time that the cluster adds to a cell. `kill` kills a node while cells run on both. `predict` scores rows
in parts, here and on the cluster while a process that scores is killed, and compares row counts and checksums.
`memory` runs three tasks on a node whose memory the second exceeds, so that Ray kills it.
Results are written to benchmarks/results/cluster.json, one entry per event.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import pyarrow as pa
import pyarrow.parquet
from ray.cluster_utils import Cluster

from evidence import RESULTS
from tellapart.execution.engine import schedule
from tellapart.execution.places import Place
from tellapart.execution.ray_cluster import RayEngine
from tellapart.files import write_json
from tellapart.fitting import trial_tasks
from tellapart.fitting.environment import environment
from tellapart.fitting.rows import load_data
from tellapart.recipes import method_recipe, validated
from tellapart.runs.compare import compare
from tellapart.runs.predict import predict
from tellapart.runs.train import train
from tellapart.scoring.checksums import rows_checksum

METHODS = ["tfidf", "frozen", "cross-entropy:stages.0.epochs=2"]
SEEDS = 4
GIB = 2**30
DATA = {"source": "trec6", "few_shot": 20}
RESULT = RESULTS / "cluster.json"


@contextmanager
def cluster(nodes: int = 2, settings: dict[str, float] | None = None) -> Iterator[tuple[Cluster, list[Any]]]:
    """A head without cores, and nodes with one core each."""
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": settings}
    started = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield started, [started.add_node(num_cpus=1) for _ in range(nodes)]
    finally:
        started.shutdown()


def run(folder: Path, place: Place | None) -> dict[str, Any]:
    """Runs the twelve cells; returns the wall time and the cells as they were reported."""
    notes: list[str] = []
    start = time.perf_counter()
    compare(
        validated({"data": DATA, "seed": 7000}),
        METHODS,
        folder,
        trials=SEEDS,
        quiet=True,
        place=place,
        announce=notes.extend,
    )
    return {
        "seconds": round(time.perf_counter() - start, 2),
        "notes": [n for n in notes if n.startswith("Runs ")],
    }


def trials(folder: Path) -> dict[str, dict[str, Any]]:
    """The trial files without what may differ: times and descriptions of machines."""
    read = {file.name: json.loads(file.read_text()) for file in sorted((folder / "trials").glob("*.json"))}
    return {
        name: {key: value for key, value in trial.items() if key not in ("seconds", "environment")}
        for name, trial in read.items()
    }


def own_seconds(folder: Path) -> float:
    """The sum of the times that the cells report of themselves."""
    return sum(json.loads(file.read_text())["seconds"] for file in (folder / "trials").glob("*.json"))


def compared(work: Path) -> dict[str, Any]:
    """The comparison here, in two processes, and on the cluster."""
    found: dict[str, Any] = {"here": run(work / "here", None), "jobs": run(work / "jobs", Place(jobs=2))}
    with cluster() as (started, _):
        found["ray"] = run(work / "ray", Place(on=started.address))
    expected = trials(work / "here")
    for name in ("jobs", "ray"):
        found[name]["equal_cells"] = sum(trials(work / name)[cell] == expected[cell] for cell in expected)
    for name in ("here", "jobs", "ray"):
        at_once = 1 if name == "here" else 2
        found[name]["cells"] = len(expected)
        found[name]["overhead_seconds_per_cell"] = round(
            (found[name]["seconds"] * at_once - own_seconds(work / name)) / len(expected), 3
        )
    return found


def killed(work: Path) -> dict[str, Any]:
    """The comparison on the cluster, one of whose nodes is killed once three cells are finished."""
    expected = work / "here"
    run(expected, None)
    submitted: Counter[str] = Counter()

    def counting(recipes: Any, function: Any, engine: Any, **rest: Any) -> Any:
        arguments: Callable[..., Any] = rest.pop("arguments")

        def counted(recipe: Any) -> Any:
            submitted[f"{recipe.method}, seed {recipe.seed}"] += 1
            return arguments(recipe)

        return schedule(recipes, function, engine, arguments=counted, **rest)

    with patch.object(trial_tasks, "schedule", counting), cluster() as (started, nodes):
        folder = work / "ray"

        def kill() -> None:
            raylet = psutil.Process(nodes[1].all_processes["raylet"][0].process.pid)
            while len(list((folder / "trials").glob("*.json"))) < 3 or not running_tasks(raylet):
                time.sleep(0.05)
            for process in [*raylet.children(recursive=True), raylet]:
                process.kill()

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        found = run(folder, Place(on=started.address))
        killer.join()
    here, there = trials(expected), trials(folder)
    return found | {
        "cells": len(here),
        "finished_cells": len(there),
        "equal_cells": sum(there.get(name) == trial for name, trial in here.items()),
        "started": sum(submitted.values()),
        "repeated": sorted(name for name, count in submitted.items() if count > 1),
    }


def exhausted(_work: Path) -> dict[str, Any]:
    """Three tasks on a node that has 3 GiB of memory left, of which the second takes all."""
    memory = psutil.virtual_memory()
    limits = {
        "memory_usage_threshold": (memory.total - memory.available + 3 * GIB) / memory.total,
        "memory_monitor_refresh_ms": 200,
    }
    reasons: dict[int, str] = {}

    def lost(eighths: int, reason: str) -> int:
        reasons[eighths] = reason
        return 0

    with cluster(1, limits) as (started, _), RayEngine(started.address) as engine:
        taken = dict(schedule([2, 48, 1], take_memory, engine, lost=lost))
    return {
        "asked_eighths": list(taken),
        "taken_bytes": list(taken.values()),
        "reasons": list(reasons.values()),
    }


def take_memory(eighths: int) -> int:
    """Takes this many eighths of a GiB, one every tenth of a second; returns the bytes."""
    held = []
    for _ in range(eighths):
        held.append(b"x" * (GIB // 8))
        time.sleep(0.1)
    return sum(map(len, held))


def text_rows(count: int, folder: Path) -> None:
    """Writes short rows as four Parquet files: numbered texts of TREC, no two of them equal."""
    texts = list(load_data(validated({"data": {"source": "trec6"}})).train.texts)
    size = -(-count // 4)
    folder.mkdir()
    for number, first in enumerate(range(0, count, size)):
        ids = range(first, min(first + size, count))
        table = pa.table({"id": ids, "text": [f"{texts[one % len(texts)]} {one}" for one in ids]})
        pyarrow.parquet.write_table(table, folder / f"rows-{number}.parquet")


def predicted(work: Path, rows: int) -> dict[str, Any]:
    """Rows scored in parts by a linear classifier: here, and by two nodes while a process that scores is killed."""
    train(method_recipe("tfidf", validated({"data": DATA})), work / "model", quiet=True)
    text_rows(rows, work / "rows")
    times = {}
    for name in ("here", "ray"):
        start = time.perf_counter()
        if name == "here":
            predict(work / "model", work / "rows", work / name, quiet=True)
        else:
            with cluster() as (started, _):
                killer = threading.Thread(target=kill_one_scorer, args=(work / name,), daemon=True)
                killer.start()
                predict(
                    work / "model", work / "rows", work / name, quiet=True, place=Place(on=started.address)
                )
                killer.join(timeout=5)
                lived = killer.is_alive()
        times[name] = round(time.perf_counter() - start, 1)
    content = {
        name: {part.name: hashlib.sha256(part.read_bytes()).hexdigest() for part in parts_of(work / name)}
        for name in ("here", "ray")
    }
    checksums = {name: rows_checksum(work / name) for name in ("here", "ray")}
    return {
        "rows": rows,
        "parts": len(content["here"]),
        "written_rows": {
            name: sum(pyarrow.parquet.read_metadata(part).num_rows for part in parts_of(work / name))
            for name in ("here", "ray")
        },
        "equal_parts": sum(content["ray"].get(name) == digest for name, digest in content["here"].items()),
        "equal_checksum": checksums["here"] == checksums["ray"],
        "killed": not lived,
        "seconds": times,
    }


def parts_of(folder: Path) -> list[Path]:
    """The parts of a run."""
    return sorted(folder.glob("part-*.parquet"))


def running_tasks(parent: psutil.Process) -> list[psutil.Process]:
    """The processes below another that run a task of Ray, which names them after it."""
    found = []
    for process in parent.children(recursive=True):
        with suppress(psutil.Error):
            if any("ray::_returned" in word for word in process.cmdline()):
                found.append(process)
    return found


def kill_one_scorer(folder: Path) -> None:
    """Kills a process that scores, once the first part is finished."""
    while not parts_of(folder) or not (running := running_tasks(psutil.Process())):
        time.sleep(0.02)
    running[0].kill()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("event", choices=["compare", "kill", "predict", "memory"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as each cell on the cluster has
    work = Path(tempfile.mkdtemp())
    try:
        if given.event == "predict":
            found = predicted(work, given.rows)
        else:
            found = {"compare": compared, "kill": killed, "memory": exhausted}[given.event](work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    results = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    write_json(RESULT, results | {given.event: found | {"environment": environment()}})
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
