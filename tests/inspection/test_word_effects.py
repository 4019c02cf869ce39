from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tellapart.data.examples import SCORE, LabelSpace, TextSplit
from tellapart.errors import DataError, MissingDependencyError, ModelError, TellapartWarning
from tellapart.evaluation.decision import Decision
from tellapart.inspection import word_effects as module
from tellapart.inspection.word_effects import explain_rows, word_effects
from tellapart.training.tfidf import TfidfClassifier

CLASSES = LabelSpace(("lost", "stolen", "other"))


class Additive:
    """The logits are the sums of the words' weights; without gradients, as an export."""

    model = SimpleNamespace()
    tokenizer = None
    max_length = 0
    decision = Decision()

    def __init__(self, weights: dict[str, tuple[float, ...]], labels: LabelSpace = CLASSES) -> None:
        self.weights, self.labels = weights, labels

    def tokenised(self, split: TextSplit) -> None:
        return None

    def scores(self, split: TextSplit) -> np.ndarray:
        zero = (0.0,) * len(self.labels)
        rows = [
            [self.weights.get(word, zero) for text in row for word in text.split()] + [zero]
            for row in zip(*split.columns, strict=True)
        ]
        return np.array([np.sum(row, axis=0) for row in rows], dtype=np.float32)


MODEL = Additive({"robbed": (0, 3, 0), "card": (1, 0, 0), "my": (0, -1, 0)})


def _explain(model, texts, other=None, **options):
    return word_effects(model, texts, other, attribution="occlusion", **options)


def test_the_effect_is_the_decrease_of_the_logit_difference_without_the_word():
    (found,) = _explain(MODEL, ["robbed of my card"])
    assert (found.label, found.against) == ("stolen", "lost")
    assert found.words == ("robbed", "of", "my", "card")
    assert found.effects == (3, 0, -1, -1)
    assert (found.output, found.baseline, found.error) == (1, None, None)
    assert found.weights == (0.6, 0, -0.2, -0.2)
    (found,) = _explain(MODEL, ["robbed of my card"], against="other")
    assert (found.label, found.against, found.effects) == ("stolen", "other", (3, 0, -1, 0))
    (found,) = _explain(MODEL, ["robbed of my card"], label="lost")
    assert (found.label, found.against, found.effects) == ("lost", "stolen", (-3, 0, 1, 1))


def test_words_of_both_texts_of_a_pair_have_effects():
    (found,) = _explain(MODEL, TextSplit(["my card"], ["robbed , card"]))
    assert found.words == ("my", "card", "robbed", ",", "card")
    assert (found.label, found.effects) == ("lost", (1, 1, -3, 0, 1))
    assert [place.column for place in found.places] == [0, 0, 1, 1, 1]


def test_the_other_model_is_asked_for_the_same_classes_in_its_own_order():
    order = LabelSpace(("other", "lost", "stolen"))
    other = Additive({"card": (0, 9, 0), "robbed": (0, 0, 1)}, order)
    (found,) = _explain(MODEL, ["robbed card"], other)
    assert (found.label, found.against) == ("stolen", "lost")
    assert found.other_effects == (1, -9)
    written = found.to_dict()
    assert written["other_weights"] == (0.1, -0.9)
    assert written["words"] == ("robbed", "card")


def test_a_multi_label_task_has_one_logit_and_regression_its_output():
    tags = LabelSpace(("a", "b"), "multi_label_classification")
    model = Additive({"x": (2, 1), "y": (1, 4)}, tags)
    (found,) = _explain(model, ["x y"])
    assert (found.label, found.against, found.effects) == ("b", None, (1, 4))
    (found,) = _explain(model, ["x y"], label="a", against="b")
    assert (found.label, found.against, found.effects) == ("a", "b", (1, -3))
    numbers = LabelSpace((SCORE,), "regression")
    (found,) = _explain(Additive({"good": (1.5,), "bad": (-2.0,)}, numbers), ["good, bad"])
    assert (found.label, found.against) == (SCORE, None)
    assert found.words == ("good", ",", "bad")
    with pytest.raises(DataError, match="no classes"):
        _explain(Additive({}, numbers), ["good"], against="bad")


