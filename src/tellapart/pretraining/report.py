"""Report of a pre-training run: metrics, curves, and wrong predictions that are synonyms of the masked word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tellapart.inspection.drawing import new_figure, save_png, svg
from tellapart.inspection.figures import curves_figure
from tellapart.inspection.page import write_page
from tellapart.pretraining.masked_statistics import CorrectedPrediction

# Panels: title, then each curve's key in the log and its name.
CURVES: tuple[tuple[str, dict[str, str]], ...] = (
    ("Loss per masked token", {"loss_mlm": "loss"}),
    ("Discriminator loss per token", {"loss_discriminator": "loss"}),
    ("Soft regularisation", {"loss_soft": "words", "loss_sentence": "sentences"}),
    ("Accuracy (%)", {"masked_accuracy": "masked tokens", "discriminator_accuracy": "discriminator"}),
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
    """Writes the report of a pre-training run.

    Args:
        path: The file to write.
        title: The page's heading.
        figures: Names and values, the main one first.
        training_log: The trainer's log; may be empty.
        corrected: Predictions that are synonyms of the right token; may be empty.
        recipe_yaml: The resolved recipe.
    """
    curves = curves_figure(_panels(training_log))
    write_page(
        path,
        "pretraining/templates/report.html",
        title=title,
        subtitle="pre-training",
        figures=figures,
        curves=curves and svg(curves),
        corrected=corrected,
        recipe_yaml=recipe_yaml,
    )


def save_curves(training_log: Sequence[Mapping[str, Any]], path: Path | str) -> None:
    """Writes the training curves as PNG, an empty one for an empty log."""
    save_png(curves_figure(_panels(training_log)) or new_figure(5.0, 3.4), path)


def _panels(log: Sequence[Mapping[str, Any]]) -> list[tuple[str, dict[str, list[tuple[float, float]]]]]:
    """Returns the title and the curves of each panel, as (epoch, value) points."""

    def points(key: str) -> list[tuple[float, float]]:
        factor = 100.0 if key in _PER_CENT else 1.0
        return [(entry["epoch"], factor * entry[key]) for entry in log if key in entry]

    return [(caption, {name: points(key) for key, name in keys.items()}) for caption, keys in CURVES]
