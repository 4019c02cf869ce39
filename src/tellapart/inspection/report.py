"""HTML reports: training runs, comparisons and sweeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.data.examples import TextSplit
from tellapart.evaluation.calibration import ReliabilityBin
from tellapart.evaluation.comparison import Comparison, ConfusablePair
from tellapart.evaluation.comparison_tables import (
    comparison_rows,
    comparison_verdicts,
    ranking_rows,
    significance_rows,
    unseen_sentence,
)
from tellapart.evaluation.metrics import METRICS, ClassMetrics, metric_label
from tellapart.evaluation.significance import POWER
from tellapart.evaluation.sweeps import (
    SweepResult,
    parameters_text,
    space_names,
    sweep_rows,
    sweep_sentences,
    value_text,
)
from tellapart.inspection.confusion import ConfusedPair, most_confused_pairs
from tellapart.inspection.drawing import svg
from tellapart.inspection.figures import (
    CLASSES_SHOWN,
    POINTS_SHOWN,
    comparison_figure,
    confusion_figure,
    curves_figure,
    reliability_figure,
    risk_coverage_figure,
    scatter_figure,
)
from tellapart.inspection.matrix_data import CLASSES_LISTED
from tellapart.inspection.page import Bar, Link, shorten, write_page
from tellapart.inspection.sweep_figure import sweep_figure, sweep_note
from tellapart.inspection.workbench import pair_name, run_verdict, suspect_counts

ERRORS_SHOWN = 25

PAIRS_LISTED = 300
"""Maximum number of confused pairs in the list of a page; the data of the page have all."""

SCRIPT = "inspection/templates/workbench.js"

_TEMPLATES = "inspection/templates"
_TEXT_LENGTH = 600


def write_report(
    path: Path | str,
    *,
    title: str,
    metrics: Mapping[str, float],
    per_class: Sequence[ClassMetrics],
    confusion: Any,
    names: Sequence[str],
    training_log: Sequence[Mapping[str, Any]],
    recipe_yaml: str,
    workbench: Mapping[str, Any],
    rows: int,
    note: str = "",
    reliability: Mapping[str, Sequence[ReliabilityBin]] | None = None,
    thresholds: Mapping[str, float] | None = None,
    self_training: Mapping[str, Any] | None = None,
    self_training_note: str = "",
    ranks: np.ndarray | None = None,
    risk_coverage: Sequence[tuple[float, float]] = (),
) -> None:
    """Writes the report of one training run on rows with classes.

    Args:
        path: The file to write.
        title: The page's heading.
        metrics: Name to value, the main metric first.
        per_class: From `tellapart.evaluation.metrics.per_class`.
        confusion: Counts (K, K), dense or sparse, rows are gold, from `confusion_matrix`.
        names: The K classes.
        training_log: The trainer's `state.log_history`; may be empty.
        recipe_yaml: The resolved recipe.
        workbench: The wrong texts, from `tellapart.inspection.workbench.workbench_data`.
        rows: The number of evaluated rows.
        note: Remark about the metrics.
        reliability: Name to bins, from `tellapart.evaluation.calibration.reliability_bins`: those of the model, or
            those before and after temperature scaling.
        thresholds: Label to its probability threshold, where these are not all 0.5.
        self_training: The section of `metrics.json` on unlabelled texts; None for a run without.
        self_training_note: The same in sentences.
        ranks: Ranks of ordered classes, int64 (K,), `LabelSpace.ranks`; None for unordered classes.
        risk_coverage: Pairs of coverage and risk, for a model that abstains or is measured on out-of-scope rows.

    Raises:
        OutputError: The file could not be written.
    """
    evaluated = sum(entry["support"] for entry in per_class)
    pairs = most_confused_pairs(confusion, names, top=PAIRS_LISTED)
    chosen = (
        f"The {CLASSES_SHOWN} most confused of {len(names)} classes. " if len(names) > CLASSES_SHOWN else ""
    )
    reliability_drawing = reliability_figure(reliability or {})
    ordered_names = names if ranks is None else [names[index] for index in np.argsort(ranks)]
    write_page(
        path,
        f"{_TEMPLATES}/report.html",
        script=SCRIPT,
        data=workbench,
        title=title,
        subtitle=f"{len(names)} classes · {evaluated} gold labels evaluated",
        verdict=run_verdict(
            pairs[0] if pairs else None,
            int(confusion.sum() - confusion.trace()),
            workbench,
            _main_metric(metrics),
            rows,
        ),
        pairs=_confused_rows(pairs, suspect_counts(workbench["errors"])),
        has_errors=bool(workbench["errors"]),
        browser_notes=workbench["notes"],
        metrics=_shown_metrics(metrics),
        note=note,
        curves=_training_curves(training_log),
        reliability=reliability_drawing and svg(reliability_drawing),
        risk_coverage=risk_coverage and svg(risk_coverage_figure(risk_coverage, metrics)),
        confusion=svg(confusion_figure(confusion, names, ranks=ranks)),
        confusion_note=f"{chosen}Numbers are rows; the stronger the colour, the larger the share of the gold class.",
        classes=_class_rows(per_class, thresholds or {}),
        classes_note=_class_note(len(per_class)),
        unlabelled=_pseudo_label_rows(self_training or {}, ordered_names),
        unlabelled_note=self_training_note,
        frequencies=_frequency_rows((self_training or {}).get("class_frequencies")),
        recipe_yaml=recipe_yaml,
    )


def write_target_report(
    path: Path | str,
    *,
    title: str,
    metrics: Mapping[str, float],
    split: TextSplit,
    predicted: np.ndarray,
    training_log: Sequence[Mapping[str, Any]],
    recipe_yaml: str,
    note: str = "",
) -> None:
    """Writes the report of one training run on rows with numeric targets.

    Args:
        path: The file to write.
        title: The page's heading.
        metrics: Name to value, the main metric first.
        split: The evaluated rows, with their targets.
        predicted: The predicted targets (N,), in the order of the rows.
        training_log: The trainer's `state.log_history`; may be empty.
        recipe_yaml: The resolved recipe.
        note: Remark about the metrics.

    Raises:
        OutputError: The file could not be written.
    """
    gold = np.asarray(split.labels, dtype=np.float64)
    worst = np.argsort(-np.abs(predicted - gold), kind="stable")[:ERRORS_SHOWN]
    drawn = f"{POINTS_SHOWN} of {len(gold)} rows. " if len(gold) > POINTS_SHOWN else ""
    write_page(
        path,
        f"{_TEMPLATES}/targets.html",
        title=title,
        subtitle=f"{len(gold)} rows evaluated",
        metrics=_shown_metrics(metrics),
        note=note,
        curves=_training_curves(training_log),
        scatter=svg(scatter_figure(gold, predicted)),
        scatter_note=f"{drawn}On the diagonal the prediction is exact.",
        worst=[
            {
                "texts": [shorten(column[row], _TEXT_LENGTH) for column in split.columns if column[row]],
                "gold": [f"{gold[row]:.4g}"],
                "verb": "predicted as",
                "predicted": [f"{predicted[row]:.4g}"],
                "end": "",
            }
            for row in worst
        ],
        worst_note=f"{len(worst)} of {len(gold)} rows",
        recipe_yaml=recipe_yaml,
    )


def write_comparison_report(
    path: Path | str, comparison: Comparison, workbench: Mapping[str, Any] | None = None
) -> None:
    """Writes the report of a comparison of methods.

    Args:
        path: The file to write.
        comparison: The comparison.
        workbench: The wrong texts, from `tellapart.inspection.workbench.workbench_data`; None without classes.

    Raises:
        OutputError: The file could not be written.
    """
    has_errors = bool(workbench and workbench["errors"])
    scripted: dict[str, Any] = {} if workbench is None else {"script": SCRIPT, "data": workbench}
    failures = [
        [method, trial.seed, trial.error]
        for method, result in comparison.methods.items()
        for trial in result.trials
        if trial.error
    ]
    write_page(
        path,
        f"{_TEMPLATES}/comparison.html",
        **scripted,
        title=f"Methods on {comparison.source}",
        subtitle=_subtitle(comparison),
        baseline=comparison.baseline,
        level=f"{100 * comparison.confidence:g} %",
        power=f"{POWER:g}",
        verdicts=comparison_verdicts(comparison),
        unseen=unseen_sentence(comparison),
        methods=comparison_rows(comparison),
        rankings=ranking_rows(comparison),
        plot=svg(comparison_figure(comparison)),
        tests=significance_rows(comparison),
        pairs=_pair_rows(comparison.confusable_pairs, has_errors),
        has_errors=has_errors,
        browser_notes=workbench["notes"] if workbench else [],
        failures=[["method", "seed", "reason"], *failures],
        environment=comparison.environment,
    )


def write_sweep_report(path: Path | str, result: SweepResult) -> None:
    """Writes the report of a sweep; raises `OutputError` if the file cannot be written."""
    best, names = result.best, space_names(result.spaces)
    assert best.mean is not None
    values = [(names[space], value_text(value)) for space, value in best.parameters.items()]
    tied = len(result.tied)
    failures = [[parameters_text(result, trial), trial.error] for trial in result.trials if trial.error]
    write_page(
        path,
        f"{_TEMPLATES}/sweep.html",
        title=f"{', '.join(names.values())} of {result.method} on {result.source}",
        subtitle=_subtitle(result),
        best_heading="The best trial" if tied == 1 else f"The first of {tied} trials tied as best",
        best=[(metric_label(result.metric), METRICS[result.metric].display(best.mean)), *values],
        sentences=sweep_sentences(result),
        plot=svg(sweep_figure(result)),
        note=sweep_note(result).capitalize() + ".",
        trials=sweep_rows(result),
        failures=[["values", "reason"], *failures],
        environment=result.environment,
    )


def _subtitle(result: Comparison | SweepResult) -> str:
    sizes = ", ".join(f"{rows} {split}" for split, rows in result.split_sizes.items())
    return f"{result.encoder} · {sizes} rows · seeds {', '.join(map(str, result.seeds))}"


def _shown_metrics(metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    return [(metric_label(n), METRICS[n].display(v)) for n, v in metrics.items() if n in METRICS]


def _main_metric(metrics: Mapping[str, float]) -> str:
    """Returns the first metric with its value: `accuracy 87.20 %`."""
    name = next(name for name in metrics if name in METRICS)
    unit = " %" if METRICS[name].percentage else ""
    return f"{name.replace('_', ' ')} {METRICS[name].display(metrics[name])}{unit}"


def _training_curves(training_log: Sequence[Mapping[str, Any]]) -> str:
    """Draws losses and the first logged metric, two panels per stage; empty without any point."""
    stages = sorted({int(entry.get("stage", 0)) for entry in training_log})
    panels = []
    for stage in stages:
        log = [entry for entry in training_log if int(entry.get("stage", 0)) == stage]
        prefix = f"Stage {stage + 1}: " if len(stages) > 1 else ""
        metric = next((name for name in METRICS if _points(log, f"eval_{name}")), "accuracy")
        losses = {"training": _points(log, "loss"), "validation": _points(log, "eval_loss")}
        panels.append((f"{prefix}Loss", losses))
        panels.append(
            (f"{prefix}Validation {metric.replace('_', ' ')}", {metric: _points(log, f"eval_{metric}")})
        )
    figure = curves_figure(panels)
    return svg(figure) if figure else ""


def _points(log: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    logged = [(entry["epoch"], entry[key]) for entry in log if "epoch" in entry and key in entry]
    return [(float(epoch), float(value)) for epoch, value in logged if np.isfinite(value)]


def _confused_rows(
    pairs: Sequence[ConfusedPair], suspects: Mapping[frozenset[str], int]
) -> list[list[object]]:
    if not pairs:
        return [["classes"]]
    most = pairs[0].errors
    marked = ["suspect labels"] if suspects else []
    rows: list[list[object]] = [["classes", "errors", "share (%)", "A → B", "B → A", *marked]]
    for pair in pairs:
        among = suspects.get(frozenset((pair.a, pair.b)), 0)
        rows.append(
            [
                Link(f"{pair.a} ↔ {pair.b}", pair_name(pair.a, pair.b)),
                Bar(str(pair.errors), pair.errors / most),
                f"{100 * pair.rate:.1f}",
                pair.a_as_b,
                pair.b_as_a,
                *([among] if suspects else []),
            ]
        )
    return rows


def _class_rows(per_class: Sequence[ClassMetrics], thresholds: Mapping[str, float]) -> list[list[object]]:
    threshold = ["threshold (%)"] if thresholds else []
    rows: list[list[object]] = [["class", "rows", *threshold, "precision (%)", "recall (%)", "F1 (%)"]]
    ranked = sorted(per_class, key=lambda entry: entry["f1"])
    if len(ranked) > CLASSES_LISTED:  # a class without rows has an F1 of 0 that says nothing
        ranked = [entry for entry in ranked if entry["support"]] or ranked
    for entry in ranked[:CLASSES_LISTED]:
        rows.append(
            [
                entry["name"],
                entry["support"],
                *([f"{100 * thresholds[entry['name']]:.1f}"] if thresholds else []),
                f"{100 * entry['precision']:.1f}",
                f"{100 * entry['recall']:.1f}",
                Bar(f"{100 * entry['f1']:.1f}", entry["f1"]),
            ]
        )
    return rows


def _class_note(classes: int) -> str:
    if classes <= CLASSES_LISTED:
        return "Lowest F1 first."
    return f"Lowest F1 first. Of {classes:,} classes, the first {CLASSES_LISTED} that have rows."


def _pseudo_label_rows(self_training: Mapping[str, Any], names: Sequence[str]) -> list[list[object]]:
    """The number of used unlabelled texts by predicted class, one column per round; empty without any round."""
    rounds = self_training.get("rounds", [])
    if not rounds:
        return []
    header: list[object] = ["predicted class", *(f"round {number}" for number in range(1, len(rounds) + 1))]
    most = max(1, *(max(one["per_class"].values()) for one in rounds))
    rows: list[list[object]] = [header]
    if len(names) > CLASSES_LISTED:  # those that most texts were predicted as
        names = sorted(names, key=lambda name: -sum(one["per_class"][name] for one in rounds))[
            :CLASSES_LISTED
        ]
    for name in names:
        counts = [one["per_class"][name] for one in rounds]
        rows.append([name, *(Bar(str(count), count / most) for count in counts)])
    return rows


def _frequency_rows(report: Mapping[str, Any] | None) -> list[list[object]]:
    """The class frequencies in training and, as estimated, among the unlabelled texts, most frequent first."""
    if report is None:
        return []
    columns = {"training rows": report["training"], "unlabelled texts": report["unlabelled"]}
    names = sorted(report["unlabelled"], key=lambda name: -report["unlabelled"][name])[:CLASSES_LISTED]
    most = max(max(shares.values()) for shares in columns.values())
    rows: list[list[object]] = [["class", *columns]]
    for name in names:
        shares = (frequencies[name] for frequencies in columns.values())
        rows.append([name, *(Bar(f"{100 * share:.1f} %", share / most) for share in shares)])
    return rows


def _pair_rows(pairs: Sequence[ConfusablePair], linked: bool) -> list[list[object]]:
    if not pairs:
        return [["classes"]]
    most = max(count for pair in pairs for count in pair.errors.values())
    rows: list[list[object]] = [["classes", *pairs[0].errors]]
    for pair in pairs:
        bars = (Bar(f"{count:.1f}", count / most) for count in pair.errors.values())
        name = f"{pair.a} ↔ {pair.b}"
        rows.append([Link(name, pair_name(pair.a, pair.b)) if linked else name, *bars])
    return rows
