"""The page on the audit of labels, from benchmarks/results/audit.json."""

from __future__ import annotations

import json
import statistics

from evidence import RESULTS
from tellapart.inspection.page import markdown_table
from tellapart.reproduction.pages import environment_sentence

TITLE = "Swapped labels found by an audit"

_RANKINGS = {
    "first_suspects": "suspects of `check --deep`",
    "plain_confidence": "plain confidence",
    "normalised_margin": "cleanlab's normalised margin",
}


def audit_page() -> str:
    """Returns the page as Markdown."""
    result = json.loads((RESULTS / "audit.json").read_text(encoding="utf-8"))
    given, runs = result["command"], result["runs"]
    shares = [["ranking", *(f"seed {run['seed']}" for run in runs), "mean"]]
    for key, name in _RANKINGS.items():
        values = [100 * run[key] for run in runs]
        shares.append([name, *(f"{value:.1f}" for value in values), f"{statistics.mean(values):.1f}"])
    counts = [["seed", "swapped", "suspects", "swapped among all suspects"]]
    counts += [
        [str(run["seed"]), *(str(run[key]) for key in ("swapped", "suspects", "found"))] for run in runs
    ]
    unchanged = result["unchanged"]
    percent, data = f"{100 * result['share']:g} %", given["data"]
    return "\n\n".join(
        [
            f"# {TITLE}",
            f"{percent} of the {result['rows']:,} training labels of {data} ({result['classes']} classes) are "
            "swapped for another class at random. The table has the share of swapped labels, in per cent, among the "
            f"first {percent} of each ranking of all rows. Plain confidence is the lowest out-of-fold probability of "
            "the given label; all rankings use the same probabilities.",
            markdown_table(shares),
            "The order of the suspects is that of plain confidence: cleanlab's self-confidence is the same number. "
            "What cleanlab adds is how many rows are suspect; without the estimate one would have to guess where to "
            "stop. Its normalised margin finds fewer swapped labels. The regression's C and this ranking were chosen "
            "among some others on seeds 0 and 1 of the same data: only seed 2 is new to them.",
            markdown_table(counts),
            "Some of the other suspects may be wrong as published: without swapped labels, "
            f"{unchanged['suspects']} are suspect, and {unchanged['duplicates_across_labels']} pairs of nearly equal "
            "texts are in two classes.",
            f"An audit of these rows, encoding included, took {result['cpu_seconds']:.0f} seconds of processor time, "
            f"{result['seconds']:.0f} seconds at a load of {result['load']:.1f} from other work.",
            f"```bash\npython benchmarks/audit.py --data {data} --encoder {given['encoder']} "
            f"--seeds {given['seeds']}\n```",
            f"cleanlab {result['cleanlab']}. {environment_sentence(result['environment'])} "
            "JSON: `benchmarks/results/audit.json`.",
        ]
    )
