"""The part of the page on defaults about the recommended method, from choices.json."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import mean
from typing import Any

from choices import ARMS, ARMS_OF_MANY, FILE, FIRST_SEED, ROWS
from gains import protocol
from tellapart.inspection.page import markdown_table as table
from tellapart.reproduction.pages import environment_sentence as hardware

FEW, MANY = ("trec6", "cr"), ("banking77",)


def choices_section() -> list[str]:
    """Tables of the variants of the recommended method; nothing without results."""
    if not FILE.is_file():
        return []
    result = json.loads(FILE.read_text(encoding="utf-8"))
    many = _table(result["runs"], ARMS_OF_MANY, MANY)
    return [
        "## Few rows: the number of steps",
        "Variants of the recommended method, `contrast` with descriptions of the classes, which trains for 10 epochs "
        "in batches of 32 by default. *As transformers.Trainer* is cross entropy with the stock Trainer's settings "
        f"for 1,000 steps. Accuracy (%) on {ROWS:,} **training rows that a seed leaves out**, seeds from "
        f"{FIRST_SEED} on; their number is in brackets:",
        table(_table(result["runs"], ARMS, FEW)),
        "With fewer than 3 epochs accuracy falls. Between 5 and 40 epochs, smaller batches and a random start there "
        "is nothing that these seeds can tell from chance, so the defaults stay.",
        *(_many(many) if len(many) > 1 else []),
        "```bash\nOMP_NUM_THREADS=1 python benchmarks/choices.py trec6 cr\n"
        "OMP_NUM_THREADS=1 python benchmarks/choices.py banking77 --seeds 3\n```",
        hardware(result["environment"]) + " JSON: `benchmarks/results/choices.json`.",
    ]


def _many(rows: list[list[str]]) -> list[str]:
    return [
        "## Many rows: which weights `contrast` keeps",
        "5,000 training and 1,000 validation rows of banking77; accuracy (%) on all other training rows. `contrast` "
        "averages its weights by default, and cross entropy keeps the best of ten evaluations:",
        table(rows),
    ]


def _table(runs: Sequence[dict[str, Any]], arms: Iterable[str], names: Sequence[str]) -> list[list[str]]:
    """Means of the arms with their numbers of seeds, and a header."""
    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    for run in runs:
        scores[run["arm"], run["set"]].append(100 * run["score"])
    titles = {name: given["title"] for name, given in protocol()["sets"].items()}
    rows = [["", *(titles[name] for name in names)]]
    for arm in arms:
        cells = [scores.get((arm, name), []) for name in names]
        if any(cells):
            rows.append([arm, *(f"{mean(its):.2f} ({len(its)})" if its else "not run" for its in cells)])
    return rows
