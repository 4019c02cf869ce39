"""Tokenising many texts: tellapart against `datasets.map` with its defaults, and again from the cache.

    python benchmarks/tokenising_speed.py
    python benchmarks/tokenising_speed.py --rows 100000 --pairs 1

Real questions of banking77, TREC and R8's stories, each with a number appended so that all are distinct. Every
measurement is a separate process, which also reports its additional peak memory. `datasets.map` uses the tokeniser as
in Transformers' documentation, with `batched=True`. `again` is tellapart's second call on the same texts, which reads
the ids from the cache. Results go to benchmarks/results/tokenising_speed.json after every pair.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import datasets

from evidence import RESULTS
from memory import Peak
from pairs import command_of, earlier, write
from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import TextSplit
from tellapart.data.reading.rows import read_data
from tellapart.encoders.loading import load_tokenizer
from tellapart.fitting.environment import environment

SETS = ("banking77", "trec6", "r8")
ARMS = ("datasets.map", "tellapart", "again")


def texts_of(rows: int) -> list[str]:
    """Returns the given number of distinct texts."""
    known = [text for name in SETS for text in read_data(name).train.texts]
    return [f"{text} {number}" for number, text in enumerate(islice(cycle(known), rows))]


def measure(arm: str, rows: int, max_length: int) -> dict[str, float]:
    """Returns seconds and memory of an arm in this process."""
    texts, tokenizer = texts_of(rows), load_tokenizer("minilm")

    def ours() -> Any:
        return tokenise(TextSplit(texts), tokenizer, max_length=max_length)

    def mapped() -> Any:
        return datasets.Dataset.from_dict({"text": texts}).map(
            lambda batch: tokenizer(batch["text"], truncation=True, max_length=max_length), batched=True
        )

    peak = Peak("cpu")
    start = time.perf_counter()
    made = mapped() if arm == "datasets.map" else ours()
    seconds = time.perf_counter() - start
    assert len(made) == rows
    return {"seconds": seconds, "added_bytes": peak.bytes() - peak.before}


def measured(arm: str, given: argparse.Namespace, cache: Path) -> dict[str, float]:
    """Measures an arm in a separate process; only `again` finds cached ids."""
    environ = dict(os.environ) | {"TELLAPART_CACHE": str(cache), "HF_DATASETS_CACHE": str(cache / "datasets")}
    if arm != "again":
        # What is tokenised for the first time is written too: that is part of its price.
        for file in (cache / "tokens").glob("*.safetensors"):
            file.unlink()
    finished = subprocess.run(
        [sys.executable, *sys.argv, "--arm", arm], stdout=subprocess.PIPE, check=True, env=environ
    )
    return json.loads(finished.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS / "tokenising_speed.json")
    parser.add_argument("--resume", action="store_true", help="keep the pairs that were measured before")
    parser.add_argument("--arm", choices=ARMS, help="measure one arm in this process and print it as JSON")
    given = parser.parse_args()
    datasets.disable_progress_bars()
    if given.arm is not None:
        print(json.dumps(measure(given.arm, given.rows, given.max_length)))
        return
    command = {key: value for key, value in command_of(given).items() if key != "arm"}
    before = earlier(given.output, command) if given.resume else None
    arms: dict[str, list[dict[str, float]]] = before["arms"] if before else {arm: [] for arm in ARMS}
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(len(arms["again"]), given.pairs):
            # `again` follows the arm that it repeats.
            order = ARMS if pair % 2 == 0 else ("tellapart", "again", "datasets.map")
            for arm in order:
                figures = measured(arm, given, Path(folder))
                arms[arm].append(figures)
                print(
                    f"pair {pair}: {arm:>12} {given.rows / figures['seconds']:9,.0f} texts/s, "
                    f"{figures['added_bytes'] / 2**20:,.0f} MiB",
                    flush=True,
                )
            write(given.output, result_of(command, arms))


def result_of(command: dict[str, Any], arms: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Returns all measurements and the ratios."""

    def ratios(first: str, second: str, what: str) -> list[float]:
        return [one[what] / other[what] for one, other in zip(arms[first], arms[second], strict=True)]

    compared = {
        "datasets.map, of tellapart": ratios("datasets.map", "tellapart", "seconds"),
        "the second time, of the first": ratios("again", "tellapart", "seconds"),
        "memory of tellapart, of datasets.map": ratios("tellapart", "datasets.map", "added_bytes"),
    }
    return {
        "command": command | {"pairs": len(arms["again"])},
        "environment": environment(),
        "arms": arms,
        "compared": {
            name: {"ratios": values, "median_ratio": statistics.median(values)}
            for name, values in compared.items()
        },
    }


if __name__ == "__main__":
    main()
