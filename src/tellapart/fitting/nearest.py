"""Nearest training texts of wrongly predicted texts, by vectors that know nothing of the training labels.

The encoder is taken as it was before training: training pulls every training text towards its class, so the trained
model's own vectors would only repeat its predictions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
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


@dataclass(frozen=True)
class NearestTexts:
    """Nearest training texts.

    Args:
        by_class: For each wrong text class name to its nearest training texts, the nearest first.
        note: How they were found, and what was left out; for the page.
    """

    by_class: list[dict[str, list[NearText]]]
    note: str


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
    vectors, others, by = _vectors(looked_up, compared, labels, encoder)
    found: list[dict[str, list[NearText]]] = [{} for _ in classes]
    label_sets = compared.label_sets()
    asking_rows, having_rows = _rows_by_class(classes[: len(looked_up)]), _rows_by_class(label_sets)
    for name in sorted(wanted & having_rows.keys()):
        asking, having = asking_rows[name], having_rows[name]
        similarities = vectors[asking] @ others[having].T
        dense = similarities.toarray() if sparse.issparse(similarities) else similarities
        order = np.argsort(-dense, axis=1, kind="stable")[:, :_NEIGHBOURS]
        for place, row in enumerate(asking):
            found[row][name] = [
                {"text": _shown(compared, having[near]), "similarity": round(float(dense[place, near]), 3)}
                for near in order[place]
            ]
    return NearestTexts(found, _note(by, len(wrong), len(rows)))


def _rows_by_class(classes: Sequence[Collection[str]]) -> dict[str, list[int]]:
    """Returns class name to the numbers of the rows that have it, ascending."""
    rows: dict[str, list[int]] = {}
    for row, names in enumerate(classes):
        for name in names:
            rows.setdefault(name, []).append(row)
    return rows


def _vectors(wrong: TextSplit, train: TextSplit, labels: LabelSpace, encoder: str) -> tuple[Any, Any, str]:
    """Returns unit vectors (W, d) and (T, d), and whose they are.

    TF-IDF also serves where the encoder cannot be loaded again, so that a finished run is never lost for its report.
    """
    if encoder not in ("tfidf", *FROM_SCRATCH):
        with contextlib.suppress(TellapartError, torch.OutOfMemoryError):
            pair = _encoder_vectors(wrong, train, labels, encoder)
            return *pair, f"the vectors of {encoder} before training"
    return *word_vectors(wrong, train), "TF-IDF vectors"


def _encoder_vectors(
    wrong: TextSplit, train: TextSplit, labels: LabelSpace, encoder: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns unit vectors (W, d) and (T, d) of the pre-trained encoder."""
    model, tokenizer = load_encoder(encoder, labels), load_tokenizer(encoder)
    model.to(default_device())
    bf16 = use_bf16("auto", model.device)
    length = min(_TOKENS, position_limit(model.config))
    first, second = (
        normalize(represent(model, tokenise(split, tokenizer, max_length=length), bf16=bf16))
        for split in (wrong, train)
    )
    return first, second


def word_vectors(wrong: TextSplit, train: TextSplit) -> tuple[Any, Any]:
    """Returns TF-IDF vectors (W, V) and (T, V) of character n-grams within words, which suit every script."""
    texts = [
        [" ".join(row)[:_CHARACTERS] for row in zip(*split.columns, strict=True)] for split in (wrong, train)
    ]
    try:
        vectoriser = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True).fit(texts[1])
    except ValueError:  # texts without any character
        return np.zeros((len(wrong), 1)), np.zeros((len(train), 1))
    return vectoriser.transform(texts[0]), vectoriser.transform(texts[1])


def _shown(split: TextSplit, row: int) -> str:
    return shorten(" · ".join(column[row] for column in split.columns), _TEXT_LENGTH)


def _note(by: str, wrong: int, train: int) -> str:
    note = f"Nearest training texts by the cosine of {by}"
    if wrong > WRONG_TEXTS:
        note += f", for the first {WRONG_TEXTS:,} of {wrong:,} wrong texts"
    if train > TRAINING_TEXTS:
        note += f", among {TRAINING_TEXTS:,} of {train:,} training texts"
    return note + "."
