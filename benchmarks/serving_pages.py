"""The page on `tellapart serve` under load, from benchmarks/results/serving.json."""

from __future__ import annotations

import json
from typing import Any

from evidence import RESULTS
from tellapart.inspection.page import markdown_table
from tellapart.reproduction.pages import environment_sentence

TITLE = "The HTTP service under load"

_EVENTS = {
    "none": "nothing",
    "reload": "another model",
    "kill": "a worker of two killed",
}


def serving_page() -> str:
    """Returns the page as Markdown."""
    results = json.loads((RESULTS / "serving.json").read_text(encoding="utf-8"))
    measures = ("requests/s", "p50 (ms)", "p99 (ms)", "answers", "wrong", "lost")
    rows = [["meanwhile", "server", "clients", "seconds", *measures]]
    for event, words in _EVENTS.items():
        for arm, measured in results.get(event, {"arms": {}})["arms"].items():
            settings = results[event]["settings"]
            several = settings["clients"], float(settings["seconds"]), "load"
            alone = "1", float(settings["seconds"]) / 10, "single_client"
            for clients, seconds, name in (several, alone) if event == "none" else (several,):
                rows.append([words, arm, clients, f"{seconds:g}", *_cells(measured[name])])
    given = results["none"]["settings"]
    return "\n\n".join(
        [
            f"# {TITLE}",
            "MiniLM, trained on banking77; single texts, each client sends its next one when the last was answered. "
            "*tellapart* is `tellapart serve`, *pipeline* is `transformers.pipeline` behind FastAPI, both processes "
            "of their own on the machine of the clients. A wrong answer differs from what `tellapart predict` gives "
            "for the text and that model by more than the rounding of its precision.",
            markdown_table(rows),
            "Lost are requests that the killed worker had accepted: their clients get an error of the "
            "connection.",
            f"```bash\npython benchmarks/serving.py --clients {given['clients']} --seconds "
            f"{float(given['seconds']):g}\n```",
            environment_sentence(results["none"]["environment"])
            + " JSON: `benchmarks/results/serving.json`.",
        ]
    )


def _cells(load: dict[str, Any]) -> list[str]:
    lost = sum(count for status, count in load["statuses"].items() if status != "200")
    times = [f"{load[key]:,.0f}" for key in ("p50_ms", "p99_ms")]
    return [
        f"{load['requests_per_second']:.1f}",
        *times,
        f"{load['answers']:,}",
        str(load["wrong_answers"]),
        str(lost),
    ]
