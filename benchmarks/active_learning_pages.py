"""The page on the simulation of labelling, from benchmarks/results/active_learning.json, and its arms."""

from __future__ import annotations

import json
import statistics
from typing import Any

from evidence import RESULTS
from tellapart.inspection.page import markdown_table
from tellapart.reproduction.pages import environment_sentence

TITLE = "What to label next: suggested against random texts"

FILE = "active_learning.json"
ARMS = {"random": "random", "least-confidence": "least confidence", "suggest": "`suggest`"}
"""Acquisition strategy to its name in tables."""


def active_learning_page() -> str:
    """Returns the page as Markdown."""
    result = json.loads((RESULTS / FILE).read_text(encoding="utf-8"))
    parts = [
        f"# {TITLE}",
        "The labels of the training rows are hidden until a text is chosen. A few labels per class are drawn "
        f"first; in each of {result['rounds']} rounds a batch of texts is chosen and labelled, and the model is "
        "fitted again: a logistic regression on the vectors of the frozen encoder "
        f"({result['encoder']}). Tables have the accuracy on the test rows in %, the mean over the seeds. All arms "
        "of a seed begin with the same labels.",
    ]
    for name, own in result["sets"].items():
        parts += [
            f"## {name}",
            f"{own['classes']} classes, first labels per class: {own['first']}; {own['batch']} texts per round from "
            f"a pool of {own['pool']:,}, {own['test']:,} test rows.",
            markdown_table(_accuracies(own["runs"])),
            markdown_table(_differences(own["runs"])),
        ]
    parts += [
        "The second table of a set has, for each seed, the mean of the accuracies after each round. "
        f"{_extent(result['sets'])} show a tendency, no significance. Pairs of classes are weighted by what the "
        "pool's probabilities let expect. The rule of `suggest` was chosen on the same sets and test rows, with "
        "other seeds. A real run has a better model, and may differ.",
        "```bash\npython benchmarks/active_learning.py\n```",
        f"{environment_sentence(result['environment'])} JSON: `benchmarks/results/{FILE}`.",
    ]
    return "\n\n".join(parts)


def _extent(sets: dict[str, Any]) -> str:
    """The number of seeds and sets in words."""
    seeds = len({run["seed"] for own in sets.values() for run in own["runs"]})
    return f"{seeds} seeds on {len(sets)} sets"


def _accuracies(runs: list[dict[str, Any]]) -> list[list[str]]:
    """The mean accuracy of each arm by number of labels."""
    rows = [["texts by", *(f"{size} labels" for size in runs[0]["labels"])]]
    for arm, title in ARMS.items():
        own = [run["accuracy"] for run in runs if run["arm"] == arm]
        rows.append([title, *(f"{100 * statistics.mean(column):.1f}" for column in zip(*own, strict=True))])
    return rows


def _differences(runs: list[dict[str, Any]]) -> list[list[str]]:
    """The mean accuracy over the rounds, by seed."""
    seeds = sorted({run["seed"] for run in runs})
    rows = [["texts by", *(f"seed {seed}" for seed in seeds)]]
    for arm, title in ARMS.items():
        means = {run["seed"]: statistics.mean(run["accuracy"][1:]) for run in runs if run["arm"] == arm}
        rows.append([title, *(f"{100 * means[seed]:.1f}" for seed in seeds)])
    return rows
