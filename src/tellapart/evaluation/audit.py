"""Audit of labelled rows: suspect labels, near-duplicates, and pairs of classes that overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from tellapart.data.relabelling import LABEL, ROW, SPLIT, SUGGESTED, TEXT, TEXT_PAIR

SCHEMA_VERSION = 1

NEIGHBOURS = 10
"""Nearest texts compared with each text."""

NEAR_DUPLICATE = 0.95
"""Cosine of the centred vectors from which two texts are near-duplicates."""

MOST_PAIRS = 1000
"""Largest number of near-duplicates, and of pairs of classes, that an audit lists."""

NEIGHBOUR_SHARE = 0.1
"""Share of a class's nearest neighbours in another class from which the pair is listed."""

_WIDTH = 60  # of a text in a table


@dataclass(frozen=True)
class AuditedRow:
    """A row of the data.

    Args:
        split: Its split.
        row: Its number in the split, from 1.
        text: The text.
        text_pair: The second text in pair tasks.
        label: The label; a list of labels in multi-label tasks.
    """

    split: str
    row: int
    text: str
    text_pair: str | None
    label: str | list[str]


@dataclass(frozen=True)
class Suspect:
    """A row whose label is probably wrong.

    Args:
        at: The row.
        suggested_label: The most probable label by out-of-fold predictions; labels of at least probability 0.5 in
            multi-label tasks.
        score: Label quality by cleanlab, 0 to 1; smaller is more suspect.
    """

    at: AuditedRow
    suggested_label: str | list[str]
    score: float


@dataclass(frozen=True)
class NearDuplicate:
    """Two texts that are almost the same, in two classes or in two splits.

    Args:
        first: One row.
        second: The other row.
        cosine: Cosine of their centred vectors.
    """

    first: AuditedRow
    second: AuditedRow
    cosine: float


@dataclass(frozen=True)
class ClassPair:
    """Two classes that overlap.

    Args:
        first: One class.
        second: The other class.
        overlapping: Rows in which they overlap, as cleanlab estimates; None in multi-label tasks.
        first_in_second: Share of the nearest neighbours of the first class's texts that are of the second class.
        second_in_first: The same from the second class.
    """

    first: str
    second: str
    overlapping: int | None
    first_in_second: float
    second_in_first: float


@dataclass(frozen=True)
class Audit:
    """Result of an audit.

    Args:
        source: The source as named by the user.
        encoder: The encoder of the vectors.
        rows: Number of rows by split.
        classes: Number of classes.
        folds: Number of folds of the out-of-fold predictions.
        left_out: Classes with a single text or present on all texts, whose labels cannot be audited, with their
            numbers of rows.
        suspects: Suspect labels, worst first.
        pairs: Pairs of classes, those with the most overlap first, at most `MOST_PAIRS`.
        near_duplicates: Nearest first, at most `MOST_PAIRS`.
        duplicates_across_labels: Number of all near-duplicates whose labels differ.
        duplicates_across_splits: Number of all near-duplicates in two splits.
        cleanlab: Version of cleanlab.
    """

    source: str
    encoder: str
    rows: dict[str, int]
    classes: int
    folds: int
    left_out: dict[str, int]
    suspects: tuple[Suspect, ...]
    pairs: tuple[ClassPair, ...]
    near_duplicates: tuple[NearDuplicate, ...]
    duplicates_across_labels: int
    duplicates_across_splits: int
    cleanlab: str

    def to_dict(self) -> dict[str, Any]:
        """Returns the audit as plain values for JSON."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}


def class_pairs(
    names: Sequence[str],
    hot: sparse.csr_array,
    neighbours: np.ndarray,
    overlaps: np.ndarray | None,
) -> tuple[ClassPair, ...]:
    """Ranks pairs of classes by their overlap and by the neighbours that they have in each other.

    A neighbour counts for the pair of each label that only the text has and each label that only the neighbour has.

    Args:
        names: The K classes.
        hot: Labels of the texts, multi-hot (N, K).
        neighbours: Nearest neighbours of each text (N, k).
        overlaps: `LabelQuality.overlaps`, (K, K), or None.
    """
    counts = sparse.csr_array((len(names), len(names)))
    for column in neighbours.T:
        near = hot[column]
        common = hot.multiply(near)
        counts = counts + (hot - common).T @ (near - common)
    totals = np.maximum(hot.sum(0) * neighbours.shape[1], 1)
    shares = counts.toarray() / totals[:, None]
    overlapping = np.zeros(shares.shape) if overlaps is None else overlaps
    first, second = np.nonzero(
        np.triu((overlapping > 0) | (np.maximum(shares, shares.T) >= NEIGHBOUR_SHARE), 1)
    )
    both = shares[first, second] + shares[second, first]
    order = np.lexsort((-both, -overlapping[first, second]))[:MOST_PAIRS]
    return tuple(
        ClassPair(
            first=names[one],
            second=names[other],
            overlapping=None if overlaps is None else int(overlaps[one, other]),
            first_in_second=float(shares[one, other]),
            second_in_first=float(shares[other, one]),
        )
        for one, other in zip(first[order], second[order], strict=True)
    )


def near_pairs(neighbours: np.ndarray, cosines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds pairs of places with a cosine of at least `NEAR_DUPLICATE`, each once, nearest first.

    Args:
        neighbours: Nearest neighbours of each place (N, k).
        cosines: Their cosines (N, k).

    Returns:
        The pairs, int64 (P, 2), the smaller place first, and their cosines (P,).
    """
    places, columns = np.nonzero(cosines >= NEAR_DUPLICATE)
    pairs = np.sort(np.stack([places, neighbours[places, columns]], axis=1), axis=1)
    unique, first = np.unique(pairs, axis=0, return_index=True)
    values = cosines[places, columns][first]
    order = np.argsort(-values, kind="stable")
    return unique[order], values[order]


