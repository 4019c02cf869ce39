"""Tasks in memory: the texts and labels of each split, and the classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from tellapart.errors import DataError, did_you_mean, shortened

if TYPE_CHECKING:
    from tellapart.data.reading.columns import ColumnNames

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]


SCORE = "score"
"""Name of the single output of a regression model."""

LARGEST_TARGET = float(np.finfo(np.float32).max)
"""Largest size of a numeric target, 3.4e38: models compute in float32."""


def too_large_target(written: object, row: str) -> DataError:
    """Returns the error for a target beyond `LARGEST_TARGET`.

    Args:
        written: The target as in the data.
        row: Where it is, such as `row 3 of tickets.csv`.
    """
    return DataError(
        f"{row} has the target {shortened(written)}, which is beyond {LARGEST_TARGET:.1e}",
        "correct it, or give the targets in a larger unit",
    )


@dataclass(frozen=True)
class LabelSpace:
    """The classes of a task in the order of the model's outputs, or the single output of a regression task.

    Args:
        names: The class names; a class's index is its id. Only `SCORE` for regression.
        problem_type: As in a Transformers config: `single_label_classification`,
            `multi_label_classification` or `regression`.
        order: The names of ordered classes from first to last, such as from negative to positive; else None.
        hierarchy_separator: Separates the levels in hierarchical names, such as "." in `comp.sys.mac`; else None.
    """

    names: tuple[str, ...]
    problem_type: ProblemType = "single_label_classification"
    order: tuple[str, ...] | None = None
    hierarchy_separator: str | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def multi_label(self) -> bool:
        """Whether a text can have several labels, or none."""
        return self.problem_type == "multi_label_classification"

    @property
    def regression(self) -> bool:
        """Whether rows have a numeric target instead of classes."""
        return self.problem_type == "regression"

    @property
    def id2label(self) -> dict[int, str]:
        """Class id to name, as in a Transformers config."""
        return dict(enumerate(self.names))

    @property
    def label2id(self) -> dict[str, int]:
        """Name to class id."""
        return {name: index for index, name in enumerate(self.names)}

    @property
    def ranks(self) -> np.ndarray | None:
        """Rank of each class in the order, from 0, int64 (K,); None for unordered classes."""
        if self.order is None:
            return None
        places = {name: place for place, name in enumerate(self.order)}
        return np.array([places[name] for name in self.names])

    def in_order(self, names: Sequence[str]) -> LabelSpace:
        """Returns the same classes with an order.

        Args:
            names: All class names, from first to last.

        Raises:
            DataError: A name is not a class, a class is missing or repeated, or the task is regression.
        """
        self._refuse_scores("order")
        self.check_names(names, "the order names")
        missing = [name for name in self.names if name not in names]
        if missing or len(names) > len(self.names):
            what = f"lacks {_listed(missing)}" if missing else f"repeats {_listed(_repeated(names))}"
            raise DataError(f"the order of the classes {what}", "name every class once, from first to last")
        return replace(self, order=tuple(names))

    def in_hierarchy(self, separator: str) -> LabelSpace:
        """Returns the same classes as a hierarchy.

        Args:
            separator: Separates the levels in the names.

        Raises:
            DataError: No name contains it, or the task is regression.
        """
        self._refuse_scores("hierarchy")
        if not separator or not any(separator in name for name in self.names):
            raise DataError(
                f'no class name contains the separator "{separator}" (an example is "{self.names[0]}")',
                "give the separator of the levels, such as . for comp.sys.mac",
            )
        return replace(self, hierarchy_separator=separator)

    def check_names(self, names: Iterable[str], what: str) -> None:
        """Checks that all names are classes.

        Args:
            names: The names that the user gave.
            what: Start of the message, which "the class …" follows.

        Raises:
            DataError: A name is not a class; the message suggests the closest one.
        """
        unknown = [name for name in names if name not in self.label2id]
        if unknown:
            raise DataError(
                f'{what} the class "{unknown[0]}", which does not occur in the data'
                + did_you_mean(str(unknown[0]), self.names),
                "use the class names of the label column: " + _listed(self.names),
            )

    def _refuse_scores(self, what: str) -> None:
        if self.regression:
            raise DataError(
                f"numeric targets have no {what} of classes",
                "leave it out",
            )

    def encode(self, labels: Sequence[str] | Sequence[Sequence[str]] | Sequence[float]) -> np.ndarray:
        """Encodes labels for an objective.

        Args:
            labels: For each row a name, a list of names (`multi_label`) or a number (`regression`).

        Returns:
            int64 class ids (N,), a float32 multi-hot matrix (N, K), or float32 targets (N,).

        Raises:
            DataError: A label is not one of `names`, or a target is too large for float32.
        """
        if self.regression:
            exact = np.asarray(labels, dtype=np.float64)
            beyond = np.flatnonzero(np.abs(exact) > LARGEST_TARGET)
            if len(beyond):
                raise too_large_target(exact[beyond[0]], f"row {beyond[0] + 1}")
            return exact.astype(np.float32)
        ids = self.label2id
        rows: list[Sequence[str]] = list(labels) if self.multi_label else [[label] for label in labels]  # type: ignore[arg-type, list-item]
        unknown = {name for row in rows for name in row if name not in ids}
        if unknown:
            first = sorted(unknown)[0]
            raise DataError(
                f'{len(unknown)} label(s) do not occur in the training rows, such as "{first}"'
                + did_you_mean(first, self.names),
                "correct them, remove those rows, or add training rows with these labels",
            )
        if not self.multi_label:
            return np.fromiter((ids[row[0]] for row in rows), dtype=np.int64, count=len(rows))
        hot = np.zeros((len(rows), len(self.names)), dtype=np.float32)
        for index, row in enumerate(rows):
            hot[index, [ids[name] for name in row]] = 1.0
        return hot


@dataclass(frozen=True)
class TextSplit:
    """The rows of one split.

    Args:
        texts: The texts, N of them.
        text_pairs: The second text of each row in pair tasks, else None.
        labels: For each row a name, a list of names (multi-label) or a number (regression); None if unlabelled.
        question_ids: The question of each row in ranking tasks, else None.
        weights: Weight of each training row in losses that are means over rows; None if all are 1.
        numbers: Number of each row in its source, from 1; None if it is its place in the split.
    """

    texts: list[str]
    text_pairs: list[str] | None = None
    labels: list[str] | list[list[str]] | list[float] | None = None
    question_ids: list[str] | None = None
    weights: list[float] | None = None
    numbers: list[int] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def number(self, row: int) -> int:
        """Returns the number of a row for messages: that in its source, from 1, where it is known."""
        return row + 1 if self.numbers is None else self.numbers[row]

    @property
    def columns(self) -> list[list[str]]:
        """The texts, and the second texts in pair tasks."""
        return [self.texts] if self.text_pairs is None else [self.texts, self.text_pairs]

    def keys(self) -> list[str]:
        """Returns a key per row, equal for texts that differ only in case and white space."""
        columns = [[" ".join(text.split()).casefold() for text in column] for column in self.columns]
        return ["\n".join(row) for row in zip(*columns, strict=True)]

    def label_sets(self) -> list[frozenset[str]]:
        """Returns the labels of each row as a set; empty sets if there are none, and for numeric targets."""
        if not self.labels or isinstance(self.labels[0], float):
            return [frozenset()] * len(self)
        if isinstance(self.labels[0], list):
            return [frozenset(names) for names in self.labels]
        single = {
            name: frozenset([name]) for name in set(self.labels)
        }  # one object per class, shared by its rows
        return [single[name] for name in self.labels]

    def joined(self, other: TextSplit) -> TextSplit:
        """Returns the rows of both splits, which have the same columns; those of `other` come last.

        Raises:
            DataError: One has pairs of texts, the other single texts.
        """
        if (self.text_pairs is None) != (other.text_pairs is None):
            raise DataError(
                "one split has pairs of texts and another single texts", "give the same columns in all splits"
            )

        def both(column: list | None, more: list | None) -> list | None:
            return None if column is None or more is None else [*column, *more]

        return TextSplit(
            texts=[*self.texts, *other.texts],
            text_pairs=both(self.text_pairs, other.text_pairs),
            labels=both(self.labels, other.labels),
            question_ids=both(self.question_ids, other.question_ids),
            weights=None
            if self.weights is None and other.weights is None
            else [*(self.weights or [1.0] * len(self)), *(other.weights or [1.0] * len(other))],
        )

    def select(self, indices: Iterable[int]) -> TextSplit:
        """Returns the rows at `indices`, in that order."""
        chosen = [int(index) for index in indices]

        def pick(column: list | None) -> list | None:
            return None if column is None else [column[index] for index in chosen]

        return replace(
            self,
            texts=[self.texts[index] for index in chosen],
            text_pairs=pick(self.text_pairs),
            labels=pick(self.labels),
            question_ids=pick(self.question_ids),
            weights=pick(self.weights),
            numbers=pick(self.numbers),
        )


@dataclass(frozen=True)
class TextData:
    """A labelled task: its splits and its classes.

    Args:
        train: Training rows.
        validation: Validation rows, or None if the source has none (see `tellapart.data.splits`).
        test: Test rows, or None.
        labels: The classes of the training rows.
        source: The source as named by the user: a path, a registered name, a Hub name.
        notes: Remarks on reading, for the run's log.
        metric: The metric of a benchmark set, if it is not the main metric of its task.
        unlabelled: Further texts for self-training, or None. Labels in it are never used for training.
        label_texts: Texts that describe the classes, each labelled with its class; None for none. They are further
            training rows and belong to no split.
        columns: The columns of the source that the rows were read from, stored beside the model; None if unknown.
        fingerprints: SHA-256 of the columns as read, by the key of the recipe, see
            `tellapart.data.fingerprints.column_fingerprints`; empty for data in memory.
        out_of_scope: Texts of no class by the name of the split that they belong to, without labels. They are never
            trained on: those of `validation` help to choose the threshold of abstention, all measure its score.
    """

    train: TextSplit
    validation: TextSplit | None
    test: TextSplit | None
    labels: LabelSpace
    source: str = "memory"
    notes: tuple[str, ...] = ()
    metric: str | None = None
    unlabelled: TextSplit | None = None
    label_texts: TextSplit | None = None
    columns: ColumnNames | None = None
    fingerprints: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    out_of_scope: Mapping[str, TextSplit] = field(default_factory=dict)

    @property
    def splits(self) -> dict[str, TextSplit]:
        """The splits that exist, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}


def check_second_texts(texts: TextSplit, rows: TextSplit, where: str) -> tuple[str, ...]:
    """Checks that further texts are pairs if the labelled rows are.

    Args:
        texts: The further texts.
        rows: Labelled rows.
        where: Name of the further texts in messages.

    Returns:
        A note if only the further texts are pairs, whose second texts are not used.

    Raises:
        DataError: Only the labelled rows are pairs.
    """
    if rows.text_pairs is not None and texts.text_pairs is None:
        raise DataError(
            f"the training rows are pairs of texts, and {where} has one text per row",
            "add the second texts, in a column named as that of the training rows",
        )
    if rows.text_pairs is None and texts.text_pairs is not None:
        return (f"The second texts of {where} are not used: the labelled rows are single texts.",)
    return ()


def _listed(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if list(names).count(name) > 1})
