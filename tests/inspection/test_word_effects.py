from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import imread
from scipy.special import logit, softmax

from tellapart.data.examples import SCORE, LabelSpace, TextSplit
from tellapart.errors import DataError, ModelError
from tellapart.inspection.word_effects import save_word_effects, word_effects, word_effects_figure

CLASSES = LabelSpace(("lost", "stolen", "other"))


class Additive:
    """The logits are the sums of the words' weights."""

    def __init__(self, weights: dict[str, tuple[float, ...]], labels: LabelSpace = CLASSES) -> None:
        self.weights, self.labels = weights, labels

    def scores(self, split: TextSplit) -> np.ndarray:
        zero = (0.0,) * len(self.labels)
        rows = [[self.weights.get(word, zero) for word in text.split()] + [zero] for text in split.texts]
        return np.array([np.sum(row, axis=0) for row in rows], dtype=np.float32)


MODEL = Additive({"robbed": (0, 3, 0), "card": (1, 0, 0), "my": (0, -1, 0)})


def test_the_effect_is_the_decrease_of_the_log_odds_without_the_word():
    (found,) = word_effects(MODEL, ["robbed of my card"])
    assert (found.label, found.words) == ("stolen", ("robbed", "of", "my", "card"))

    def odds(*logits: float) -> float:
        return logit(softmax(logits)[1])

    whole = odds(1, 2, 0)
    expected = [whole - odds(1, -1, 0), 0, whole - odds(1, 3, 0), whole - odds(0, 2, 0)]
    assert found.effects == pytest.approx(expected, abs=1e-6)
    assert found.against is None
    assert sum(map(abs, found.weights)) == pytest.approx(1)
    assert found.weights[0] > 0 > found.weights[2]


def test_the_other_model_is_asked_for_the_same_class_in_its_own_order():
    order = LabelSpace(("other", "lost", "stolen"))
    other = Additive({"card": (0, 9, 0), "robbed": (0, 0, 1)}, order)
    (found,) = word_effects(MODEL, ["robbed card"], against=other)
    assert found.label == "stolen"
    assert found.against[0] == pytest.approx(1, abs=1e-3)
    assert found.against[1] < -8  # "card" speaks for "lost" there
    written = found.to_dict()
    assert written["against_weights"] == found.against_weights
    assert written["words"] == ("robbed", "card")


def test_labels_of_a_multi_label_task_and_targets_are_taken_as_they_are():
    tags = LabelSpace(("a", "b"), "multi_label_classification")
    (found,) = word_effects(Additive({"x": (2, 1), "y": (1, 4)}, tags), ["x y"])
    assert (found.label, found.effects) == ("b", (1, 4))
    numbers = LabelSpace((SCORE,), "regression")
    (found,) = word_effects(Additive({"good": (1.5,), "bad": (-2.0,)}, numbers), ["good, bad"])
    assert found.label == SCORE
    assert found.words == ("good", ",", "bad")


def test_letters_of_scripts_without_spaces_are_words():
    (found,) = word_effects(MODEL, ["很不错 card"])
    assert found.words == ("很", "不", "错", "card")


def test_words_without_any_effect_have_no_weight():
    (found,) = word_effects(MODEL, ["nothing known"])
    assert found.weights == (0, 0)


def test_what_cannot_be_explained_is_refused():
    with pytest.raises(DataError, match="no texts"):
        word_effects(MODEL, [])
    with pytest.raises(DataError, match='the text "" has no word'):
        word_effects(MODEL, ["card", "  "])
    with pytest.raises(ModelError, match="different classes"):
        word_effects(MODEL, ["card"], against=Additive({}, LabelSpace(("lost", "found"))))


def test_the_figure_has_a_panel_a_text_and_a_line_a_model(tmp_path):
    texts = ["robbed of my card", "$\\frac card " + "my " * 60]
    effects = word_effects(MODEL, texts, against=Additive({"card": (0, 1, 0)}))
    first, second = word_effects_figure(effects, ("after", "before")).axes
    assert [label.get_text() for label in first.get_xticklabels()] == ["robbed", "of", "my", "card"]
    assert [words.get_text() for words in first.get_legend().texts] == ["after", "before"]
    assert "the first 40 of" in second.get_title(loc="left")
    save_word_effects(effects, tmp_path / "words.png")
    assert imread(tmp_path / "words.png").std() > 0
