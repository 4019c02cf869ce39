from __future__ import annotations

import numpy as np
import pytest

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.errors import DataError, ModelError, TellapartWarning
from tellapart.training import tfidf as module
from tellapart.training.tfidf import TfidfClassifier

TEXTS = ["pay the bill", "the bill is wrong", "send my money back", "money back please"] * 3


@pytest.mark.parametrize("classes", [("bill", "refund"), ("bill", "never", "refund")])
def test_it_learns_and_comes_back_from_disk_the_same(tmp_path, classes):
    labels = LabelSpace(classes)
    split = TextSplit(TEXTS, labels=["bill", "bill", "refund", "refund"] * 3)
    fitted = TfidfClassifier.fit(split, labels)
    scores = fitted.scores(split)
    assert scores.shape == (12, len(classes))
    assert [classes[row] for row in scores.argmax(1)] == split.labels
    fitted.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"tfidf.json", "tfidf.safetensors"}
    loaded = TfidfClassifier.load(tmp_path)
    assert loaded.labels == labels
    np.testing.assert_array_equal(loaded.scores(split), scores)


def test_several_labels_and_constant_ones():
    labels = LabelSpace(("always", "bill", "never", "refund"), "multi_label_classification")
    split = TextSplit(
        TEXTS, labels=[["always", "bill"], ["always", "bill"], ["always", "refund"], ["always", "refund"]] * 3
    )
    scores = TfidfClassifier.fit(split, labels).scores(split)
    np.testing.assert_array_equal(scores > 0, labels.encode(split.labels) > 0)


def test_scripts_without_spaces_are_read_by_characters():
    labels = LabelSpace(("咳", "熱"))
    split = TextSplit(["咳が出る", "咳がひどい", "熱が高い", "熱が出た"], labels=["咳", "咳", "熱", "熱"])
    fitted = TfidfClassifier.fit(split, labels)
    assert fitted.analyser == "char"
    assert fitted.scores(TextSplit(["熱です"])).argmax(1).tolist() == [1]


def test_second_texts_count():
    split = TextSplit(["a word", "a word"] * 3, ["left", "right"] * 3, ["x", "y"] * 3)
    assert TfidfClassifier.fit(split, LabelSpace(("x", "y"))).scores(split).argmax(1).tolist() == [0, 1] * 3


def test_texts_without_words_and_broken_files_are_one_sentence(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no words"):
        TfidfClassifier.fit(TextSplit(["!", "?"], labels=["x", "y"]), LabelSpace(("x", "y")))
    (tmp_path / "tfidf.json").write_text("{}")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ModelError, match=r"no permission to read .*tfidf\.json"):
        TfidfClassifier.load(tmp_path)
    monkeypatch.undo()
    with pytest.raises(ModelError, match="train it again"):
        TfidfClassifier.load(tmp_path)


def test_with_many_classes_the_rarest_terms_are_left_out_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MANY_CLASSES", 1)
    monkeypatch.setattr(module, "MOST_WEIGHTS", 2 * 5)
    labels = LabelSpace(("bill", "refund"))
    split = TextSplit(TEXTS, labels=["bill", "bill", "refund", "refund"] * 3)
    with pytest.warns(TellapartWarning, match="2 classes, tfidf uses the 5 most frequent terms"):
        fitted = TfidfClassifier.fit(split, labels)
    assert fitted.weight.shape == (2, 5)
    assert fitted.weight.dtype == np.float32
    assert fitted.vectoriser.vocabulary_.keys() < {"bill", "the", "the bill", "money", "back", "money back"}
    scores = fitted.scores(split)
    assert [labels.names[row] for row in scores.argmax(1)] == split.labels
    fitted.save(tmp_path)
    np.testing.assert_array_equal(TfidfClassifier.load(tmp_path).scores(split), scores)
