"""Reports to read in a browser: what a run learnt and where it errs, and what a comparison found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np

from tellapart.evaluation.calibration import ReliabilityBin
from tellapart.evaluation.comparison import Comparison, ConfusablePair
from tellapart.evaluation.comparison_tables import (
    comparison_rows,
    comparison_verdicts,
    significance_rows,
    unseen_sentence,
)
from tellapart.evaluation.metrics import METRICS, ClassMetrics, metric_label
from tellapart.evaluation.significance import POWER
from tellapart.files import replacing
from tellapart.inspection.charts import (
    CLASSES_SHOWN,
    dot_plot,
    heat_map,
    line_chart,
    reliability_chart,
)
from tellapart.inspection.confusion import ConfusedPair, most_confused_pairs
from tellapart.inspection.page import Html, bar_cell, cards, join, page, section, table, text
from tellapart.inspection.shortening import shorten

ERRORS_SHOWN = 25
EXAMPLES_PER_PAIR = 2

_TEXT_LENGTH, _EXAMPLE_LENGTH = 600, 240


class WrongPrediction(TypedDict):
    """A row that was predicted wrongly.

    Keys:
        text: The text.
        text_pair: The second text of a pair task.
        gold: The right label; a list of labels in multi-label tasks.
        predicted: The predicted label, or list of labels.
        probability: What the model gave its prediction, 0 to 1.
    """

    text: str
    text_pair: NotRequired[str | None]
    gold: str | list[str]
    predicted: str | list[str]
    probability: float


def write_report(
    path: Path | str,
    *,
    title: str,
    metrics: Mapping[str, float],
    per_class: Sequence[ClassMetrics],
    confusion: np.ndarray,
    names: Sequence[str],
    training_log: Sequence[Mapping[str, Any]],
    recipe_yaml: str,
    errors: Sequence[WrongPrediction],
    note: str = "",
    reliability: Mapping[str, Sequence[ReliabilityBin]] | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> None:
    """Writes the report of one run as a single HTML file without script or outside assets.

    Args:
        path: The file to write.
        title: The page's heading.
        metrics: Name to value, the main metric first.
        per_class: From `tellapart.evaluation.metrics.per_class`.
        confusion: Counts (K, K), rows are gold, from `confusion_matrix`.
        names: The K classes.
        training_log: The trainer's `state.log_history`; may be empty.
        recipe_yaml: The resolved recipe.
        errors: All wrong predictions; the most confident are shown, and some for each confused pair.
        note: What to know of the metrics.
        reliability: Name to bins, from `tellapart.evaluation.calibration.reliability_bins`: the probabilities of the
            model, or those before and after a temperature.
        thresholds: Label to the probability from which it is predicted, where these are not all one half.

    Raises:
        OutputError: The file could not be written.
    """
    errors = sorted(errors, key=lambda error: -error["probability"])
    evaluated = sum(entry["support"] for entry in per_class)
    sections = [
        metric_section(metrics, note),
        section("Training", training_curves(training_log)),
        section(
            "Calibration",
            reliability_chart("How often the model is right", reliability or {}),
            note="Above the diagonal the model is right more often than it says, below it less often.",
        ),
        section("What is taken for what", heat_map(confusion, names), note=_heat_map_note(len(names))),
        section("Most confused classes", _confused_pairs(most_confused_pairs(confusion, names), errors)),
        section(
            "Most confident wrong predictions",
            _error_list(errors[:ERRORS_SHOWN], _TEXT_LENGTH),
            note=f"{min(len(errors), ERRORS_SHOWN)} of {len(errors)}",
        ),
        section("Classes", _class_table(per_class, thresholds or {}), note="The worst first."),
        recipe_section(recipe_yaml),
    ]
    subtitle = f"{len(names)} classes · {evaluated} gold labels evaluated"
    write_page(path, page(title, subtitle, sections))


def write_comparison_report(path: Path | str, comparison: Comparison) -> None:
    """Writes the report of a comparison as a single HTML file without script or outside assets.

    Args:
        path: The file to write.
        comparison: What to show.

    Raises:
        OutputError: The file could not be written.
    """
    level = f"{100 * comparison.confidence:g} %"
    sizes = ", ".join(f"{rows} {split}" for split, rows in comparison.split_sizes.items())
    verdicts = join(Html(f"<li>{text(sentence)}</li>") for sentence in comparison_verdicts(comparison))
    header, *rows = comparison_rows(comparison)
    tests = significance_rows(comparison)
    sections = [
        section(
            "What the trials show",
            Html(f"<ul>{verdicts}</ul>") if verdicts else "",
            note=unseen_sentence(comparison),
        ),
        section(
            "Methods",
            table(header, rows, unbroken=True),
            dot_plot(comparison),
            note=f"Small dots are seeds, large ones means with their {level} interval. Methods are compared seed "
            "by seed, so a difference can be clear where the intervals of the means overlap.",
        ),
        section(
            "Tests",
            table(tests[0], tests[1:], unbroken=True) if tests[1:] else "",
            note=f"P-values against {comparison.baseline}. Holm: that of the t test, adjusted for the number of "
            "methods; the verdicts go by it. McNemar: over the evaluated texts, each once; gained and lost count "
            f"rows over all seeds. Detectable: what these trials would show with power {POWER:g}.",
        ),
        section(
            "Classes taken for each other",
            _confusable_table(comparison.confusable_pairs),
            note="Errors in either direction, mean of the trials: the pairs worst with "
            f"{comparison.baseline}, then those that another method has made as bad.",
        ),
        section("Failed trials", _failures(comparison)),
        section("Environment", table(["", ""], comparison.environment.items())),
    ]
    subtitle = f"{comparison.encoder} · {sizes} rows · seeds {', '.join(map(str, comparison.seeds))}"
    write_page(path, page(f"Methods on {comparison.source}", subtitle, sections))


def write_page(path: Path | str, document: str) -> None:
    """Writes a page, whole or not at all; what UTF-8 cannot hold becomes a question mark.

    Raises:
        OutputError: The file could not be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(document, encoding="utf-8", errors="replace")


