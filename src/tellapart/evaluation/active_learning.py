"""Active learning: which unlabelled texts to label next, by margin, confused pairs of classes and diversity."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from tellapart.data.examples import LabelSpace
from tellapart.errors import DataError
from tellapart.evaluation.confusions import (
    Confusions,
    as_confusions,
    cells,
    count_cells,
    row_sums,
    values_at,
)
from tellapart.evaluation.metrics import probabilities

CANDIDATES = 10
"""Candidates for each text to choose, β of Zhdanov (2019)."""

SUGGESTED, SECOND, PROBABILITY, SECOND_PROBABILITY, MARGIN, PAIR = (
    "suggested_label",
    "second_label",
    "probability",
    "second_probability",
    "margin",
    "pair",
)
"""Columns added to suggested rows."""

_DECIMALS = 4  # of written probabilities


@dataclass(frozen=True)
class TopTwo:
    """The two most probable classes of N rows.

    Args:
        first: Ids of the most probable classes, int64 (N,).
        second: Ids of the runners-up, int64 (N,).
        probability: Probabilities of the first, 0 to 1, float64 (N,).
        second_probability: Probabilities of the second, float64 (N,).
    """

    first: np.ndarray
    second: np.ndarray
    probability: np.ndarray
    second_probability: np.ndarray

    @property
    def margin(self) -> np.ndarray:
        """Difference of the two probabilities, 0 to 1, float64 (N,)."""
        return self.probability - self.second_probability

    def select(self, rows: np.ndarray) -> TopTwo:
        """Returns some rows, in the order of their numbers."""
        return TopTwo(*(column[rows] for column in vars(self).values()))

    def joined(self, other: TopTwo) -> TopTwo:
        """Returns the rows of both; those of `other` come last."""
        columns = zip(vars(self).values(), vars(other).values(), strict=True)
        return TopTwo(*(np.concatenate(both) for both in columns))


def top_two(labels: LabelSpace, logits: np.ndarray) -> TopTwo:
    """Finds the two most probable classes of each row.

    Args:
        labels: The K classes, at least two, of which each row has one.
        logits: (N, K).

    Raises:
        ModelError: A logit is not finite.
    """
    chances = np.asarray(probabilities(labels, logits), dtype=np.float64)
    order = np.argsort(-chances, axis=1, kind="stable")[:, :2]
    best = np.take_along_axis(chances, order, axis=1)
    return TopTwo(order[:, 0], order[:, 1], best[:, 0], best[:, 1])


def expected_confusions(top: TopTwo, classes: int) -> Confusions:
    """Estimates a confusion matrix without labels: a row is of its second class with that class's probability.

    Args:
        top: The two most probable classes of N rows.
        classes: K.

    Returns:
        Sparse float64 (K, K), rows are the presumed gold classes.
    """
    gold, predicted = np.concatenate([top.first, top.second]), np.concatenate([top.first, top.first])
    return count_cells(gold, predicted, classes, np.concatenate([top.probability, top.second_probability]))


def pair_weights(confusions: Any) -> Confusions:
    """Returns the weight of each pair of classes: its rate of confusions, divided by the highest rate.

    Args:
        confusions: Counts or expected counts (K, K), dense or sparse, rows are gold.

    Returns:
        Symmetric sparse float64 (K, K), 0 to 1; all 0 without confusions.
    """
    counts = as_confusions(confusions).astype(np.float64)
    rows = row_sums(counts)
    first, second, errors = cells(as_confusions(counts + counts.T))
    apart = first != second
    first, second = first[apart], second[apart]
    rates = errors[apart] / (rows[first] + rows[second])  # a pair with errors has rows
    return count_cells(
        first, second, len(rows), rates / max(rates.max(initial=0.0), np.finfo(np.float64).tiny)
    )


def informativeness(top: TopTwo, weights: Confusions) -> np.ndarray:
    """Returns how much a label is expected to tell: one minus the margin, up to twice that for confused pairs.

    Args:
        top: The two most probable classes of N rows.
        weights: Weight of each pair, sparse (K, K), 0 to 1.

    Returns:
        float64 (N,), 0 to 2.

    References:
        Scheffer, Decomain and Wrobel 2001, Active Hidden Markov Models for Information Extraction (the margin).
    """
    return (1 - top.margin) * (1 + values_at(weights, top.first, top.second))


def diverse_rows(vectors: Any, informative: np.ndarray, count: int, *, seed: int = 0) -> np.ndarray:
    """Chooses rows that are informative and unlike each other: the one nearest to each centre of weighted k-means.

    Args:
        vectors: Unit vectors (N, d) of the candidates, an array or a sparse matrix.
        informative: `informativeness` of the candidates (N,), the weights of k-means.
        count: Rows to choose.
        seed: Of the first centres (k-means++).

    Returns:
        int64 row numbers, ascending; all rows if there are no more than `count`.

    References:
        Zhdanov 2019, Diverse mini-batch Active Learning (arXiv 1901.05954), algorithm 2.
    """
    if len(informative) <= count:
        return np.arange(len(informative))
    weights = np.maximum(informative, 1e-9)  # k-means needs weights above 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer different vectors than clusters
        means = KMeans(count, n_init=1, random_state=seed).fit(vectors, sample_weight=weights)
    chosen = set()
    for cluster in np.unique(means.labels_):
        members = np.flatnonzero(means.labels_ == cluster)
        closeness = np.asarray(
            vectors[members] @ means.cluster_centers_[cluster]
        )  # the vectors have length 1
        chosen.add(int(members[closeness.argmax()]))
    others = (row for row in np.argsort(-informative, kind="stable").tolist() if row not in chosen)
    missing = count - len(chosen)  # equal vectors share a cluster
    return np.sort([*chosen, *(row for row, _ in zip(others, range(missing), strict=False))])


def suggestion_table(rows: pa.Table, label: str, labels: LabelSpace, top: TopTwo, *, where: str) -> pa.Table:
    """Returns rows with an empty label column, their two most probable classes, and the pair of these.

    A pair is named in the order of the classes. Metadata are dropped: a `datasets.ClassLabel` would not fit names.

    Args:
        rows: All columns of N rows.
        label: The label column to empty, or to add.
        labels: The classes.
        top: The two most probable classes of the rows.
        where: Name of the rows in messages.

    Raises:
        DataError: There is a column of the name of an added one.
    """
    names = labels.names
    pairs = zip(np.minimum(top.first, top.second), np.maximum(top.first, top.second), strict=True)
    empty = pa.nulls(len(rows), pa.string())
    table = rows.replace_schema_metadata(None)
    if label in table.column_names:
        table = table.set_column(table.column_names.index(label), label, empty)
    else:
        table = table.append_column(label, empty)
    added = {
        SUGGESTED: pa.array([names[one] for one in top.first], pa.string()),
        SECOND: pa.array([names[one] for one in top.second], pa.string()),
        PROBABILITY: pa.array(top.probability.round(_DECIMALS)),
        SECOND_PROBABILITY: pa.array(top.second_probability.round(_DECIMALS)),
        MARGIN: pa.array(top.margin.round(_DECIMALS)),
        PAIR: pa.array([f"{names[one]} / {names[other]}" for one, other in pairs], pa.string()),
    }
    for name, column in added.items():
        if name in table.column_names:
            raise DataError(
                f'{where} has a column "{name}", which a suggestion would replace', "rename or remove it"
            )
        table = table.append_column(name, column)
    return table
