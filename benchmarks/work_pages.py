"""How long a table takes: the counted work, divided by a rate that is assumed and by one that was measured."""

from __future__ import annotations

import json
import statistics
from typing import Any

from evidence import RESULTS
from tellapart.inspection.page import markdown_table as table
from tellapart.reproduction.table_work import LEARNING

ASSUMED_RATE = 1e14
"""Operations a second that stand for a GPU; nobody measured them here."""

_PETA, _HOUR = 1e15, 3600.0


def work_section() -> str:
    """Returns the table of works and times, and what its rates are."""
    work = _read("table_work.json")
    speed = _read("training_speed-r8.json")
    rate = _measured_rate(speed, work["minilm_parameters"])
    rows = [
        [
            "table",
            "cells",
            "PFLOP",
            "hours at 100 TFLOP/s",
            "PFLOP with MiniLM",
            f"hours with MiniLM on {speed['environment']['cores']} CPU cores",
        ]
    ]
    rows += [_row(name, its, rate) for name, its in work["tables"].items()]
    uncounted = [name for name, its in work["tables"].items() if its["named"]["uncounted"]]
    sentences = [
        "The hours at 100 TFLOP/s are a division: no GPU was timed. What a GPU reaches is to be measured on yours; "
        "take its data sheet's rate times the share of it that training reaches there.",
        f"The hours on a CPU are divided by {rate / 1e12:.2g} TFLOP/s, counted in the same way: what fine-tuning "
        f"MiniLM on R8 reached on {speed['environment']['processor']}, {speed['environment']['cores']} cores, "
        f"with texts of at most {speed['command']['max_length']} tokens "
        "([training speed](../evidence/training-speed.md)).",
        *_held_against(work["timed"], rate),
    ]
    if uncounted:
        sentences.append(f"Not all cells could be counted in {', '.join(uncounted)}.")
    command = "```bash\npython benchmarks/table_work.py\n```\n\nJSON: `benchmarks/results/table_work.json`."
    return "\n\n".join([table(rows), " ".join(sentences), command])


def _row(name: str, its: dict[str, Any], rate: float) -> list[str]:
    named, minilm = its["named"], its["minilm"]
    assumed = _hours(named["petaflop"], ASSUMED_RATE)
    figures = [f"{named['cells']:,}", _number(named["petaflop"]), _number(assumed)]
    if minilm is None:
        return [name, *figures, "–", "–"]
    cpu = _hours(minilm["petaflop"], rate)
    fewer = f" ({minilm['cells']:,} cells)" if minilm["cells"] != named["cells"] else ""
    return [name, *figures, _number(minilm["petaflop"]) + fewer, _number(cpu)]


def _measured_rate(speed: dict[str, Any], parameters: int) -> float:
    """Operations a second: texts a second times the operations that are counted for a text."""
    texts = statistics.median(run["texts_per_second"] for run in speed["arms"]["tellapart"])
    return texts * LEARNING * parameters * speed["command"]["max_length"]


def _held_against(timed: dict[str, Any], rate: float) -> list[str]:
    """What a trial took beside what the count says, where there is such a trial."""
    file = RESULTS / "reproduce" / f"{timed['table']}.json"
    if not file.is_file():
        return []
    result = json.loads(file.read_text(encoding="utf-8"))
    metrics = result["columns"][timed["column"]]["metrics"]
    seconds = next(iter(metrics.values()))[timed["row"]]["seconds"]
    threads = result["environment"]["threads"]
    return [
        f"Hold that against a trial that was timed: `{timed['row']}` on `{timed['column']}` of "
        f"[{timed['table']}](../evidence/{timed['table']}.md) took {seconds:.0f} s on average with {threads} "
        f"thread{'' if threads == 1 else 's'}, where this division gives {timed['petaflop'] * _PETA / rate:.0f} s; "
        "reading, tokenising, loading and saving are not counted."
    ]


def _hours(petaflop: float, rate: float) -> float:
    return petaflop * _PETA / rate / _HOUR


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))
