"""Audits the labels of a data set with the vectors of a frozen encoder."""

from __future__ import annotations

from collections import Counter
from functools import reduce
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.encoders.cache import cached_representations
from tellapart.encoders.neighbours import Neighbours, check_index, nearest_neighbours
from tellapart.encoders.precision import default_device, use_bf16
from tellapart.encoders.resolve import FROM_SCRATCH
from tellapart.errors import DataError, UserError
from tellapart.evaluation.audit import (
    MOST_PAIRS,
    NEIGHBOURS,
    Audit,
    AuditedRow,
    NearDuplicate,
    Suspect,
    class_pairs,
    near_pairs,
)
from tellapart.evaluation.label_quality import (
    LabelQuality,
    check_cleanlab,
    fold_of_rows,
    label_quality,
    out_of_fold_probabilities,
)
from tellapart.fitting.models import input_length, load_model
from tellapart.recipes import EncoderRecipe
from tellapart.training.progress import rows_bar


def audit_data(
    data: TextData,
    folder: Path,
    *,
    encoder: str = "minilm",
    max_length: int | None = None,
    seed: int = 0,
    quiet: bool = True,
) -> Audit:
    """Audits the labels of all splits together.

    The vectors are on disk and mapped into memory; neighbours are found in blocks.

    Args:
        data: The task.
        folder: Folder of the float32 vectors, which is created; the caller may delete it afterwards.
        encoder: A pre-trained encoder, which stays frozen.
        max_length: Longest input in tokens; by default that of training.
        seed: Of the folds.
        quiet: Whether to show no progress.

    Raises:
        MissingDependencyError: cleanlab is not installed, or for very many texts faiss.
        DataError: The labels are numeric, or fewer than two classes have two different texts.
        UserError: The encoder has no pre-trained vectors.
        ModelError: The encoder cannot be read.
    """
    check_cleanlab()
    check_auditable(data.labels, encoder)
    rows = _Rows(data)
    keys, label_sets = rows.split.keys(), rows.split.label_sets()
    folds = fold_of_rows(keys, label_sets, seed=seed)
    kept = np.flatnonzero(folds >= 0)
    left_out = Counter(label for row in np.flatnonzero(folds < 0) for label in label_sets[row])
    _check_classes(rows, kept)
    everywhere = frozenset.intersection(*(frozenset(label_sets[row]) for row in kept))
    left_out.update({name: len(kept) for name in everywhere})
    distinct = _distinct_rows(keys, label_sets, rows.splits)
    check_index(len(distinct))
    vectors = encoded(data, rows.split, encoder, max_length, folder, quiet=quiet)
    with rows_bar(len(distinct), quiet=quiet, title="nearest texts") as progress:
        neighbours = nearest_neighbours(vectors, NEIGHBOURS, rows=distinct, progress=progress)
    labels, targets = _targets(rows.split.select(kept), data.labels)
    with rows_bar(len(kept), quiet=quiet, title="auditing labels") as progress:
        chances = out_of_fold_probabilities(
            vectors, targets, labels, folds[kept], rows=kept, seed=seed, progress=progress
        )
    quality = label_quality(chances, targets)
    found = [
        Suspect(rows.at(kept[row]), _suggested(labels, chances[row]), float(quality.scores[row]))
        for row in quality.suspects
    ]
    duplicates, across_labels, across_splits = _near_duplicates(rows, keys, distinct, neighbours)
    return Audit(
        source=data.source,
        encoder=encoder,
        rows={name: len(split) for name, split in data.splits.items()},
        classes=len(data.labels),
        folds=int(folds.max()) + 1,
        left_out=dict(sorted(left_out.items())),
        suspects=tuple(found),
        pairs=class_pairs(
            data.labels.names,
            _hot(data.labels, label_sets, distinct),
            neighbours.rows,
            _all_classes(quality, labels, data.labels),
        ),
        near_duplicates=tuple(duplicates),
        duplicates_across_labels=across_labels,
        duplicates_across_splits=across_splits,
        cleanlab=version("cleanlab"),
    )


def check_auditable(labels: LabelSpace, encoder: str) -> None:
    """Checks before anything is computed that labels can be audited with an encoder.

    Raises:
        DataError: The labels are numeric.
        UserError: The encoder has no pre-trained vectors.
    """
    if labels.regression:
        raise DataError("an audit needs classes, and the labels are numeric targets", "leave out --deep")
    if encoder in (*FROM_SCRATCH, "tfidf"):
        raise UserError(
            f"{encoder} has no pre-trained vectors to audit labels with",
            "use --encoder minilm, mpnet, a folder or a name on the Hub",
        )


class _Rows:
    """The rows of all splits, one after the other.

    Args:
        data: The task.
    """

    def __init__(self, data: TextData) -> None:
        self.split: TextSplit = reduce(TextSplit.joined, data.splits.values())
        self.splits = [name for name, split in data.splits.items() for _ in range(len(split))]
        self.numbers = [split.number(row) for split in data.splits.values() for row in range(len(split))]

    def at(self, row: int) -> AuditedRow:
        """Returns one row."""
        pairs, labels = self.split.text_pairs, self.split.labels
        assert labels is not None
        label: Any = labels[row]
        return AuditedRow(
            self.splits[row], self.numbers[row], self.split.texts[row], pairs[row] if pairs else None, label
        )


