from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.data.examples import LabelSpace
from tellapart.errors import UserError
from tellapart.evaluation.abstention import Abstention
from tellapart.evaluation.conformal import ConformalSets
from tellapart.evaluation.decision import Decision
from tellapart.evaluation.metrics import probabilities
from tellapart.evaluation.predictions import added_columns, most_probable, predicted_columns, wrong_rows

LETTERS = LabelSpace(("a", "b", "c"))
LOGITS = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.1, 0.0, 0.0]])


def _listed(columns):
    return {name: column.to_pylist() for name, column in columns.items()}


def test_without_anything_asked_the_columns_are_label_and_probability():
    assert list(added_columns(LETTERS, LOGITS, Decision())) == ["predicted_label", "probability"]
    scores = LabelSpace(("score",), "regression")
    assert list(added_columns(scores, LOGITS[:, :1], Decision())) == ["predicted_score"]


def test_what_is_asked_for_is_added():
    chances = probabilities(LETTERS, LOGITS)
    decision = Decision(abstention=Abstention("margin", 0.2), conformal=ConformalSets(0.9, 0.2))
    found = _listed(added_columns(LETTERS, LOGITS, decision, margin=True, top_k=2))
    assert found["predicted_label"] == found["top_1_label"] == ["a", "c", "a"]
    assert found["second_label"] == found["top_2_label"] == ["b", "b", "b"]
    assert found["margin"] == pytest.approx(
        [chances[0, 0] - chances[0, 1]] * 2 + [chances[2, 0] - chances[2, 1]]
    )
    assert found["top_1_probability"] == found["probability"]
    assert found["top_2_probability"] == pytest.approx(chances[[0, 1, 2], 1].tolist())
    assert found["decision"] == ["accepted", "accepted", "abstained"]
    assert found["prediction_set"] == [["a", "b"], ["c", "b"], ["a", "b", "c"]]
    empty = added_columns(LETTERS, LOGITS[:0], decision, margin=True, top_k=2)
    whole = added_columns(LETTERS, LOGITS, decision, margin=True, top_k=2)
    assert {name: one.type for name, one in empty.items()} == {name: one.type for name, one in whole.items()}


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (LETTERS, {"top_k": 4}, "has 3 classes, and 4 are asked for: ask for fewer"),
        (LabelSpace(("a", "b", "c"), "multi_label_classification"), {"margin": True}, "none is the second"),
        (LabelSpace(("score",), "regression"), {"top_k": 1}, "predicts numbers"),
    ],
)
def test_what_the_task_does_not_have_is_refused(labels, options, message):
    with pytest.raises(UserError, match=message):
        added_columns(labels, LOGITS[:, : len(labels)], Decision(), **options)


def test_several_labels_have_their_most_probable_ones_whatever_the_threshold():
    labels = LabelSpace(("a", "b", "c"), "multi_label_classification")
    found = _listed(added_columns(labels, LOGITS - 5, Decision(), top_k=1))
    assert found["predicted_label"] == [[], [], []]
    assert found["top_1_label"] == ["a", "c", "a"]


def test_wrong_rows_have_their_prediction_and_runner_up():
    labels = LabelSpace(("a", "b", "c"))
    logits = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 3.0, 1.0]])
    wrong = wrong_rows(labels, np.array([0, 0, 2]), logits)
    chances = probabilities(labels, logits)
    assert wrong.rows == [1, 2]
    assert wrong.predicted == [[2], [1]]
    assert wrong.second == [1, 2]
    assert wrong.probability == pytest.approx([chances[1, 2], chances[2, 1]], abs=1e-4)
    assert wrong.second_probability == pytest.approx([chances[1, 1], chances[2, 2]], abs=1e-4)


