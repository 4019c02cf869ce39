"""The pages and figures about speed and memory, from the JSON of their benchmarks."""

from __future__ import annotations

import functools
import hashlib
import json
import statistics
from pathlib import Path
from typing import Any

from evidence import RESULTS, ROOT
from targets import missed, table_rows
from tellapart.inspection.page import markdown_table as table
from tellapart.reproduction.pages import environment_sentence as hardware

GROWTH_FIGURE = ROOT / "docs" / "evidence" / "growth.png"
_AXES = {"texts": "texts", "length": "tokens per text", "classes": "classes", "processes": "processes"}


def speed_pages() -> dict[str, tuple[str, str]]:
    """Returns title and content of each page by its name; pages without results are left out."""
    made = {"speed": ("Speed and memory compared with their targets", targets_page())}
    overheads = sorted(RESULTS.glob("objective_overhead-*.json"))
    if overheads:
        made["objective-overhead"] = ("Step time of the objectives", overhead_page(overheads))
    made["growth"] = ("Scaling of the training time", growth_page())
    return {name: (title, f"# {title}\n\n{content}") for name, (title, content) in made.items()}


def targets_page() -> str:
    sentences = missed(RESULTS)
    return "\n\n".join(
        [
            "Each row is a ratio measured in one run on one machine with two cores, with both sides alternating. "
            "Rows of different processors cannot be compared. Some runs partly shared the machine with other work: "
            "see benchmarks/LOG.md.",
            table(table_rows(RESULTS)),
            "Missed:\n\n" + "\n".join(f"- {sentence}" for sentence in sentences)
            if sentences
            else "All measured targets are reached.",
            "```bash\nmake bench\n"
            "python benchmarks/few_shot_speed.py --setfit-python PYTHON   # of an environment with setfit 1.2\n```",
            "JSON: `benchmarks/results/`.",
        ]
    )


def overhead_page(files: list[Path]) -> str:
    parts = [
        "Milliseconds per step of MiniLM, and the ratio to cross entropy on the same batches. All objectives are "
        "measured in turn on every batch. CLLD (`label-distance`) and R-Drop encode every text twice, with different "
        "dropout masks.",
    ]
    for file in files:
        result = json.loads(file.read_text(encoding="utf-8"))
        given, name = result["command"], Path(result["command"]["data"]).name
        rows = [["objective", "milliseconds per step (median)", "ratio (median)", "minimum and maximum"]]
        for method, time in result["milliseconds_a_step"].items():
            ratios = result["ratios"].get(method)
            spread = f"{min(ratios):.3f} and {max(ratios):.3f}" if ratios else "–"
            rows.append([method, f"{time:.1f}", f"{statistics.median(ratios or [1]):.3f}", spread])
        parts += [
            f"## {name}: {result['mean_tokens']:.0f} tokens per text on average",
            table(rows),
            f"{len(result['blocks'])} blocks of {given['steps']} batches of {given['batch_size']}.",
            f"```bash\npython benchmarks/objective_overhead.py --data {name} --pairs {given['pairs']} "
            f"--steps {given['steps']}\n```",
            hardware(result["environment"]) + f" JSON: `benchmarks/results/{file.name}`.",
        ]
    return "\n\n".join(parts)


def growth_page() -> str:
    result = _growth()
    rounds = len(result["rounds"])
    parts = [
        "Seconds per epoch of contrastive learning with label distance, with MiniLM and batches of 32. One quantity "
        "is varied at a time; the others are 512 texts, 64 tokens, 8 classes and one process. Two processes share "
        "the machine's cores.",
        f"![Seconds per epoch over texts, length, classes and processes]({GROWTH_FIGURE.name})",
    ]
    for name, entries in _by_what_grows(result).items():
        rows = [[_AXES[name], "seconds"]]
        rows += [[f"{entry[name]:,}", f"{entry['seconds']:.2f}"] for entry in entries]
        parts.append(table(rows))
    parts += [
        f"Median of {rounds} rounds." if rounds > 1 else "One round.",
        f"```bash\npython benchmarks/growth.py --pairs {rounds}\n```",
        hardware(result["environment"]) + " JSON: `benchmarks/results/growth.json`.",
    ]
    return "\n\n".join(parts)


def digest(file: Path) -> str:
    """Returns the SHA-256 of a JSON file, which is stored in the figure drawn from it."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def draw_growth(path: Path) -> None:
    """Plots seconds per epoch over each varied quantity, on logarithmic axes."""
    from matplotlib.figure import Figure

    grown = _by_what_grows(_growth())
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    axes = figure.subplots(1, len(grown), sharey=True)
    for axis, (name, entries) in zip(axes, grown.items(), strict=True):
        values = [entry[name] for entry in entries]
        axis.plot(values, [entry["seconds"] for entry in entries], marker="o", color="#336699")
        axis.set_xscale("log", base=2)
        axis.set_yscale("log", base=2)
        axis.set_xticks(values, [str(value) for value in values])
        axis.set_xlabel(_AXES[name])
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("seconds per epoch")
    axes[0].yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    figure.savefig(path, dpi=150, metadata={"Description": digest(RESULTS / "growth.json")})


@functools.cache
def _growth() -> dict[str, Any]:
    return json.loads((RESULTS / "growth.json").read_text(encoding="utf-8"))


def _by_what_grows(result: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {
        name: [entry for entry in result["points"] if entry["grows"] == name]
        for name in dict.fromkeys(entry["grows"] for entry in result["points"])
    }
