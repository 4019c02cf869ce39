"""The part of the page on defaults about the number of epochs with few rows, from choices.json."""

from __future__ import annotations

import json
from collections import defaultdict
from statistics import mean

from choices import ARMS, FILE, FIRST_SEED, ROWS
from gains import protocol
from tellapart.inspection.page import markdown_table as table
from tellapart.reproduction.pages import environment_sentence as hardware


def choices_section() -> list[str]:
    """A table of the variants of the recommended method; nothing without results."""
    if not FILE.is_file():
        return []
    result = json.loads(FILE.read_text(encoding="utf-8"))
    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    for run in result["runs"]:
        scores[run["arm"], run["set"]].append(100 * run["score"])
    titles = {name: given["title"] for name, given in protocol()["sets"].items()}
    sets = [name for name in titles if any(name == found for _, found in scores)]
    rows = [["", *(titles[name] for name in sets)]]
    for arm in ARMS:
        cells = [scores.get((arm, name), []) for name in sets]
        if any(cells):
            rows.append([arm, *(f"{mean(its):.1f} ({len(its)})" if its else "not run" for its in cells)])
    return [
        "## Few rows: the number of steps",
        "Variants of the recommended method, `contrast` with descriptions of the classes, which trains for 10 epochs "
        "in batches of 32 by default. *As transformers.Trainer* is cross entropy with the stock Trainer's settings "
        f"for 1,000 steps. Accuracy (%) on {ROWS:,} **training rows that a seed leaves out**, seeds from "
        f"{FIRST_SEED} on; their number is in brackets:",
        table(rows),
        "More steps, smaller batches and a random start gave nothing that these seeds can tell from chance, so the "
        "defaults stay.",
        "```bash\nOMP_NUM_THREADS=1 python benchmarks/choices.py trec6 cr\n```",
        hardware(result["environment"]) + " JSON: `benchmarks/results/choices.json`.",
    ]
