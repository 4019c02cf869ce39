"""Suspect labels and overlapping classes, found by cleanlab in out-of-fold probabilities of a linear probe."""

from __future__ import annotations

import importlib.util
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedKFold

from tellapart.data.examples import LabelSpace
from tellapart.errors import MissingDependencyError
from tellapart.evaluation.metrics import probabilities
from tellapart.training.head import Head
from tellapart.training.probe import fit_linear

FOLDS = 5
"""Largest number of folds."""

FIT_ROWS = 50_000
"""Largest number of rows per regression, a stratified sample: bounds the time and the memory of large sets."""

REGULARISATION = 10.0
"""scikit-learn's C. It finds more swapped labels of banking77 than 1, the default of an initial classifier."""

ROWS_A_BLOCK = 100_000
"""Rows whose probabilities cleanlab gets at once; other functions of it would copy those of all rows."""

_ROWS_AT_ONCE = 16_384


class LabelQuality(NamedTuple):
    """Label quality by cleanlab.

    Args:
        scores: Label quality of each row (N,), 0 to 1; smaller is more suspect.
        suspects: The rows whose label is probably wrong, worst first, int64.
        overlaps: Estimated number of rows in which two classes overlap, symmetric (K, K); None for several labels
            per text.
    """

    scores: np.ndarray
    suspects: np.ndarray
    overlaps: np.ndarray | None


def check_cleanlab() -> None:
    """Raises `MissingDependencyError` if cleanlab is not installed."""
    if importlib.util.find_spec("cleanlab") is None:
        raise MissingDependencyError("cleanlab", "audit", "an audit of the labels")


def fold_of_rows(
    keys: Sequence[str], label_sets: Sequence[frozenset[str]], folds: int = FOLDS, seed: int = 0
) -> np.ndarray:
    """Assigns rows to stratified folds; equal texts share a fold, so that no text is predicted from its copy.

    A text is stratified by its rarest label. A class with fewer texts than folds is missing in some of them; a class
    whose texts are all in one fold could not be learned when that is held out, so that its rows are left out.

    Args:
        keys: Key of each row's text (N,), such as `TextSplit.keys`.
        label_sets: The labels of each row.
        folds: Largest number of folds; fewer if no class has that many texts.
        seed: Of the folds.

    Returns:
        The fold of each row, int64 (N,); -1 for rows that are left out. All -1 if nothing can be split.
    """
    texts: dict[str, int] = {}
    text_of_row = np.array([texts.setdefault(key, len(texts)) for key in keys])
    labels_of_text: list[set[str]] = [set() for _ in texts]
    for text, labels in zip(text_of_row, label_sets, strict=True):
        labels_of_text[text] |= labels
    counts = Counter(label for labels in labels_of_text for label in labels)
    strata = [min(labels, key=lambda label: (counts[label], label), default="") for labels in labels_of_text]
    sizes = Counter(strata)
    folds = min(folds, max(sizes.values()))
    assigned = np.full(len(texts), -1)
    if folds > 1:
        splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of classes with fewer texts than folds
            for fold, (_, held_out) in enumerate(splitter.split(np.zeros(len(texts)), strata)):
                assigned[held_out] = fold
    fold_of_row = assigned[text_of_row]
    while single := _labels_of_one_fold(fold_of_row, label_sets):
        fold_of_row[[row for row, labels in enumerate(label_sets) if not single.isdisjoint(labels)]] = -1
    return fold_of_row


def _labels_of_one_fold(folds: np.ndarray, label_sets: Sequence[frozenset[str]]) -> set[str]:
    """Returns the labels whose rows, as far as they are not left out, are all in one fold."""
    folds_of: dict[str, set[int]] = defaultdict(set)
    for fold, labels in zip(folds.tolist(), label_sets, strict=True):
        if fold >= 0:
            for label in labels:
                folds_of[label].add(fold)
    return {label for label, found in folds_of.items() if len(found) == 1}