def _check_classes(rows: _Rows, kept: np.ndarray) -> None:
    label_sets = rows.split.label_sets()
    if len({label_sets[row] for row in kept}) < 2:
        raise DataError(
            "fewer than two classes have at least two different texts, so that no label can be predicted from others",
            "add rows, or check the data without --deep",
        )


def encoded(
    data: TextData,
    split: TextSplit,
    encoder: str,
    max_length: int | None,
    folder: Path,
    *,
    quiet: bool = True,
) -> np.ndarray:
    """Computes the vectors of rows by a frozen encoder, float32 (N, d), in a folder and mapped from disk.

    Args:
        data: The task.
        split: The N rows.
        encoder: A pre-trained encoder.
        max_length: Longest input in tokens; None for that of training.
        folder: The folder to write.
        quiet: Whether to show no progress.

    Raises:
        ModelError: The encoder cannot be read.
    """
    recipe = EncoderRecipe(name=encoder, max_length=max_length)
    built = load_model(recipe, data, seed=0)
    built.model.to(default_device())
    tokenised = tokenise(split, built.tokenizer, max_length=input_length(recipe, built.model))
    bf16 = use_bf16("auto", default_device())
    with rows_bar(len(split), quiet=quiet, title="encoding") as progress:
        return cached_representations(built.model, tokenised, folder, bf16=bf16, progress=progress)


def _distinct_rows(keys: list[str], label_sets: list[frozenset[str]], splits: list[str]) -> np.ndarray:
    """Returns the first row of each text, label and split: copies would crowd out all other neighbours."""
    first: dict[tuple[str, frozenset[str], str], int] = {}
    for row, place in enumerate(zip(keys, label_sets, splits, strict=True)):
        first.setdefault(place, row)
    return np.fromiter(first.values(), dtype=np.int64)


def _targets(split: TextSplit, labels: LabelSpace) -> tuple[LabelSpace, np.ndarray]:
    """Returns the classes that occur, and the labels encoded with them."""
    present = set().union(*split.label_sets())
    narrowed = LabelSpace(tuple(name for name in labels.names if name in present), labels.problem_type)
    assert split.labels is not None
    return narrowed, narrowed.encode(split.labels)


def _suggested(labels: LabelSpace, chances: np.ndarray) -> str | list[str]:
    if not labels.multi_label:
        return labels.names[int(chances.argmax())]
    return [name for name, chance in zip(labels.names, chances, strict=True) if chance >= 0.5]


def _near_duplicates(
    rows: _Rows, keys: list[str], distinct: np.ndarray, neighbours: Neighbours
) -> tuple[list[NearDuplicate], int, int]:
    """Finds near-duplicates that differ in label or split, nearest first.

    Texts that are equal up to case and white space are not among them: `tellapart.data.checks` finds those.

    Returns:
        The first `MOST_PAIRS`, the number of all with different labels, and of all in two splits.
    """
    label_sets = rows.split.label_sets()
    found: list[NearDuplicate] = []
    across_labels = across_splits = 0
    pairs, cosines = near_pairs(neighbours.rows, neighbours.cosines)
    for (first, second), cosine in zip(distinct[pairs].tolist(), cosines.tolist(), strict=True):
        labels_differ = label_sets[first] != label_sets[second]
        splits_differ = rows.splits[first] != rows.splits[second]
        if keys[first] == keys[second] or not (labels_differ or splits_differ):
            continue
        across_labels += labels_differ
        across_splits += splits_differ
        if len(found) < MOST_PAIRS:
            found.append(NearDuplicate(rows.at(first), rows.at(second), cosine))
    return found, across_labels, across_splits


def _hot(labels: LabelSpace, label_sets: list[frozenset[str]], rows: np.ndarray) -> sparse.csr_array:
    """Returns the labels of some rows, multi-hot (N, K)."""
    ids = labels.label2id
    columns = [sorted(ids[name] for name in label_sets[row]) for row in rows]
    ends = np.cumsum([0, *map(len, columns)])
    flat = np.array([column for row in columns for column in row], dtype=np.int64)
    return sparse.csr_array((np.ones(len(flat)), flat, ends), shape=(len(rows), len(labels)))


def _all_classes(quality: LabelQuality, narrowed: LabelSpace, labels: LabelSpace) -> np.ndarray | None:
    """Returns the overlaps of all classes (K, K), 0 for those left out; None without overlaps."""
    if quality.overlaps is None:
        return None
    ids = [labels.label2id[name] for name in narrowed.names]
    overlaps = np.zeros((len(labels), len(labels)))
    overlaps[np.ix_(ids, ids)] = quality.overlaps
    return overlaps