def test_several_labels_have_the_highest_probability_and_the_first_that_was_left_out():
    labels = LabelSpace(("a", "b", "c"), "multi_label_classification")
    logits = np.array([[2.0, 1.0, -1.0], [-1.0, -2.0, -3.0], [1.0, 1.0, 1.0]])
    gold = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 0]])
    wrong = wrong_rows(labels, gold, logits)
    assert wrong.predicted == [[0, 1], [], [0, 1, 2]]
    assert wrong.second == [2, 0, None]
    assert wrong.probability[1] == 0
    assert wrong.second_probability[2] is None
    _, chances = predicted_columns(labels, logits)
    assert wrong.probability[0] == pytest.approx(max(chances[0]), abs=1e-4)


def test_without_errors_there_are_no_wrong_rows():
    wrong = wrong_rows(LabelSpace(("a",)), np.zeros(3, dtype=int), np.zeros((3, 1)))
    assert wrong.rows == wrong.predicted == wrong.second == []


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_the_columns_of_a_prediction_are_those_that_arrow_makes_of_the_lists(rows):
    labels = LabelSpace(("été", "", "被盗", "a\x00b"))
    logits = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
    names, chances = predicted_columns(labels, logits)
    added = added_columns(labels, logits, Decision())
    assert added["predicted_label"].equals(pa.array(names, pa.string()))
    assert added["probability"].equals(pa.array(chances, pa.float64()))
    for column in added.values():
        column.validate(full=True)


def test_the_column_of_predicted_numbers_is_that_of_the_logits():
    logits = np.array([[1.5, 9.0], [-2.25, 9.0]], dtype=np.float32)[:, :1]
    added = added_columns(LabelSpace(("score",), "regression"), logits, Decision())
    assert added["predicted_score"].equals(pa.array([1.5, -2.25], pa.float64()))


# Halves are equal often, and exact.
ROWS = st.integers(2, 12).flatmap(
    lambda classes: st.lists(
        st.lists(st.integers(-4, 4).map(lambda half: half / 2), min_size=classes, max_size=classes),
        max_size=12,
    ).map(lambda rows: np.array(rows, dtype=np.float32).reshape(-1, classes))
)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(ROWS, st.data())
def test_the_most_probable_classes_are_those_of_a_stable_sort_of_whole_rows(logits, data):
    count = data.draw(st.integers(0, logits.shape[1]))
    expected = [sorted(range(len(row)), key=lambda place: -row[place])[:count] for row in logits.tolist()]
    assert most_probable(logits, count).tolist() == expected


@settings(deadline=None, max_examples=100, derandomize=True)
@given(ROWS, st.sampled_from([0.0, 0.1, 0.3, 0.6, 1.1]))
def test_sets_decisions_and_lists_of_labels_are_those_of_a_loop(logits, threshold):
    names = tuple("abcdefghijkl"[: logits.shape[1]])
    labels, several = LabelSpace(names), LabelSpace(names, "multi_label_classification")
    decision = Decision(abstention=Abstention("margin", threshold), conformal=ConformalSets(0.9, threshold))
    found = added_columns(labels, logits, decision)
    sets, decisions = [], []
    for row, chances in zip(logits.tolist(), probabilities(labels, logits).tolist(), strict=True):
        places = sorted(range(len(row)), key=lambda place: -row[place])
        sets.append([names[place] for place in places if chances[place] >= threshold])
        accepted = chances[places[0]] - chances[places[1]] >= threshold
        decisions.append("accepted" if accepted else "abstained")
    assert found["prediction_set"].equals(pa.array(sets, pa.list_(pa.string())))
    assert found["decision"].equals(pa.array(decisions, pa.string()))

    cuts = tuple(np.linspace(0.3, 0.7, len(names)).tolist())
    lists = added_columns(several, logits, Decision(cuts))
    expected, chances = predicted_columns(several, logits, np.array(cuts))
    assert lists["predicted_label"].equals(pa.array(expected, pa.list_(pa.string())))
    assert lists["probability"].equals(pa.array(chances, pa.list_(pa.float64())))
    for column in (*found.values(), *lists.values()):
        column.validate(full=True)