def out_of_fold_probabilities(
    vectors: np.ndarray,
    targets: np.ndarray,
    labels: LabelSpace,
    folds: np.ndarray,
    *,
    rows: np.ndarray | None = None,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Predicts each fold by a logistic regression that is fitted on the vectors of the others.

    Args:
        vectors: (M, d), in memory or mapped from disk.
        targets: Class ids (N,), or multi-hot (N, K).
        labels: The K classes.
        folds: The fold of each target (N,), from 0.
        rows: The vector of each target (N,); by default all in order.
        seed: Of the solver, and of the sample of `FIT_ROWS` rows.
        progress: Called with the number of rows done.

    Returns:
        float32 (N, K).
    """
    numbers = np.arange(len(targets)) if rows is None else rows
    result = np.empty((len(targets), len(labels)), dtype=np.float32)
    strata = targets if targets.ndim == 1 else _rarest_labels(targets)
    for fold in np.unique(folds):
        fitted_on = _sample(np.flatnonzero(folds != fold), strata, seed)
        head = Head(
            *fit_linear(
                np.asarray(vectors[numbers[fitted_on]]),
                targets[fitted_on],
                len(labels),
                regularisation=REGULARISATION,
                seed=seed,
            )
        )
        held_out = np.flatnonzero(folds == fold)
        for start in range(0, len(held_out), _ROWS_AT_ONCE):
            block = held_out[start : start + _ROWS_AT_ONCE]
            result[block] = probabilities(labels, head.logits(np.asarray(vectors[numbers[block]])))
        if progress is not None:
            progress(len(held_out))
    return result


def _rarest_labels(targets: np.ndarray) -> np.ndarray:
    """Returns the id of each row's rarest label, (N,)."""
    return np.where(targets > 0, targets.sum(0), np.inf).argmin(1)


def _sample(rows: np.ndarray, strata: np.ndarray, seed: int) -> np.ndarray:
    """Returns at most `FIT_ROWS` rows, in order: the same share of every stratum, and one row of each first."""
    if len(rows) <= FIT_ROWS:
        return rows
    shuffled = np.random.default_rng(seed).permutation(rows)
    shuffled = shuffled[np.argsort(strata[shuffled], kind="stable")]
    _, first, sizes = np.unique(strata[shuffled], return_index=True, return_counts=True)
    share_before = (np.arange(len(shuffled)) - np.repeat(first, sizes)) / np.repeat(sizes, sizes)
    return np.sort(shuffled[np.argsort(share_before, kind="stable")[:FIT_ROWS]])


def label_quality(chances: np.ndarray, targets: np.ndarray) -> LabelQuality:
    """Ranks labels by their quality and estimates how many are wrong, by confident learning.

    The quality of a label is its out-of-fold probability (cleanlab's self-confidence). Those rows are suspect which
    have the lowest quality, as many as cleanlab estimates to be wrong, and whose label is not the most probable one.

    Args:
        chances: Out-of-fold probabilities (N, K).
        targets: Class ids (N,), or multi-hot (N, K) of which two rows differ; each class occurs.

    Raises:
        MissingDependencyError: cleanlab is not installed.

    References:
        Northcutt, Jiang and Chuang 2021, Confident Learning: Estimating Uncertainty in Dataset Labels.
    """
    check_cleanlab()
    return _of_label_lists(chances, targets) if targets.ndim == 2 else _of_labels(chances, targets)


def _of_labels(chances: np.ndarray, targets: np.ndarray) -> LabelQuality:
    from cleanlab.count import compute_confident_joint
    from cleanlab.dataset import find_overlapping_classes
    from cleanlab.experimental.label_issues_batched import LabelInspector

    classes = chances.shape[1]
    inspector = LabelInspector(
        num_class=classes, verbose=False, quality_score_kwargs={"method": "self_confidence"}
    )
    for rows in _blocks(len(targets)):
        inspector.update_confident_thresholds(targets[rows], chances[rows])
    thresholds = inspector.get_confident_thresholds()
    joint = np.zeros((classes, classes))
    for rows in _blocks(len(targets)):
        inspector.score_label_quality(targets[rows], chances[rows])
        joint += compute_confident_joint(targets[rows], chances[rows], thresholds=thresholds, calibrate=False)
    found = np.asarray(inspector.get_label_issues(), dtype=np.int64)
    suspects = found[chances[found].argmax(1) != targets[found]]
    frame = find_overlapping_classes(labels=targets, confident_joint=joint)
    overlaps = np.zeros((classes, classes))
    first, second = frame["Class Index A"].to_numpy(), frame["Class Index B"].to_numpy()
    overlaps[first, second] = overlaps[second, first] = frame["Num Overlapping Examples"].to_numpy()
    return LabelQuality(np.asarray(inspector.get_quality_scores()), suspects, overlaps)


def _of_label_lists(chances: np.ndarray, targets: np.ndarray) -> LabelQuality:
    # cleanlab needs positive and negative rows for every label, and at least two labels. A single label becomes two:
    # present and absent.
    varied = (targets > 0).any(0) & (targets <= 0).any(0)
    chances, targets = chances[:, varied], targets[:, varied]
    if targets.shape[1] == 1:
        chances, targets = np.hstack([chances, 1 - chances]), np.hstack([targets, 1 - targets])
    from cleanlab.multilabel_classification.filter import find_label_issues
    from cleanlab.multilabel_classification.rank import get_label_quality_scores

    listed = [np.flatnonzero(row).tolist() for row in targets]
    scores = get_label_quality_scores(listed, chances)
    found = find_label_issues(listed, chances, filter_by="low_self_confidence", n_jobs=1)
    different = ((chances >= 0.5) != (targets > 0.5)).any(1)
    suspects = np.flatnonzero(found & different)
    return LabelQuality(scores, suspects[np.argsort(scores[suspects], kind="stable")], None)


def _blocks(rows: int) -> Iterator[slice]:
    return (slice(start, start + ROWS_A_BLOCK) for start in range(0, rows, ROWS_A_BLOCK))
