"""Nearest training texts of a text, by vectors that know nothing of the training labels.

The encoder is taken as it was before training: training pulls every training text towards its class, so the trained
model's own vectors would only repeat its predictions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.data.splits import sample
from tellapart.encoders.loading import load_encoder, load_tokenizer
from tellapart.encoders.precision import default_device, use_bf16
from tellapart.encoders.resolve import FROM_SCRATCH
from tellapart.encoders.scoring import represent
from tellapart.encoders.transformer import position_limit
from tellapart.errors import TellapartError
from tellapart.inspection.page import shorten
from tellapart.inspection.workbench import NearText, WrongText, confused_classes, is_suspect

WRONG_TEXTS, TRAINING_TEXTS = 2_000, 10_000
"""Largest numbers of texts for which vectors are computed."""

_TOKENS, _CHARACTERS = 128, 1000  # per text; enough to find similar texts, and fast for long ones
_NEIGHBOURS = 3
_TEXT_LENGTH = 300  # characters of a shown training text
_TFIDF = "TF-IDF vectors"


@dataclass(frozen=True)
class NearestTexts:
    """Nearest training texts.

    Args:
        by_class: For each wrong text class name to its nearest training texts, the nearest first.
        note: How they were found, and what was left out; for the page.
    """

    by_class: list[dict[str, list[NearText]]]
    note: str


@dataclass(frozen=True)
class TrainingVectors:
    """Training rows and their vectors, with which texts are compared.

    Args:
        rows: The T rows.
        vectors: Their unit vectors (T, d), an array or a sparse matrix.
        embed: Computes unit vectors (N, d) of N other rows.
        by: Whose vectors they are, for messages.
    """

    rows: TextSplit
    vectors: Any
    embed: Callable[[TextSplit], Any]
    by: str

    def nearest(self, split: TextSplit, count: int) -> list[list[tuple[int, float]]]:
        """Returns for each row of a split the numbers and the cosines of its nearest rows, the nearest first."""
        similarities = _dense(self.embed(split) @ self.vectors.T)
        order = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
        return [
            [(int(near), float(row[near])) for near in nearest]
            for row, nearest in zip(similarities, order, strict=True)
        ]

    def shown(self, row: int) -> str:
        """Returns a row as one line of limited length."""
        return _shown(self.rows, row)


def add_nearest(errors: Sequence[WrongText], train: TextSplit, labels: LabelSpace, encoder: str) -> str:
    """Adds to each wrong text its nearest training texts and whether its label is suspect.

    Args:
        errors: The wrong texts, the most important first; changed in place.
        train: The labelled training rows.
        labels: All classes.
        encoder: The encoder's name in the recipe.

    Returns:
        How the texts were found, and what was left out; empty without wrong texts.
    """
    pairs = [error["text_pair"] for error in errors] if train.text_pairs is not None else None
    wrong = TextSplit([error["text"] for error in errors], pairs)
    found = nearest_texts(wrong, [confused_classes(error) for error in errors], train, labels, encoder)
    for error, near in zip(errors, found.by_class, strict=True):
        if near:
            error["nearest"] = near
            error["suspect"] = is_suspect(error)
    return found.note


def nearest_texts(
    wrong: TextSplit, classes: Sequence[Sequence[str]], train: TextSplit, labels: LabelSpace, encoder: str
) -> NearestTexts:
    """Finds for each wrong text the most similar training texts of some classes.

    Vectors are those of the pre-trained encoder; for encoders trained from scratch and for `tfidf`, which have none,
    TF-IDF vectors. Texts beyond `WRONG_TEXTS` get none, and of many training texts a seeded sample is compared.

    Args:
        wrong: The W wrong texts, the most important first.
        classes: For each of them the names of the classes to search.
        train: The labelled training rows.
        labels: All classes.
        encoder: The encoder's name in the recipe.
    """
    if not len(wrong) or not len(train):
        return NearestTexts([{} for _ in classes], "")
    looked_up = wrong.select(range(min(len(wrong), WRONG_TEXTS)))
    wanted = {name for names in classes[: len(looked_up)] for name in names}
    rows = [row for row, names in enumerate(train.label_sets()) if names & wanted]
    compared = sample(replace(train.select(rows), question_ids=None), TRAINING_TEXTS)
    train_vectors, vectors = _compared(looked_up, compared, labels, encoder)
    others = train_vectors.vectors
    found: list[dict[str, list[NearText]]] = [{} for _ in classes]
    label_sets = compared.label_sets()
    asking_rows, having_rows = _rows_by_class(classes[: len(looked_up)]), _rows_by_class(label_sets)
    for name in sorted(wanted & having_rows.keys()):
        asking, having = asking_rows[name], having_rows[name]
        dense = _dense(vectors[asking] @ others[having].T)
        order = np.argsort(-dense, axis=1, kind="stable")[:, :_NEIGHBOURS]
        for place, row in enumerate(asking):
            found[row][name] = [
                {"text": _shown(compared, having[near]), "similarity": round(float(dense[place, near]), 3)}
                for near in order[place]
            ]
    return NearestTexts(found, _note(train_vectors.by, len(wrong), len(rows)))


def _rows_by_class(classes: Sequence[Collection[str]]) -> dict[str, list[int]]:
    """Returns class name to the numbers of the rows that have it, ascending."""
    rows: dict[str, list[int]] = {}
    for row, names in enumerate(classes):
        for name in names:
            rows.setdefault(name, []).append(row)
    return rows


def training_vectors(train: TextSplit, labels: LabelSpace, encoder: str) -> TrainingVectors:
    """Computes the vectors of training rows; of many rows those of a seeded sample.

    TF-IDF serves where the encoder has none, or cannot be loaded again.

    Args:
        train: The labelled training rows, at least one.
        labels: All classes.
        encoder: The encoder's name in the recipe.
    """
    rows = sample(replace(train, question_ids=None), TRAINING_TEXTS)
    if encoder not in ("tfidf", *FROM_SCRATCH):
        with contextlib.suppress(TellapartError, torch.OutOfMemoryError):
            embed = _encoder_vectors(labels, encoder)
            return TrainingVectors(rows, embed(rows), embed, f"the vectors of {encoder} before training")
    return _word_vectors(rows)


def _compared(
    wrong: TextSplit, train: TextSplit, labels: LabelSpace, encoder: str
) -> tuple[TrainingVectors, Any]:
    """Returns the training rows with their vectors, and the unit vectors (W, d) of the wrong texts.

    A finished run is never lost for its report: texts for which memory does not suffice are compared by TF-IDF.
    """
    found = training_vectors(train, labels, encoder)
    try:
        return found, found.embed(wrong)
    except (TellapartError, torch.OutOfMemoryError):
        found = _word_vectors(train)
        return found, found.embed(wrong)


def _encoder_vectors(labels: LabelSpace, encoder: str) -> Callable[[TextSplit], np.ndarray]:
    """Returns a function that computes unit vectors (N, d) by the pre-trained encoder."""
    model, tokenizer = load_encoder(encoder, labels), load_tokenizer(encoder)
    model.to(default_device())
    bf16 = use_bf16("auto", model.device)
    length = min(_TOKENS, position_limit(model.config))

    def embed(split: TextSplit) -> np.ndarray:
        return normalize(represent(model, tokenise(split, tokenizer, max_length=length), bf16=bf16))

    return embed


def _word_vectors(train: TextSplit) -> TrainingVectors:
    """Returns TF-IDF vectors of character n-grams within words, which suit every script."""
    texts = _cut_texts(train)
    try:
        vectoriser = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True).fit(texts)
    except ValueError:  # texts without any character
        return TrainingVectors(
            train, np.zeros((len(train), 1)), lambda split: np.zeros((len(split), 1)), _TFIDF
        )
    return TrainingVectors(
        train, vectoriser.transform(texts), lambda split: vectoriser.transform(_cut_texts(split)), _TFIDF
    )


def word_vectors(wrong: TextSplit, train: TextSplit) -> tuple[Any, Any]:
    """Returns TF-IDF vectors (W, V) and (T, V) of character n-grams; see `_word_vectors`."""
    found = _word_vectors(train)
    return found.embed(wrong), found.vectors


def _cut_texts(split: TextSplit) -> list[str]:
    return [" ".join(row)[:_CHARACTERS] for row in zip(*split.columns, strict=True)]


def _dense(similarities: Any) -> np.ndarray:
    return similarities.toarray() if sparse.issparse(similarities) else similarities


def _shown(split: TextSplit, row: int) -> str:
    return shorten(" · ".join(column[row] for column in split.columns), _TEXT_LENGTH)


def _note(by: str, wrong: int, train: int) -> str:
    note = f"Nearest training texts by the cosine of {by}"
    if wrong > WRONG_TEXTS:
        note += f", for the first {WRONG_TEXTS:,} of {wrong:,} wrong texts"
    if train > TRAINING_TEXTS:
        note += f", among {TRAINING_TEXTS:,} of {train:,} training texts"
    return note + "."
