"""The rows of a task in memory: texts, perhaps second texts, labels; and the names of the labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tellapart.errors import DataError, did_you_mean

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]


SCORE = "score"
"""The name of a model's one output where it predicts numbers."""


@dataclass(frozen=True)
class LabelSpace:
    """The classes of a task, in the order of the model's outputs; or the one output of a task of scores.

    Args:
        names: One name a class; a class's index is its id. `SCORE` alone where rows have a score each.
        problem_type: As in a Transformers config: `single_label_classification`,
            `multi_label_classification` or `regression`.
        order: The same names from first to last, where the classes have an order, such as from negative to
            positive; else None.
        hierarchy_separator: What separates the levels in names that are paths, such as "." in `comp.sys.mac`;
            None where they are no paths.
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
        """Whether rows have a number each, a score, and no classes."""
        return self.problem_type == "regression"

    @property
    def id2label(self) -> dict[int, str]:
        """Class id to name, as a Transformers config wants it."""
        return dict(enumerate(self.names))

    @property
    def label2id(self) -> dict[str, int]:
        """Name to class id."""
        return {name: index for index, name in enumerate(self.names)}

    @property
    def ranks(self) -> np.ndarray | None:
        """The place of each class in the order, from 0, int64 (K,); None where there is no order."""
        if self.order is None:
            return None
        places = {name: place for place, name in enumerate(self.order)}
        return np.array([places[name] for name in self.names])

    def in_order(self, names: Sequence[str]) -> LabelSpace:
        """Returns the same classes with an order.

        Args:
            names: All of them, from first to last.

        Raises:
            DataError: A name is no class, or a class is missing or named twice; or there are scores.
        """
        self._refuse_scores("order")
        self.check_names(names, "the order names")
        missing = [name for name in self.names if name not in names]
        if missing or len(names) > len(self.names):
            what = f"leaves out {_listed(missing)}" if missing else f"names {_listed(_repeated(names))} twice"
            raise DataError(f"the order of the classes {what}", "name every class once, from first to last")
        return replace(self, order=tuple(names))

    def in_hierarchy(self, separator: str) -> LabelSpace:
        """Returns the same classes with names that are paths.

        Args:
            separator: What separates the levels in the names.

        Raises:
            DataError: It is in no name; or there are scores.
        """
        self._refuse_scores("hierarchy")
        if not separator or not any(separator in name for name in self.names):
            raise DataError(
                f'no class name holds the separator "{separator}" (one is "{self.names[0]}")',
                "give what stands between the levels, such as . for comp.sys.mac",
            )
        return replace(self, hierarchy_separator=separator)

    def check_names(self, names: Iterable[str], what: str) -> None:
        """Refuses names of classes that there are not.

        Args:
            names: What the user wrote.
            what: The sentence that "the class …" completes.

        Raises:
            DataError: With the closest name there is.
        """
        unknown = [name for name in names if name not in self.label2id]
        if unknown:
            raise DataError(
                f'{what} the class "{unknown[0]}", which the data do not have'
                + did_you_mean(str(unknown[0]), self.names),
                "use the class names of the label column: " + _listed(self.names),
            )

    def _refuse_scores(self, what: str) -> None:
        if self.regression:
            raise DataError(
                f"there is no {what} of classes where every row has a score",
                "leave it out: numbers have theirs",
            )

    def encode(self, labels: Sequence[str] | Sequence[Sequence[str]] | Sequence[float]) -> np.ndarray:
        """Turns labels into what an objective reads.

        Args:
            labels: One name a row, or one list of names a row when `multi_label`, or one number when `regression`.

        Returns:
            int64 class ids (N,), a float32 multi-hot matrix (N, K), or float32 scores (N,).

        Raises:
            DataError: A label is not one of `names`.
        """
        if self.regression:
            return np.asarray(labels, dtype=np.float32)
        ids = self.label2id
        rows: list[Sequence[str]] = list(labels) if self.multi_label else [[label] for label in labels]  # type: ignore[arg-type, list-item]
        unknown = {name for row in rows for name in row if name not in ids}
        if unknown:
            first = sorted(unknown)[0]
            raise DataError(
                f'{len(unknown)} label(s) were not seen in training, among them "{first}"'
                + did_you_mean(first, self.names),
                "correct them, remove those rows, or add examples of them to the training split",
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
        text_pairs: The second text of each row for pair tasks, else None.
        labels: A name a row; for multi-label tasks a list of names, for regression a number; None for unlabelled
            rows.
        question_ids: The group of each row for ranking tasks, else None.
    """

    texts: list[str]
    text_pairs: list[str] | None = None
    labels: list[str] | list[list[str]] | list[float] | None = None
    question_ids: list[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def keys(self) -> list[str]:
        """Returns a key for each row, equal where the texts differ at most in case and white space."""
        texts = (" ".join(text.split()).casefold() for text in self.texts)
        if self.text_pairs is None:
            return list(texts)
        pairs = (" ".join(text.split()).casefold() for text in self.text_pairs)
        return [f"{text}\n{pair}" for text, pair in zip(texts, pairs, strict=True)]

    def label_sets(self) -> list[frozenset[str]]:
        """Returns the labels of each row as a set: of one in single-label tasks, empty where there are none.

        A score is no label that rows share: such rows have none, and are drawn at random.
        """
        if not self.labels or isinstance(self.labels[0], float):
            return [frozenset()] * len(self)
        if isinstance(self.labels[0], list):
            return [frozenset(names) for names in self.labels]
        single = {name: frozenset([name]) for name in set(self.labels)}  # one object a class, not one a row
        return [single[name] for name in self.labels]

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
        )


@dataclass(frozen=True)
class TextData:
    """A labelled task: its splits and its classes.

    Args:
        train: The rows to learn from.
        validation: The rows to choose by, or None when not given (see `tellapart.data.splits`).
        test: The rows to report on, or None.
        labels: The classes, from the training rows (sorted by name).
        source: What the user named: a path, a registered name, a Hub name.
        notes: Sentences about what reading found and did, for the run's log.
        metric: What a benchmark set is judged by, where that is not the main metric of its kind of task.
    """

    train: TextSplit
    validation: TextSplit | None
    test: TextSplit | None
    labels: LabelSpace
    source: str = "memory"
    notes: tuple[str, ...] = ()
    metric: str | None = None

    @property
    def splits(self) -> dict[str, TextSplit]:
        """The splits that exist, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}


def _listed(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if list(names).count(name) > 1})