def test_letters_of_scripts_without_spaces_are_words():
    (found,) = _explain(MODEL, ["很不错 card"])
    assert found.words == ("很", "不", "错", "card")


def test_words_without_any_effect_have_no_weight():
    (found,) = _explain(MODEL, ["nothing known"])
    assert found.weights == (0, 0)


def test_what_cannot_be_explained_is_refused():
    with pytest.raises(DataError, match="no texts"):
        _explain(MODEL, [])
    with pytest.raises(DataError, match='the text "" has no word'):
        _explain(MODEL, ["", "  "])
    with pytest.raises(ModelError, match="different classes"):
        _explain(MODEL, ["card"], Additive({}, LabelSpace(("lost", "found"))))
    with pytest.raises(DataError, match=r'no class "stole" \(did you mean "stolen"\?\)'):
        _explain(MODEL, ["card"], against="stole")
    with pytest.raises(DataError, match='predicted as "lost"'):
        _explain(MODEL, ["card"], against="lost")
    with pytest.raises(DataError, match="compared with itself"):
        _explain(MODEL, ["card"], label="lost", against="lost")


def test_of_several_texts_those_of_the_class_to_compare_with_are_explained_against_the_next():
    with pytest.warns(TellapartWarning, match='1 of 2 texts are predicted as "lost"'):
        first, second = _explain(MODEL, ["card", "robbed"], against="lost")
    assert (first.label, first.against) == ("lost", "stolen")
    assert (second.label, second.against) == ("stolen", "lost")


def test_a_text_without_words_among_others_has_no_effects():
    first, second = _explain(MODEL, ["card", " "])
    assert len(first.words) == 1
    assert (second.words, second.effects) == ((), ())


def test_a_model_without_gradients_is_refused_with_the_reason_unless_occlusion_is_asked_for():
    with pytest.raises(ModelError, match=r"exported model has no gradients.*exported from.*occlusion"):
        word_effects(MODEL, ["card"])
    with pytest.raises(ModelError, match="only a tfidf model"):
        word_effects(MODEL, ["card"], attribution="coefficients")


def test_without_captum_words_are_left_out_instead_and_that_is_said(monkeypatch):
    monkeypatch.setattr(module, "has_captum", lambda: False)
    model = Additive({"card": (1, 0, 0)})
    model.model = module.nn.Identity()
    with pytest.warns(TellapartWarning, match=r"captum is not installed \(extra explain\)"):
        (found,) = word_effects(model, ["card"])
    assert found.attribution == "occlusion"
    with pytest.raises(MissingDependencyError, match="captum"):
        word_effects(model, ["card"], attribution="gradients")


@pytest.fixture(scope="module")
def linear(tickets):
    texts, labels = map(list, zip(*tickets, strict=True))
    names = LabelSpace(("expired", "lost", "stolen"))
    scorer = TfidfClassifier.fit(TextSplit(texts, labels=labels), names)
    return SimpleNamespace(
        model=scorer, labels=names, scores=scorer.scores, decision=Decision(temperature=2.0)
    )


def test_effects_are_those_on_calibrated_logits(linear):
    (half,) = word_effects(linear, ["my card was stolen"], label="stolen", against="lost")
    linear.decision = Decision()
    (whole,) = word_effects(linear, ["my card was stolen"], label="stolen", against="lost")
    assert half.attribution == "coefficients"
    assert half.effects == pytest.approx([effect / 2 for effect in whole.effects])
    with pytest.raises(ModelError, match="tfidf model has no gradients"):
        word_effects(linear, ["card"], attribution="gradients")


def test_rows_of_a_page_are_explained_until_the_time_is_over(linear):
    times = iter([0.0, 1.0, 2.0, 9.0])
    texts = ["my card was stolen", "", "it is missing", "it is out of date"]
    found = explain_rows(
        linear,
        texts,
        ["stolen", "lost", "lost", "expired"],
        ["lost", "stolen", None, "lost"],
        seconds=5,
        clock=lambda: next(times),
    )
    assert found[0].words == ("my", "card", "was", "stolen")
    assert max(zip(found[0].effects, found[0].words, strict=True))[1] == "stolen"
    assert [one.words for one in found[1:]] == [()]  # no words, then no time
