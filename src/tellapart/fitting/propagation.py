"""Label propagation: predictions for unlabelled texts follow those of their nearest neighbours."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.special import logit
from sklearn.neighbors import NearestNeighbors

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.encoders.precision import use_bf16
from tellapart.encoders.scoring import represent
from tellapart.evaluation.metrics import probabilities
from tellapart.fitting.fitted import Fitted

MOST_ROWS = 20_000
"""Largest number of labelled and unlabelled rows: all pairs of vectors are compared."""

# How far a prediction follows its neighbours, how fast a neighbour's weight falls with its cosine, and the number of
# steps, after which less than 1 % of the distance from the limit is left.
_SHARE, _TEMPERATURE, _STEPS = 0.9, 0.1, 50

_SMALLEST = 1e-6  # the logarithm of a probability of 0 has no value


def propagated_logits(
    teacher: Fitted, labelled: TextSplit, unlabelled: TextSplit, logits: np.ndarray, neighbours: int
) -> np.ndarray:
    """Returns a classifier's logits of unlabelled texts after label propagation over its encoder's vectors.

    Args:
        teacher: The classifier.
        labelled: Labelled rows, at least one, whose labels stay as they are.
        unlabelled: The N texts.
        logits: The classifier's logits (N, K), calibrated.
        neighbours: Nearest neighbours per row.

    Returns:
        Logits (N, K) of the propagated probabilities; unchanged for TF-IDF and beyond `MOST_ROWS` rows.
    """
    tokenised = [teacher.tokenised(labelled), teacher.tokenised(unlabelled)]
    rows = [rows for rows in tokenised if rows is not None]
    if len(rows) < len(tokenised) or sum(map(len, rows)) > MOST_ROWS:
        return logits
    bf16 = use_bf16("auto", next(teacher.model.parameters()).device)
    vectors = [represent(teacher.model, its_rows, bf16=bf16) for its_rows in rows]
    spread = propagated(
        vectors[0],
        certain_targets(labelled, teacher.labels),
        vectors[1],
        probabilities(teacher.labels, logits),
        neighbours,
    ).clip(_SMALLEST, 1 - _SMALLEST)
    return logit(spread) if teacher.labels.multi_label else np.log(spread)


def propagated(
    labelled: np.ndarray,
    labels: np.ndarray,
    unlabelled: np.ndarray,
    predicted: np.ndarray,
    neighbours: int,
) -> np.ndarray:
    """Spreads labels over a graph of nearest neighbours.

    Rows are connected to their nearest neighbours by cosine, in both directions, with weights exp((cos − 1) / 0.1);
    then the weights W of a row are divided by their sum. F starts as the predictions P, and F ← 0.9 W F + 0.1 P is
    repeated, each time with the labels back in their rows: a prediction becomes a mean of itself and those around it.

    Args:
        labelled: Vectors of the rows with labels (L, d), L at least 1.
        labels: Their labels as probabilities (L, K).
        unlabelled: Vectors of the other rows (N, d).
        predicted: Predicted probabilities (N, K).
        neighbours: Neighbours per row, at least 1.

    Returns:
        Probabilities (N, K); they sum to 1 where the predicted ones do.

    References:
        - Zhu and Ghahramani 2002, Learning from Labeled and Unlabeled Data with Label Propagation: fixed labels.
        - Iscen et al. 2019, Label Propagation for Deep Semi-supervised Learning, §4: over an encoder's vectors.
    """
    graph = _graph(np.concatenate([labelled, unlabelled]), neighbours)
    start = np.concatenate([labels, predicted])
    spread = start
    for _ in range(_STEPS):
        spread = _SHARE * (graph @ spread) + (1 - _SHARE) * start
        spread[: len(labels)] = labels
    return spread[len(labels) :]


def certain_targets(split: TextSplit, labels: LabelSpace) -> np.ndarray:
    """Returns labels as probabilities of 0 and 1, float (N, K)."""
    assert split.labels is not None
    gold = labels.encode(split.labels)
    return gold if labels.multi_label else np.eye(len(labels))[gold]


def _graph(vectors: np.ndarray, neighbours: int) -> sparse.csr_array:
    """Returns the weights of the neighbours of each row, (rows, rows); those of a row sum to 1."""
    search = NearestNeighbors(n_neighbors=min(neighbours, len(vectors) - 1), metric="cosine").fit(vectors)
    distances, found = search.kneighbors()  # of the rows themselves, each without itself
    rows = np.repeat(np.arange(len(vectors)), found.shape[1])
    weights = sparse.csr_array(
        (np.exp(-distances.ravel() / _TEMPERATURE), (rows, found.ravel())), shape=(len(vectors),) * 2
    )
    weights = weights.maximum(weights.T)
    return sparse.csr_array(sparse.diags_array(1 / weights.sum(axis=1)) @ weights)