def suspects_table(result: Audit) -> pa.Table:
    """Returns the suspects as a table, worst first: where they are, text, label, suggested label and score."""
    at = [one.at for one in result.suspects]
    columns: dict[str, list[Any]] = {
        SPLIT: [row.split for row in at],
        ROW: [row.row for row in at],
        TEXT: [row.text for row in at],
        TEXT_PAIR: [row.text_pair for row in at],
        LABEL: [row.label for row in at],
        SUGGESTED: [one.suggested_label for one in result.suspects],
        "score": [one.score for one in result.suspects],
    }
    if all(row.text_pair is None for row in at):
        del columns[TEXT_PAIR]
    kinds = {ROW: pa.int64(), "score": pa.float64()}
    listed = pa.list_(pa.string()) if any(isinstance(row.label, list) for row in at) else pa.string()
    kinds |= {LABEL: listed, SUGGESTED: listed}
    return pa.table({name: pa.array(cells, kinds.get(name, pa.string())) for name, cells in columns.items()})


def suspect_rows(audit: Audit, most: int) -> list[list[str]]:
    """Returns the table of the most suspect labels; the first row is the header."""
    header = ["score", "row", "label", "suggested label", "text"]
    return [
        header,
        *(
            [
                f"{one.score:.3f}",
                f"{one.at.split} {one.at.row}",
                _joined(one.at.label),
                _joined(one.suggested_label),
                _short(one.at),
            ]
            for one in audit.suspects[:most]
        ),
    ]


def pair_rows(audit: Audit, most: int) -> list[list[str]]:
    """Returns the table of overlapping classes; the first row is the header."""
    header = ["class A", "class B", "rows that overlap", "A's neighbours in B", "B's neighbours in A"]
    return [
        header,
        *(
            [
                pair.first,
                pair.second,
                "" if pair.overlapping is None else str(pair.overlapping),
                f"{pair.first_in_second:.0%}",
                f"{pair.second_in_first:.0%}",
            ]
            for pair in audit.pairs[:most]
        ),
    ]


def duplicate_rows(audit: Audit, most: int) -> list[list[str]]:
    """Returns the table of near-duplicates; the first row is the header."""
    header = ["cosine", "row", "label", "text"]
    return [
        header,
        *(row for duplicate in audit.near_duplicates[:most] for row in _duplicate_rows(duplicate)),
    ]


def audit_sentences(audit: Audit) -> list[str]:
    """Returns what the audit found, one sentence per kind of finding."""
    rows = sum(audit.rows.values())
    sentences = [
        f"{len(audit.suspects):,} of {rows:,} labels are suspect ({len(audit.suspects) / rows:.1%}).",
        f"{audit.duplicates_across_labels:,} pair(s) of nearly equal texts have different labels, "
        f"{audit.duplicates_across_splits:,} are in two splits.",
    ]
    return [*sentences, *left_out_sentences(audit)]


def left_out_sentences(audit: Audit) -> list[str]:
    """Names the classes whose labels cannot be audited, in one sentence; none if there are none."""
    names = [f"{name} ({count} row(s))" for name, count in audit.left_out.items()]
    if not names:
        return []
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return [f"Classes with a single text or present on all texts, whose labels cannot be audited: {shown}."]


def _duplicate_rows(duplicate: NearDuplicate) -> Iterator[list[str]]:
    for cosine, at in ((f"{duplicate.cosine:.3f}", duplicate.first), ("", duplicate.second)):
        yield [cosine, f"{at.split} {at.row}", _joined(at.label), _short(at)]


def _joined(label: str | list[str]) -> str:
    return label if isinstance(label, str) else ", ".join(label) or "no label"


def _short(at: AuditedRow) -> str:
    text = " ".join(" / ".join(filter(None, [at.text, at.text_pair])).split())
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1].rstrip() + "…"
