"""Table of what a larger encoder gives, from benchmarks/results/encoders.json."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from typing import Any

from evidence import RESULTS
from tellapart.inspection.page import markdown_table as table

BASELINE = "minilm"
_ROWS = {"development": "held-out training rows", "test": "test rows"}


def encoders_table() -> str:
    """Returns accuracies per arm and method, with paired differences to MiniLM over the seeds that both have."""
    cells = json.loads((RESULTS / "encoders.json").read_text(encoding="utf-8"))["cells"]
    groups: dict[tuple[Any, ...], dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for cell in cells:
        key = (cell["data"], cell["few_shot"], cell["method"], cell["rows"])
        groups[key][cell["arm"]][cell["seed"]] = 100 * cell["accuracy"]
    rows = [["data", "method", "encoder", "evaluated on", "seeds", "accuracy (%)", "difference to MiniLM"]]
    for (data, few_shot, method, evaluated), arms in groups.items():
        for arm, scores in arms.items():
            shared = sorted(scores.keys() & arms[BASELINE].keys()) if arm != BASELINE else []
            gains = [scores[seed] - arms[BASELINE][seed] for seed in shared]
            rows.append(
                [
                    f"{data}, {few_shot} per class",
                    method,
                    arm,
                    _ROWS[evaluated],
                    str(len(scores)),
                    f"{statistics.mean(scores.values()):.1f}",
                    _difference(gains),
                ]
            )
    return table(rows)


def _difference(gains: list[float]) -> str:
    """Mean and range of the paired differences."""
    if not gains:
        return ""
    mean = f"{statistics.mean(gains):+.1f}"
    return f"{mean} ({min(gains):+.1f} to {max(gains):+.1f})" if len(gains) > 1 else mean
