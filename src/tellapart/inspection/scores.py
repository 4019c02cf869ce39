"""The report of a run that predicts scores: how near they come, and where they are farthest off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.data.examples import TextSplit
from tellapart.inspection.charts import POINTS_SHOWN, scatter_chart
from tellapart.inspection.page import Html, join, page, section, text
from tellapart.inspection.report import (
    ERRORS_SHOWN,
    metric_section,
    recipe_section,
    training_curves,
    write_page,
)
from tellapart.inspection.shortening import shorten

_TEXT_LENGTH = 600


def write_score_report(
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
    """Writes the report of one run as a single HTML file without script or outside assets.

    Args:
        path: The file to write.
        title: The page's heading.
        metrics: Name to value, the main metric first.
        split: The rows that were evaluated, with their scores.
        predicted: The predicted scores (N,), in the order of the rows.
        training_log: The trainer's `state.log_history`; may be empty.
        recipe_yaml: The resolved recipe.
        note: What to know of the metrics.

    Raises:
        OutputError: The file could not be written.
    """
    gold = np.asarray(split.labels, dtype=np.float64)
    worst = np.argsort(-np.abs(predicted - gold), kind="stable")[:ERRORS_SHOWN]
    drawn = f"{POINTS_SHOWN} of {len(gold)} rows. " if len(gold) > POINTS_SHOWN else ""
    items = join(_row(split, int(row), gold[row], float(predicted[row])) for row in worst)
    sections = [
        metric_section(metrics, note),
        section("Training", training_curves(training_log)),
        section(
            "Right and predicted scores",
            scatter_chart("A dot a row", gold, predicted),
            note=f"{drawn}On the diagonal both are equal; point at a dot for its scores.",
        ),
        section(
            "Farthest off", Html(f'<ul class="errors">{items}</ul>'), note=f"{len(worst)} of {len(gold)} rows"
        ),
        recipe_section(recipe_yaml),
    ]
    write_page(path, page(title, f"{len(gold)} scores evaluated", sections))


def _row(split: TextSplit, row: int, gold: float, predicted: float) -> Html:
    texts = [split.texts[row], *([] if split.text_pairs is None else [split.text_pairs[row]])]
    quotes = join(
        Html(f'<blockquote dir="auto">{text(shorten(part, _TEXT_LENGTH))}</blockquote>')
        for part in texts
        if part
    )
    scores = (
        f'<span class="label">{gold:.4g}</span> predicted as <span class="label wrong">{predicted:.4g}</span>'
    )
    return Html(f'<li>{quotes}<div class="labels">{scores}</div></li>\n')
