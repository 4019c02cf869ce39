"""Training texts of a model, found from its run folder or in a file, and the nearest ones of a text."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from functools import cached_property

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.data.reading.columns import ColumnNames
from tellapart.data.reading.rows import read_task
from tellapart.errors import TellapartError
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.loading import run_folder
from tellapart.fitting.nearest import TrainingVectors, training_vectors
from tellapart.fitting.refit import trained_rows
from tellapart.fitting.rows import load_data
from tellapart.recipes import load_recipe

NEAREST = 5
"""Number of nearest training texts that are shown."""


@dataclass(frozen=True)
class NearestText:
    """A training text near another.

    Args:
        text: The text, on one line of limited length; of a pair both.
        labels: Its labels in the training data, or its number.
        similarity: Cosine of the vectors, −1 to 1.
    """

    text: str
    labels: tuple[str, ...]
    similarity: float


@dataclass(frozen=True, eq=False)
class TrainingTexts:
    """The rows that a model was trained on.

    Args:
        rows: The rows; none if they are unknown.
        labels: The classes of the model.
        encoder: The encoder's name in the recipe; `tfidf` if it is unknown.
        missing: Why there are no rows, as a sentence; empty if there are.
    """

    rows: TextSplit
    labels: LabelSpace
    encoder: str = "tfidf"
    missing: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def _vectors(self) -> TrainingVectors:
        return training_vectors(self.rows, self.labels, self.encoder)

    def nearest(self, row: TextSplit) -> list[NearestText]:
        """Returns the training texts nearest to a split of one row, of any class; the first call takes long."""
        with self._lock:
            vectors = self._vectors
            (found,) = vectors.nearest(row, NEAREST)
        return [
            NearestText(vectors.shown(place), _labels(vectors.rows, place), similarity)
            for place, similarity in found
        ]

    @property
    def note(self) -> str:
        """How texts are compared, as a sentence; after `nearest`."""
        count = len(self._vectors.rows)
        among = f"{count:,}" if count == len(self.rows) else f"{count:,} of {len(self.rows):,}"
        return f"Compared with {among} training texts by the cosine of {self._vectors.by}."

    def equals(self, other: TrainingTexts) -> bool:
        """Whether another model has the same training texts and vectors."""
        return (self.rows, self.encoder, self.missing) == (other.rows, other.encoder, other.missing)


def training_texts(model: str, fitted: Fitted, data: str | None = None) -> TrainingTexts:
    """Reads the training texts of a model.

    Args:
        model: The model, as the user named it.
        fitted: The same, loaded.
        data: The user's source of the rows; None for the one that the recipe of the run names.

    Returns:
        The rows; without any, why not.

    Raises:
        TellapartError: `data` is given and cannot be read.
    """
    folder = run_folder(model)
    try:
        if folder is not None:
            recipe = load_recipe(folder / "recipe.yaml")
            source = data or recipe.data.source
            if source is None:
                return _missing(fitted, "the run was trained on rows in memory")
            recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"source": source})})
            rows = trained_rows(replace(fitted, recipe=recipe), load_data(recipe))
            return TrainingTexts(rows, fitted.labels, recipe.encoder.name)
        if data is None:
            return _missing(fitted, f"{model} is no run folder")
        labels = fitted.labels
        names = fitted.columns or ColumnNames()
        found = read_task(data, names, multi_label=labels.multi_label, regression=labels.regression)
        return TrainingTexts(found.train, labels)
    except TellapartError as error:
        if data is not None:
            raise
        return _missing(fitted, f"the data of the run cannot be read ({error.cause})")


def _missing(fitted: Fitted, reason: str) -> TrainingTexts:
    sentence = f"There are no training texts to compare with, since {reason}; --data FILE names them."
    return TrainingTexts(TextSplit([]), fitted.labels, missing=sentence)


def _labels(rows: TextSplit, place: int) -> tuple[str, ...]:
    if rows.labels is None:
        return ()
    label = rows.labels[place]
    if isinstance(label, list):
        return tuple(label)
    return (label if isinstance(label, str) else f"{label:g}",)
