from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.inspection.word_coefficients import coefficients
from tellapart.inspection.word_pieces import effects_of_words, whole_words
from tellapart.training.tfidf import TfidfClassifier

LABELS = LabelSpace(("a", "b"))
RANDOM = np.random.default_rng(0)


def _model(analyser: str, terms: list[str]) -> TfidfClassifier:
    vocabulary = {term: column for column, term in enumerate(terms)}
    weight, idf = RANDOM.normal(size=(2, len(terms))), RANDOM.uniform(1, 3, len(terms))
    return TfidfClassifier(LABELS, analyser, vocabulary, idf, weight, np.array([0.5, -0.25]))


MODELS = {
    "word": _model("word", ["card", "lost", "my card", "card lost", "straße", "i̇stanbul"]),
    "char": _model("char", ["a", "b", " ", "ab", "b ", " a", "a b", "ς", "i̇"]),
}
_LETTERS = st.sampled_from(
    ["a", "b", "A", " ", "\t", "İ", "Σ", "ß", "card ", "lost ", "my ", "İstanbul ", "."]
)
_TEXTS = st.lists(_LETTERS, max_size=12).map("".join)


def test_single_words_contribute_their_value_times_their_coefficient():
    model = _model("word", ["card", "lost"])
    found = coefficients(model, ["My lost card"], 0, 1)
    words = whole_words(["My lost card"], found.places)
    values = model.vectoriser.transform(["my lost card"]).toarray()[0]
    card, lost = values * (model.weight[0] - model.weight[1])
    assert effects_of_words(words, found) == pytest.approx([0, lost, card])
    assert found.baseline == pytest.approx(0.75)


def test_an_ngram_is_divided_over_its_occurrences_and_words():
    model = _model("word", ["my card"])
    found = coefficients(model, ["my card", "my card"], 1, None)
    assert [place.column for place in found.places] == [0, 0, 1, 1]
    assert found.effects == pytest.approx([model.weight[1, 0] / 4] * 4)


@pytest.mark.parametrize("analyser", MODELS)
@settings(derandomize=True, deadline=None, max_examples=60)
@given(columns=st.one_of(_TEXTS.map(lambda text: [text]), st.lists(_TEXTS, min_size=2, max_size=2)))
def test_the_effects_sum_to_the_output_minus_the_baseline(analyser, columns):
    model = MODELS[analyser]
    found = coefficients(model, columns, 0, 1)
    row = TextSplit(columns[:1], columns[1:] or None)
    first, second = model.scores(row)[0]
    assert found.output == pytest.approx(first - second, abs=1e-5)
    assert math.fsum(found.effects) + found.baseline == pytest.approx(found.output, abs=1e-9)
    words = whole_words(columns, found.places)
    assert math.fsum(effects_of_words(words, found)) == pytest.approx(found.output - found.baseline, abs=1e-9)
