"""The page on the number of classes, from benchmarks/results/classes.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from evidence import RESULTS
from tellapart.inspection.page import markdown_table
from tellapart.reproduction.pages import environment_sentence

TITLE = "Number of classes"

_PARTS = {
    "confusions": "confusion counts, trial file, page data, picture",
    "frozen": "`train --method frozen` (MiniLM)",
    "tfidf": "`train --method tfidf`",
}


def classes_page() -> str:
    """Returns the page as Markdown."""
    result = json.loads((RESULTS / "classes.json").read_text(encoding="utf-8"))
    header = ["measured", "classes", "seconds", "of processor time", "peak MiB", "largest file, MB"]
    runs = result["runs"]
    loads = [run["load"] for run in runs if "load" in run]
    return "\n\n".join(
        [
            f"# {TITLE}",
            "Synthetic tasks of short texts: two training texts per class, and 2,000 validation and 2,000 test texts "
            "of random classes. Each line is a process of its own, `train` from the files to the report; the peak is "
            "its resident memory, Python and its libraries included. A full matrix of the confusions "
            "of 20,000 classes would alone take 3,052 MiB.",
            markdown_table([header, *(_row(run) for run in runs)]),
            f"Measured once, with one thread, beside one other process (load {min(loads):.0f} to {max(loads):.0f} on "
            "2 cores). What is not in the table was not measured.",
            "`tfidf` trains one SVM per class on all texts, so that its time grows with classes × texts, here with "
            "the square of the classes. With more than 1,000 classes its terms are limited, see "
            "[many classes](../how-to/many-classes.md).",
            "```bash\nOMP_NUM_THREADS=1 python benchmarks/classes.py\n```",
            f"{environment_sentence(result['environment'])} JSON: `benchmarks/results/classes.json`.",
        ]
    )


def _row(run: Mapping[str, Any]) -> list[str]:
    start = [_PARTS[run["part"]], f"{run['classes']:,}", *cost_cells(run)]
    if "files" not in run:
        return [*start, ""]
    file = max(run["files"], key=run["files"].__getitem__)
    return [*start, f"{run['files'][file] / 1e6:.2f} (`{file}`)"]


def cost_cells(run: Mapping[str, Any]) -> list[str]:
    """Returns wall time, processor time and peak memory of a measured process."""
    if "given_up_after" in run:
        return [f"given up after {run['given_up_after']:,}", "", ""]
    return [
        f"{run['seconds']:,.0f}",
        f"{run['cpu_seconds']:,.1f}",
        f"{run['peak_bytes'] / 2**20:,.0f}",
    ]
