"""The page on scores of abstention, from benchmarks/results/out_of_scope.json."""

from __future__ import annotations

import json
import statistics
from typing import Any

from evidence import RESULTS
from tellapart.inspection.page import markdown_table
from tellapart.reproduction.pages import environment_sentence

TITLE = "Scores of abstention: out-of-scope texts and wrong predictions"

_FIGURES = {
    "near_auroc": "AUROC, held out",
    "near_fpr": "FPR at 95 % recall, held out",
    "far_auroc": "AUROC, other domain",
    "far_fpr": "FPR at 95 % recall, other domain",
    "risk": "risk at 90 % coverage",
    "risk_coverage_area": "area under risk–coverage",
    "mixed_risk_coverage_area": "the same with held-out rows as wrong",
}
_KEPT = {
    "validation_precision": "precision on validation rows",
    "precision": "precision on test rows",
    "coverage": "coverage of test rows",
}
_CALIBRATION = ("log_loss", "expected_calibration_error", "accuracy")


def out_of_scope_page() -> str:
    """Returns the page as Markdown."""
    result = json.loads((RESULTS / "out_of_scope.json").read_text(encoding="utf-8"))
    given, runs = result["command"], result["runs"]
    rows, data = runs[0]["rows"], given["data"]
    seeds = f"{len(runs)} seed" + ("s" if len(runs) > 1 else "")
    source = (
        f'labelled "{given["out_of_scope"]}"'
        if given["out_of_scope"]
        else f"of the {given['held_out']:.0%} of the classes that are held out, drawn anew for each seed"
    )
    chosen = ", ".join(f"{run['chosen']} (seed {run['seed']})" for run in runs)
    flags = f" --out-of-scope {given['out_of_scope']}" if given["out_of_scope"] else ""
    return "\n\n".join(
        [
            f"# {TITLE}",
            f"{given['encoder']} fine-tuned on {given['few_shot']} rows for each of {runs[0]['classes']} classes of "
            f"{data}; {rows['test']:,} test rows of these classes. Out of scope are {rows['near']:,} test rows "
            f"{source}, and {rows['far']:,} test rows of {given['far']}, another domain. Means over {seeds}, in per "
            "cent; AUROC should be high, everything else low.",
            _table(runs, _FIGURES),
            "`probability`, `margin` and `energy` are computed from the logits (`decision.abstain_by`). "
            "`mahalanobis` and `nearest` compare the trained encoder's vectors with the training rows: the "
            "distance to the nearest class mean, and the cosine to the nearest row. They are not part of tellapart.",
            f"The score with the highest AUROC on the validation rows ({rows['validation']} of the classes and "
            f"{rows['validation_outside']} out of scope): {chosen}.",
            "## A precision that was asked for",
            f"The threshold that reaches a precision of {100 * result['precision']:g} % on the validation rows, on "
            "test rows of the classes:",
            _table(runs, _KEPT),
            "## Temperature",
            f"Fitted on the {rows['validation']} validation rows, measured on the test rows:",
            _calibration_table(runs),
            f"```bash\npython benchmarks/out_of_scope.py --data {data}{flags} --seeds {len(runs)}\n```",
            environment_sentence(result["environment"]) + " JSON: `benchmarks/results/out_of_scope.json`.",
        ]
    )


def _table(runs: list[dict[str, Any]], figures: dict[str, str]) -> str:
    rows = [["score", *figures.values()]]
    for by in runs[0]["scores"]:
        means = (100 * statistics.mean(run["scores"][by][key] for run in runs) for key in figures)
        rows.append([by, *(f"{mean:.1f}" for mean in means)])
    return markdown_table(rows)


def _calibration_table(runs: list[dict[str, Any]]) -> str:
    names = ("log loss", "calibration error (%)", "accuracy (%)")
    rows = [["seed", "temperature", *(column for name in names for column in (name, "with it"))]]
    for run in runs:
        found = run["temperature"]
        row = [str(run["seed"]), f"{found['temperature']:.2f}"]
        for metric in _CALIBRATION:
            for when in ("before", "after"):
                value = found[f"{metric}_{when}"]
                row.append(f"{value:.4f}" if metric == "log_loss" else f"{100 * value:.2f}")
        rows.append(row)
    return markdown_table(rows)
