"""The files of a comparison: its JSON, page, wrong texts and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.data.examples import LabelSpace
from tellapart.evaluation.comparison import Comparison
from tellapart.evaluation.confusions import Confusions, as_confusions, from_json
from tellapart.files import file_stem, write_json
from tellapart.inspection.figures import (
    save_comparison_plot,
    save_confusion_heatmap,
    save_label_distance_heatmap,
)
from tellapart.inspection.report import write_comparison_report
from tellapart.inspection.workbench import write_errors


def summed_confusion(cells: Sequence[Mapping[str, Any]]) -> Confusions:
    """Returns the sum of the confusion matrices of a method's trials, sparse (K, K)."""
    first, *others = [from_json(cell["confusion"]) for cell in cells]
    return as_confusions(sum(others, first))


def write_comparison(
    folder: Path,
    comparison: Comparison,
    cells: Mapping[str, Sequence[Mapping[str, Any]]],
    labels: LabelSpace,
    workbench: dict[str, Any] | None,
) -> None:
    """Writes the files.

    Args:
        folder: The folder of the comparison.
        comparison: What `comparison.json` holds.
        cells: The trials of each method.
        labels: The classes.
        workbench: What `errors.json` holds; None for regression.

    Raises:
        OutputError: A file cannot be written.
    """
    write_json(folder / "comparison.json", comparison.to_dict())
    if workbench is not None:
        write_errors(folder / "errors.json", workbench)
    write_comparison_report(folder / "comparison.html", comparison, workbench)
    save_comparison_plot(comparison, folder / "comparison.png")
    for method, its_cells in cells.items() if not labels.regression else ():
        total = summed_confusion(its_cells)
        stem = file_stem(method)
        title = f"{method}: gold (rows) and predicted classes"
        save_confusion_heatmap(total, labels.names, folder / f"confusion-{stem}.png", title, labels.ranks)
        distances = [cell["label_distance"] for cell in its_cells if cell["label_distance"]]
        if distances:
            save_label_distance_heatmap(
                np.mean(distances, axis=0),
                labels.names,
                folder / f"label-distance-{stem}.png",
                ranks=labels.ranks,
            )