def metric_section(metrics: Mapping[str, float], note: str = "") -> Html:
    """Returns the metrics of a run, the first one larger."""
    shown = ((metric_label(n), METRICS[n].display(v)) for n, v in metrics.items() if n in METRICS)
    return section("Metrics", cards(shown), note=note)


def recipe_section(recipe_yaml: str) -> Html:
    """Returns a recipe that is shown on demand."""
    return section(
        "Recipe", Html(f"<details><summary>recipe.yaml</summary><pre>{text(recipe_yaml)}</pre></details>")
    )


def training_curves(training_log: Sequence[Mapping[str, Any]]) -> Html:
    """Returns the course of losses and of the first metric that was logged, a pair of charts a stage."""
    stages = sorted({int(entry.get("stage", 0)) for entry in training_log})
    curves = [
        _stage_curves(
            [entry for entry in training_log if int(entry.get("stage", 0)) == stage],
            f"Stage {stage + 1}: " if len(stages) > 1 else "",
        )
        for stage in stages
    ]
    return join(curves)


def _stage_curves(training_log: Sequence[Mapping[str, Any]], prefix: str) -> Html:
    def points(key: str) -> list[tuple[float, float]]:
        logged = [(entry["epoch"], entry[key]) for entry in training_log if "epoch" in entry and key in entry]
        return [(float(epoch), float(value)) for epoch, value in logged if np.isfinite(value)]

    score = next((name for name in METRICS if points(f"eval_{name}")), "accuracy")
    charts = [
        line_chart(f"{prefix}Loss by epoch", {"training": points("loss"), "validation": points("eval_loss")}),
        line_chart(
            f"{prefix}Validation {score.replace('_', ' ')} by epoch", {score: points(f"eval_{score}")}
        ),
    ]
    return Html(f'<div class="charts">{join(charts)}</div>') if any(charts) else Html("")


