from __future__ import annotations

import itertools

import pytest

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.evaluation.decision import Decision
from tellapart.inspection import wrong_words
from tellapart.inspection.confusion import ConfusedPair
from tellapart.inspection.wrong_words import add_words
from tellapart.training.tfidf import TfidfClassifier

LABELS = LabelSpace(("lost", "stolen", "expired"))
PAIRS = [ConfusedPair("lost", "stolen", 2, 0, 0.5), ConfusedPair("expired", "lost", 1, 0, 0.3)]


class _Linear:
    """A TF-IDF model as a run has it."""

    labels, decision, tokenizer, max_length = LABELS, Decision(), None, 0

    def __init__(self) -> None:
        texts = ["my card was lost", "a thief has stolen it", "out of date", "it is missing"] * 3
        names = ["lost", "stolen", "expired", "lost"] * 3
        self.model = TfidfClassifier.fit(TextSplit(texts, labels=names), LABELS, seed=0)

    def tokenised(self, split: TextSplit) -> None:
        return None

    def scores(self, split: TextSplit):
        return self.model.scores(split)


@pytest.fixture(scope="module")
def linear() -> _Linear:
    return _Linear()


def _error(text, gold, predicted):
    return {"text": text, "gold": [gold], "answers": [{"predicted": predicted, "probability": 0.9}]}


def _errors():
    return [
        _error("out of date but lost", "expired", ["lost"]),
        _error("nothing is predicted", "lost", []),
        _error("a thief lost it", "lost", ["stolen"]),
    ]


def test_words_speak_for_the_predicted_or_for_the_gold_class(linear):
    errors = _errors()
    note = add_words(errors, PAIRS, linear, seconds=60)
    words = dict(errors[2]["words"])
    assert words["thief"] > 0 > words["lost"]
    assert "words" not in errors[1]  # no class was added
    assert note.startswith("Words that decide by coefficients of the linear model, exact. ")


def test_the_texts_of_the_most_confused_classes_come_first(linear):
    errors, times = _errors(), itertools.count()
    note = add_words(errors, PAIRS, linear, seconds=2, clock=lambda: float(next(times)))
    assert ["words" in error for error in errors] == [False, False, True]
    assert "for 1 of 2 wrong texts" in note
    assert "--explain-errors" in note


def test_without_time_no_word_is_computed(linear):
    errors = _errors()
    assert add_words(errors, PAIRS, linear, seconds=0) == ""
    assert not any("words" in error for error in errors)


def test_a_failure_is_said_and_does_not_end_the_run(linear, monkeypatch):
    def failing(*_, **__):
        raise RuntimeError("no gradient")

    monkeypatch.setattr(wrong_words, "explain_rows", failing)
    assert add_words(_errors(), PAIRS, linear, seconds=60) == "The words that decide are missing: no gradient"
