"""The page and figure on the number of rows, from benchmarks/results/rows.json."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from classes_pages import cost_cells
from evidence import RESULTS, ROOT
from speed_pages import digest
from tellapart.inspection.page import markdown_table
from tellapart.reproduction.pages import environment_sentence

TITLE = "Number of rows"
ROWS_FIGURE = ROOT / "docs" / "evidence" / "rows.png"

_COMMANDS = {
    "check": "`check`",
    "predict-tfidf": "`predict`, TF-IDF",
    "predict-textcnn": "`predict`, TextCNN",
    "predict-frozen": "`predict`, MiniLM",
    "train-tfidf": "`train`, TF-IDF",
    "train-textcnn": "`train`, TextCNN, one epoch",
    "train-frozen": "`train --method frozen`, MiniLM",
}
_COLOURS = {"check": "#555555", "predict": "#336699", "train": "#cc6633"}
_MARKERS = {"": "s", "tfidf": "o", "textcnn": "^", "frozen": "x"}


def rows_page() -> str:
    """Returns the page as Markdown."""
    result = _result()
    loads = [run["load"] for run in result["runs"] if "load" in run]
    header = ["command", "rows", "seconds", "of processor time", "peak MiB", "rows per processor second"]
    return "\n\n".join(
        [
            f"# {TITLE}",
            "Short synthetic texts of seven words and eight classes in one CSV file. Each line is one command in a "
            "process of its own with one thread, from the file to the files that it writes; the peak is its resident "
            "memory, Python and its libraries included.",
            f"![Processor time and peak memory over the number of rows]({ROWS_FIGURE.name})",
            markdown_table([header, *map(_row, result["runs"])]),
            "`predict` reads, scores and writes in blocks: its memory stays the same from 64 MiB of text on, below "
            "which a file is read at once. `train` and `check` hold all rows in memory: they split them, and look "
            "for equal texts.",
            f"Measured once, on a machine with other work (load {min(loads):.0f} to {max(loads):.0f} on 2 cores): "
            "the processor time says more than the seconds.",
            "```bash\nOMP_NUM_THREADS=1 python benchmarks/rows.py\n```",
            f"{environment_sentence(result['environment'])} JSON: `benchmarks/results/rows.json`.",
        ]
    )


def _row(run: Mapping[str, Any]) -> list[str]:
    speed = f"{run['rows'] / run['cpu_seconds']:,.0f}" if "cpu_seconds" in run else ""
    return [_COMMANDS[run["part"]], f"{run['rows']:,}", *cost_cells(run), speed]


def draw_rows(path: Path) -> None:
    """Plots processor time and peak memory over the number of rows, on logarithmic axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, key, scale, label, base in (
        (axes[0], "cpu_seconds", 1, "seconds of processor time", 10),
        (axes[1], "peak_bytes", 2**30, "peak memory (GiB)", 2),
    ):
        for part, words in _COMMANDS.items():
            runs = [run for run in _result()["runs"] if run["part"] == part and key in run]
            verb, _, model = part.partition("-")
            axis.plot(
                [run["rows"] for run in runs],
                [run[key] / scale for run in runs],
                color=_COLOURS[verb],
                marker=_MARKERS[model],
                markersize=5,
                label=words.replace("`", ""),
            )
        axis.set_xscale("log")
        axis.set_yscale("log", base=base)
        axis.set_xlabel("rows")
        axis.set_ylabel(label)
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    figure.savefig(path, dpi=150, metadata={"Description": digest(RESULTS / "rows.json")})


@functools.cache
def _result() -> dict[str, Any]:
    return json.loads((RESULTS / "rows.json").read_text(encoding="utf-8"))
