"""The confusion counts that the data of a page hold: all of them, or those of the most confused of many classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tellapart.evaluation.confusions import Confusions, as_confusions, cells, count_cells, row_sums
from tellapart.inspection.confusion import (
    ConfusedPair,
    classes_of_pairs,
    look_alike_classes,
    most_confused_pairs,
)

CLASSES_LISTED = 500
"""Most classes in the lists, the matrix and the table of a page."""

PAIRS_OFFERED = 1_000
"""Most pairs to choose from on the page of a data set with more than `CLASSES_LISTED` classes."""

CLASSES_CHOSEN = 12
"""Classes of the matrix when the page is opened."""


def matrix_data(matrices: Mapping[str, Any], classes: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Returns what a page says on confusions, and remarks on what is left out.

    Args:
        matrices: Method to confusion counts (K, K), dense or sparse, rows are gold; of a run a single one.
        classes: The K classes.

    Returns:
        `classes`, `pairs`, `chosen` and `matrices` of `errors.json`; of more than `CLASSES_LISTED` classes those of
        the most confused pairs, with `totals`, the rows of each listed class, and `confusions`, what all classes
        have.
    """
    counts = {name: as_confusions(matrix) for name, matrix in matrices.items()}
    total = as_confusions(sum(counts.values(), Confusions((len(classes),) * 2, dtype=np.int64)))
    if len(classes) <= CLASSES_LISTED:
        return _listed(counts, total, classes, len(classes) ** 2), []
    kept = classes_of_pairs(total, CLASSES_LISTED)
    rows = {name: row_sums(matrix)[kept].tolist() for name, matrix in counts.items()}
    names = [classes[one] for one in kept]
    data = _listed(
        {name: _between(matrix, kept) for name, matrix in counts.items()},
        _between(total, kept),
        names,
        PAIRS_OFFERED,
        row_sums(total)[kept],
    )
    data |= {"totals": rows, "confusions": {"classes": len(classes), "errors": _errors(total)}}
    said = (
        f"Of {len(classes):,} classes, the lists and the matrix of this page have the {CLASSES_LISTED} of the most "
        "confused pairs; the predictions file has all."
    )
    return data, [said]


def read_pairs(data: Mapping[str, Any], top: int) -> tuple[list[ConfusedPair], int]:
    """Returns the most confused pairs of what `matrix_data` returned, and the number of all confusions.

    Args:
        data: With the keys of `matrix_data`.
        top: Maximum number of pairs.
    """
    listed = [cell for one in data["matrices"].values() for cell in one]
    gold, predicted, number = np.array(listed, dtype=np.int64).reshape(-1, 3).T
    total = count_cells(gold, predicted, len(data["classes"]), number)
    if "totals" not in data:
        return most_confused_pairs(total, data["classes"], top), _errors(total)
    rows = np.sum([*data["totals"].values()], axis=0)
    return most_confused_pairs(total, data["classes"], top, rows), data["confusions"]["errors"]


def _listed(
    matrices: Mapping[str, Confusions],
    total: Confusions,
    names: Sequence[str],
    pairs: int,
    rows: np.ndarray | None = None,
) -> dict[str, Any]:
    return {
        "classes": list(names),
        "pairs": [[pair.a, pair.b] for pair in most_confused_pairs(total, names, pairs, rows)],
        "chosen": [names[index] for index in look_alike_classes(total, CLASSES_CHOSEN)],
        "matrices": {
            name: np.stack(cells(matrix), axis=1).astype(np.int64).tolist()
            for name, matrix in matrices.items()
        },
    }


def _between(matrix: Confusions, classes: np.ndarray) -> Confusions:
    return as_confusions(matrix[classes][:, classes])


def _errors(matrix: Confusions) -> int:
    return int(matrix.sum() - matrix.trace())
