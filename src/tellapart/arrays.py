"""Converts texts and labels of scikit-learn users (lists, arrays, Series), and predictions back to the same form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, is_multilabel

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.errors import DataError

Form = Literal["classes", "indicator", "lists"]


@dataclass(frozen=True)
class Target:
    """The form and the classes of a `y`; converts it to names of labels and back.

    Args:
        form: `classes` for one per row; `indicator` for a 0/1 matrix (N, K); `lists` for a list of classes per row.
        classes: Sorted, in the type that y has, (K,); the column indices for an indicator matrix.
    """

    form: Form
    classes: np.ndarray

    @classmethod
    def of(cls, y: Any) -> Target:
        """Returns the form and the classes of the training labels.

        Raises:
            DataError: y is empty, has missing values, texts among other labels, no label, one class only, or a class
                whose name is no Unicode text.
            ValueError: y has continuous values, which are not classes.
        """
        form, rows = _form(y)
        if form == "indicator":
            return cls(form, np.arange(rows.shape[1]))
        cells = np.asarray([label for row in rows for label in row] if form == "lists" else rows)
        try:
            if form == "classes" and len(cells):
                check_classification_targets(cells)
            classes = np.unique(cells)
        except TypeError:
            raise _several_types() from None
        if len(classes) < 2 and form == "classes":
            raise DataError(
                f"y has one class only ({classes[0]})" if len(classes) else "y is empty",
                "give texts of at least two classes",
            )
        if not len(classes):
            raise DataError("there are no labels in y", "give labels to some of the rows")
        _refuse_surrogates(map(str, classes), "class {} of y")
        return cls(form, classes)

    @property
    def labels(self) -> LabelSpace:
        """The classes, named by strings."""
        names = tuple(str(label) for label in self.classes.tolist())
        multi = self.form != "classes"
        return LabelSpace(names, "multi_label_classification" if multi else "single_label_classification")

    def names(self, y: Any) -> list[str] | list[list[str]]:
        """Returns the label names of each row.

        Raises:
            DataError: y has another form than `self`.
        """
        form, rows = _form(y)
        if form != self.form or (form == "indicator" and rows.shape[1] != len(self.classes)):
            raise DataError(
                "the labels have another form than in fit",
                "give all of them as classes, as an indicator matrix of the same columns, or as lists",
            )
        if form == "indicator":
            return [[str(column) for column in np.flatnonzero(row)] for row in rows]
        if form == "lists":
            return [[str(label) for label in row] for row in rows]
        return [str(label) for label in rows.tolist()]

    def decoded(self, ids: np.ndarray) -> np.ndarray | list[list[Any]]:
        """Turns class ids (N,), or a multi-hot matrix (N, K), into the form of y."""
        if self.form == "lists":
            return [self.classes[row.astype(bool)].tolist() for row in ids]
        return ids if self.form == "indicator" else self.classes[ids]

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return {"form": self.form, "classes": self.classes.tolist(), "dtype": self.classes.dtype.str}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Target:
        """Reads the JSON form."""
        return cls(content["form"], np.array(content["classes"], dtype=np.dtype(content["dtype"])))


def texts_of(
    X: Any, name: str = "X", *, pairs: bool | None = None, like: str = "fit"
) -> tuple[list[str], list[str] | None]:
    """Splits X into texts and second texts.

    Args:
        X: N texts as a list, an array or a Series; or N pairs as a list of pairs or an array or DataFrame (N, 2).
        name: Its name in messages.
        pairs: Whether there must be second texts; None for either.
        like: What they are compared with, in messages.

    Raises:
        DataError: X is empty, holds pairs where single texts are needed or the reverse, or has a value that is not a
            string or no Unicode text (with a lone surrogate).
    """
    if isinstance(X, str):
        raise DataError(f"{name} is a single text", "give a list of texts")
    rows = np.asarray(X, dtype=object).tolist() if hasattr(X, "__array__") else list(X)
    if not rows:
        raise DataError(f"{name} has no rows", "give at least one text")
    columns = [rows]
    if all(isinstance(row, list | tuple) for row in rows):
        if len({len(row) for row in rows}) > 1 or len(rows[0]) not in (1, 2):
            raise DataError(
                f"the rows of {name} are neither texts nor pairs of texts", "give one or two texts per row"
            )
        columns = [list(column) for column in zip(*rows, strict=True)]
    for column in columns:
        for number, text in enumerate(column):
            if not isinstance(text, str):
                raise DataError(
                    f"row {number} of {name} is not a text but {text!r}",
                    "drop such rows, or turn them into strings",
                )
        _refuse_surrogates(column, f"row {{}} of {name}")
    if pairs is not None and pairs != (len(columns) == 2):
        given, needed = ("single texts", "pairs") if pairs else ("pairs of texts", "single texts")
        raise DataError(f"{name} holds {given}", f"give {needed}, as in {like}")
    return columns[0], columns[1] if len(columns) == 2 else None


def labelled_split(
    X: Any, y: Any, target: Target, *, name: str = "X", pairs: bool | None = None
) -> TextSplit:
    """Returns X and y as rows.

    Args:
        X: As for `texts_of`.
        y: N labels in the form of `target`.
        target: Form and classes of the labels.
        name: The name of X in messages.
        pairs: As for `texts_of`.

    Raises:
        DataError: X or y has another form than needed, or they differ in length.
    """
    texts, text_pairs = texts_of(X, name, pairs=pairs, like="X")
    labels = target.names(y)
    if len(labels) != len(texts):
        raise DataError(
            f"{name} has {len(texts)} rows and y has {len(labels)}", "give one label for each text"
        )
    return TextSplit(texts, text_pairs, labels)


def validation_split(data: Any, target: Target, *, pairs: bool) -> TextSplit:
    """Returns the argument `validation_data`, a pair of X and y, as rows; see `labelled_split`.

    Raises:
        DataError: It is no pair, or X or y has another form than needed.
    """
    try:
        X, y = data
    except (TypeError, ValueError):
        raise DataError("validation_data is no pair of texts and labels", "give the tuple (X, y)") from None
    return labelled_split(X, y, target, name="X of validation_data", pairs=pairs)


def weights_of(sample_weight: Any, rows: int) -> list[float] | None:
    """Returns the weights of rows as floats; None if none are given.

    Args:
        sample_weight: Numbers (N,), or None.
        rows: The number of rows N.

    Raises:
        DataError: There is not one weight for each row, one is negative or not finite, or all are 0.
    """
    if sample_weight is None:
        return None
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(
            "sample_weight holds values that are no numbers", "give one number for each row"
        ) from None
    if weights.shape != (rows,):
        raise DataError(
            f"sample_weight has the shape {weights.shape} for {rows} rows", "give one number for each row"
        )
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise DataError(
            "sample_weight has negative or infinite numbers, or zeros only", "give numbers of at least 0"
        )
    return weights.tolist()


def _refuse_surrogates(texts: Iterable[str], where: str) -> None:
    """Raises an error for a text with a lone surrogate, which can be neither tokenised nor written as UTF-8."""
    for number, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"{where.format(number)} has half a character (the lone surrogate {text[error.start]!a})",
                "decode the source as UTF-8 without errors='surrogateescape', or drop the character: "
                "text.encode(errors='ignore').decode()",
            ) from None


def _form(y: Any) -> tuple[Form, Any]:
    """Returns the form of y, and its rows: an array, or a list of lists.

    Raises:
        DataError: y is None, has missing values, or texts among other labels.
    """
    if y is None:
        raise DataError("requires y to be passed, but the target y is None", "give a label for each text")
    if is_multilabel(y):
        matrix = y.toarray() if issparse(y) else np.asarray(y)
        if np.isin(matrix, (0, 1)).all():
            return "indicator", matrix
    rows = y if isinstance(y, list | tuple) else np.asarray(y)
    flat = not isinstance(rows, np.ndarray) or rows.ndim == 1
    if flat and len(rows) and all(isinstance(row, list | tuple | set | frozenset) for row in rows):
        lists = [list(row) for row in rows]
        _check_labels([label for row in lists for label in row])
        return "lists", lists
    if flat:
        _check_labels(rows)  # before NumPy turns a NaN or a number among strings into one
    return "classes", column_or_1d(np.asarray(rows), warn=True)


def _check_labels(labels: Sequence[Any] | np.ndarray) -> None:
    for number, label in enumerate(labels):
        if label is None or type(label).__name__ == "NAType" or label != label:
            raise DataError(f"label {number} of y is missing ({label})", "fill it in, or drop the row")
    if len({isinstance(label, str) for label in labels}) > 1:
        raise _several_types()


def _several_types() -> DataError:
    return DataError("the labels in y are of several types", "give all of them the same type")
