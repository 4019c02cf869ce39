from __future__ import annotations

import numpy as np
import pytest

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.fitting import nearest as module
from tellapart.fitting.nearest import add_nearest, nearest_texts

LABELS = LabelSpace(("expired", "lost", "stolen"))


@pytest.fixture
def train(tickets):
    return TextSplit([text for text, _ in tickets], labels=[label for _, label in tickets])


@pytest.mark.parametrize("encoder", ["tiny", "tfidf"])
def test_a_training_text_is_its_own_nearest_of_its_class(train, tiny_encoder, encoder):
    rows = [0, 70, 150]
    classes = [["lost", "stolen"]] * 3
    name = tiny_encoder if encoder == "tiny" else encoder
    found = nearest_texts(train.select(rows), classes, train, LABELS, name)
    for row, near in zip(rows, found.by_class, strict=True):
        assert set(near) == {"lost", "stolen"}
        assert all(len(texts) == 3 for texts in near.values())
        own = near.get(train.labels[row])
        if own is not None:
            assert (own[0]["text"], own[0]["similarity"]) == (train.texts[row], pytest.approx(1, abs=1e-3))
        for texts in near.values():
            similarities = [text["similarity"] for text in texts]
            assert similarities == sorted(similarities, reverse=True)


def test_the_numbers_of_texts_are_bounded_and_the_bounds_are_said(train, monkeypatch):
    monkeypatch.setattr(module, "WRONG_TEXTS", 2)
    monkeypatch.setattr(module, "TRAINING_TEXTS", 50)
    found = nearest_texts(train.select(range(4)), [["lost"]] * 4, train, LABELS, "tfidf")
    assert [bool(near) for near in found.by_class] == [True, True, False, False]
    assert "for the first 2 of 4 wrong texts, among 50 of 64 training texts." in found.note


def test_the_training_texts_of_several_labels_belong_to_each(train):
    both = TextSplit(["lost and stolen"], labels=[["lost", "stolen"]])
    labels = LabelSpace(LABELS.names, "multi_label_classification")
    found = nearest_texts(TextSplit(["was lost"]), [["lost", "stolen"]], both, labels, "tfidf")
    assert found.by_class[0]["lost"] == found.by_class[0]["stolen"]


def test_a_swapped_label_is_suspect(train):
    answer = {"predicted": ["stolen"], "probability": 0.95, "second": None, "second_probability": None}
    text = train.texts[train.labels.index("stolen")]
    errors = [{"text": text, "gold": ["lost"], "answers": [answer]}]
    assert "TF-IDF" in add_nearest(errors, train, LABELS, "tfidf")
    assert errors[0]["suspect"] is True
    assert add_nearest([], train, LABELS, "tfidf") == ""


def test_texts_without_words_and_classes_without_rows_have_no_neighbours():
    empty = TextSplit(["", " "], labels=["lost", "lost"])
    found = nearest_texts(TextSplit([""]), [["lost", "stolen"]], empty, LABELS, "tfidf")
    assert set(found.by_class[0]) == {"lost"}
    assert np.isfinite(found.by_class[0]["lost"][0]["similarity"])


def test_an_encoder_that_is_gone_is_replaced_by_word_vectors(train, tmp_path):
    found = nearest_texts(TextSplit(["was lost"]), [["lost"]], train, LABELS, str(tmp_path / "gone"))
    assert "lost" in found.by_class[0]["lost"][0]["text"]
    assert "TF-IDF" in found.note
