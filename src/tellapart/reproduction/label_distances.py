"""Heat maps of the label distances that a table's trials ended with (CLLD, Figure 2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tellapart.files import file_stem
from tellapart.inspection.figures import save_label_distance_heatmap
from tellapart.reproduction.measures.base import Cell
from tellapart.reproduction.measures.classification import labels_of
from tellapart.reproduction.protocols import Protocol


def save_label_distances(
    protocol: Protocol, cells: Sequence[Cell], trial_of: Callable[[Cell], dict[str, Any] | None]
) -> dict[str, str]:
    """Writes `<column>/label-distance-<row>.png`, the mean over the finished trials, as `tellapart compare` does.

    Args:
        protocol: The table.
        cells: All cells of the table.
        trial_of: Returns the content of a cell's trial file; None if it has not finished.

    Returns:
        Title to path, relative to the folder of the table; empty if no method of the table learns label distances.

    Raises:
        OutputError: A file cannot be written.
    """
    found: dict[tuple[str, str], list[tuple[Cell, list[list[float]]]]] = defaultdict(list)
    for cell in cells:
        distances = (trial_of(cell) or {}).get("label_distance")
        if distances:
            found[cell.column, cell.row].append((cell, distances))
    written = {}
    for (column, row), trials in found.items():
        cell, labels = trials[0][0], labels_of(trials[0][0])
        file = f"{column}/label-distance-{file_stem(row)}.png"
        title = f"{protocol.columns[column].name}, {protocol.rows[row].name}"
        several = f", mean over {len(trials)} trials" if len(trials) > 1 else ""
        save_label_distance_heatmap(
            np.mean([distances for _, distances in trials], axis=0),
            labels.names,
            cell.table / file,
            f"Label distance, {title}{several}",
            labels.ranks,
        )
        written[title] = file
    return written