def _heat_map_note(classes: int) -> str:
    chosen = f"The {CLASSES_SHOWN} most confused of {classes} classes. " if classes > CLASSES_SHOWN else ""
    return chosen + "Rows are gold, columns predicted; point at a cell for its count."


def _confused_pairs(pairs: Sequence[ConfusedPair], errors: Sequence[WrongPrediction]) -> Html:
    parts = []
    for pair in pairs:
        examples = [error for error in errors if _confuses(error, pair)][:EXAMPLES_PER_PAIR]
        parts.append(
            Html(
                f'<div class="pair"><h3 dir="auto">{text(pair.a)} ↔ {text(pair.b)}</h3>'
                f'<p class="note">{_count(pair.errors, "error")}, {100 * pair.rate:.1f} % of the rows of both: '
                f"{text(pair.a)} → {text(pair.b)} {pair.a_as_b}, {text(pair.b)} → {text(pair.a)} {pair.b_as_a}</p>"
                f"{_error_list(examples, _EXAMPLE_LENGTH)}</div>"
            )
        )
    return join(parts)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _confuses(error: WrongPrediction, pair: ConfusedPair) -> bool:
    gold, predicted = _label_set(error["gold"]), _label_set(error["predicted"])
    missed, added = gold - predicted, predicted - gold
    return (pair.a in missed and pair.b in added) or (pair.b in missed and pair.a in added)


def _label_set(labels: str | list[str]) -> set[str]:
    return {labels} if isinstance(labels, str) else set(labels)


def _error_list(errors: Sequence[WrongPrediction], length: int) -> Html:
    items = join(_error_item(error, length) for error in errors)
    return Html(f'<ul class="errors">{items}</ul>') if items else Html("")


def _error_item(error: WrongPrediction, length: int) -> Html:
    texts = [shorten(part, length) for part in (error["text"], error.get("text_pair")) if part]
    quotes = join(Html(f'<blockquote dir="auto">{text(part)}</blockquote>') for part in texts)
    labels = f"{_labels(error['gold'], 'label')} taken for {_labels(error['predicted'], 'label wrong')}"
    return Html(
        f'<li>{quotes}<div class="labels">{labels} at {100 * error["probability"]:.0f} %</div></li>\n'
    )


def _labels(labels: str | list[str], kind: str) -> Html:
    names = [labels] if isinstance(labels, str) else labels
    return join((Html(f'<span class="{kind}">{text(name)}</span>') for name in names or ["no label"]), " ")


def _class_table(per_class: Sequence[ClassMetrics], thresholds: Mapping[str, float]) -> Html:
    worst_first = sorted(per_class, key=lambda entry: entry["f1"])
    cut = ["predicted from (%)"] if thresholds else []
    return table(
        ["class", "rows", *cut, "precision (%)", "recall (%)", "F1 (%)"],
        [
            [
                entry["name"],
                entry["support"],
                *([f"{100 * thresholds[entry['name']]:.1f}"] if thresholds else []),
                f"{100 * entry['precision']:.1f}",
                f"{100 * entry['recall']:.1f}",
                bar_cell(f"{100 * entry['f1']:.1f}", entry["f1"]),
            ]
            for entry in worst_first
        ],
    )


def _confusable_table(pairs: Sequence[ConfusablePair]) -> Html:
    if not pairs:
        return Html("")
    most = max(count for pair in pairs for count in pair.errors.values())
    return table(
        ["classes", *pairs[0].errors],
        [
            [f"{pair.a} ↔ {pair.b}", *(bar_cell(f"{n:.1f}", n / most) for n in pair.errors.values())]
            for pair in pairs
        ],
    )


def _failures(comparison: Comparison) -> Html:
    failed = [
        [method, trial.seed, trial.error]
        for method, result in comparison.methods.items()
        for trial in result.trials
        if trial.error
    ]
    return table(["method", "seed", "reason"], failed) if failed else Html("")
