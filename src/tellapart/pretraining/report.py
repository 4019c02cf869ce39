"""HTML report of a pre-training run: training curves, and wrong predictions that are synonyms."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tellapart.errors import MissingDependencyError, TellapartWarning
from tellapart.files import replacing
from tellapart.inspection.charts import line_chart
from tellapart.inspection.page import Html, cards, join, page, section, text
from tellapart.pretraining.masked_statistics import CorrectedPrediction

# What is drawn of the log: caption, and the key of each curve with its name.
CURVES: tuple[tuple[str, dict[str, str]], ...] = (
    ("Loss over the masked tokens", {"loss_mlm": "loss"}),
    ("Loss of the discriminator, a token", {"loss_discriminator": "loss"}),
    ("Soft regularisation", {"loss_soft": "words", "loss_sentence": "sentences"}),
    (
        "Right predictions (%)",
        {"masked_accuracy": "masked tokens", "discriminator_accuracy": "discriminator"},
    ),
    (
        "Corrected (%)",
        {"corrected_predictions": "of wrong predictions", "corrected_sequences": "of sequences"},
    ),
)

_PER_CENT = ("masked_accuracy", "discriminator_accuracy", "corrected_predictions", "corrected_sequences")


def write_pretraining_report(
    path: Path | str,
    *,
    title: str,
    figures: Sequence[tuple[str, str]],
    training_log: Sequence[Mapping[str, Any]],
    corrected: Sequence[CorrectedPrediction],
    recipe_yaml: str,
) -> None:
    """Writes the report of a run as a single HTML file without script or outside assets.

    Args:
        path: The file to write.
        title: The page's heading.
        figures: Names and values, the main one first.
        training_log: The trainer's log; may be empty.
        corrected: Predictions that are synonyms of the right token; may be empty.
        recipe_yaml: The resolved recipe.

    Raises:
        OutputError: The file could not be written.
    """
    charts = [line_chart(caption, series) for caption, series in _series(training_log)]
    sections = [
        section("Figures", cards(figures)),
        section("Training", Html(f'<div class="charts">{join(charts)}</div>') if any(charts) else ""),
        section(
            "Wrong predictions that are synonyms of the right word",
            _examples(corrected),
            note="By the final model, on sequences masked in a way that training never saw.",
        ),
        section(
            "Recipe", Html(f"<details><summary>recipe.yaml</summary><pre>{text(recipe_yaml)}</pre></details>")
        ),
    ]
    with replacing(path) as temporary:
        temporary.write_text(page(title, "pre-training", sections), encoding="utf-8")


def save_curves(training_log: Sequence[Mapping[str, Any]], path: Path | str) -> None:
    """Draws the course of a run as a PNG; warns where matplotlib is not installed.

    Args:
        training_log: The trainer's log.
        path: The file to write.

    Raises:
        OutputError: The file could not be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        missing = MissingDependencyError("matplotlib", "plots", "drawing curves.png")
        warnings.warn(str(missing), TellapartWarning, stacklevel=2)
        return
    drawn = [(caption, series) for caption, series in _series(training_log) if any(series.values())]
    figure = Figure(figsize=(5.0 * max(1, len(drawn)), 3.4), layout="constrained")
    for number, (caption, series) in enumerate(drawn, start=1):
        axes = figure.add_subplot(1, len(drawn), number)
        for name, points in series.items():
            if points:
                axes.plot(*zip(*points, strict=True), label=name)
        axes.set_title(caption, fontsize=10)
        axes.set_xlabel("passes over the texts", fontsize=9)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if sum(map(bool, series.values())) > 1:
            axes.legend(fontsize=8, frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def _series(
    log: Sequence[Mapping[str, Any]],
) -> list[tuple[str, dict[str, list[tuple[float, float]]]]]:
    """Returns each chart's caption and curves, as (epoch, value) points."""

    def points(key: str) -> list[tuple[float, float]]:
        factor = 100.0 if key in _PER_CENT else 1.0
        return [(entry["epoch"], factor * entry[key]) for entry in log if key in entry]

    return [(caption, {name: points(key) for key, name in keys.items()}) for caption, keys in CURVES]


def _examples(corrected: Sequence[CorrectedPrediction]) -> Html:
    if not corrected:
        return Html("")
    items = (
        Html(
            f'<li><blockquote dir="auto">{text(one.before)} <span class="label">{text(one.gold)}</span> '
            f'{text(one.after)}</blockquote><div class="labels">predicted: '
            f'<span class="label wrong">{text(one.predicted)}</span> · synonyms of {text(one.gold)}: '
            f"{text(', '.join(one.synonyms))}</div></li>\n"
        )
        for one in corrected
    )
    return Html(f'<ul class="errors">{join(items)}</ul>')
