from __future__ import annotations

import csv

import numpy as np
import pytest

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.data.reading.tables import read_table
from tellapart.evaluation.abstention import Abstention
from tellapart.evaluation.conformal import ConformalSets
from tellapart.evaluation.decision import Decision
from tellapart.playground.model import load_model
from tellapart.runs.explain import explain
from tellapart.runs.predict import predict

TEXTS = [
    "my card was stolen by a thief",
    "lost",
    "it ends, perhaps",
    "her credit card is missing since monday",
]


@pytest.fixture(params=["run", "checkpoint"])
def model(request):
    return request.getfixturevalue(request.param)


def test_answers_are_those_of_predict(model, tmp_path):
    with (tmp_path / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in TEXTS)])
    predict(model, tmp_path / "texts.csv", tmp_path / "out.parquet", top_k=2, quiet=True)
    loaded = load_model(str(model))
    for text, row in zip(TEXTS, read_table(tmp_path / "out.parquet").to_pylist(), strict=True):
        answer = loaded.answer(TextSplit([text]), 2)
        assert list(answer.columns) == [name for name in row if name != "text"]
        for name, value in answer.columns.items():
            assert value == (pytest.approx(row[name], abs=1e-5) if isinstance(value, float) else row[name])
        assert answer.labels == [row["predicted_label"]]
        assert [chance.label for chance in answer.chances] == [row["top_1_label"], row["top_2_label"]]
        assert answer.state == row.get("decision")


def test_words_are_those_of_explain(model):
    pytest.importorskip("captum")
    loaded = load_model(str(model))
    for text, expected in zip(TEXTS, explain(model, TEXTS), strict=True):
        found = loaded.words(TextSplit([text]))
        assert (found.words, found.label, found.against) == (expected.words, expected.label, expected.against)
        np.testing.assert_allclose(found.effects, expected.effects, atol=1e-4)


@pytest.mark.parametrize(
    ("by", "low", "high", "words"),
    [
        ("probability", 0.01, 1.01, "the highest probability, "),
        ("margin", -1, 1.01, "the margin between the two highest probabilities, "),
        ("energy", -1e6, 1e6, "the energy score, "),
    ],
)
def test_the_decision_names_the_score_and_the_threshold(asked, by, low, high, words):
    for threshold, state, verb in ((low, "accepted", "decides"), (high, "abstained", "does not decide")):
        answer = asked(decision=Decision(abstention=Abstention(by, threshold))).answer(TextSplit(["lost"]), 1)
        assert answer.state == state
        assert answer.decision.startswith(f"The model {verb}: {words}")
        assert answer.decision.endswith(f"threshold of {threshold:.3f}.")


def test_several_labels_have_a_threshold_each(asked):
    labels = LabelSpace(("expired", "lost", "stolen"), "multi_label_classification")
    model = asked(labels, Decision(thresholds=(1e-9, 1.0, 0.4)))
    answer = model.answer(TextSplit(["lost"]), 9)
    thresholds = dict(zip(labels.names, (1e-9, 1.0, 0.4), strict=True))
    assert {chance.label: chance.threshold for chance in answer.chances} == thresholds
    assert all(chance.predicted == (chance.probability >= chance.threshold) for chance in answer.chances)
    assert (
        set(answer.labels) == {chance.label for chance in answer.chances if chance.predicted} >= {"expired"}
    )


def test_a_number_has_no_classes_and_a_set_its_members(asked):
    answer = asked(LabelSpace(("score",), "regression")).answer(TextSplit(["lost"]), 5)
    assert (answer.chances, answer.labels, list(answer.columns)) == ([], [], ["predicted_score"])
    answer = asked(decision=Decision(conformal=ConformalSets(0.9, 0.0))).answer(TextSplit(["lost"]), 1)
    assert len(answer.prediction_set) == 3
