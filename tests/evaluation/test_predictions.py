from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tellapart.data.examples import LabelSpace
from tellapart.evaluation.metrics import probabilities
from tellapart.evaluation.predictions import added_columns, predicted_columns, wrong_rows


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
    added = added_columns(labels, logits)
    assert added["predicted_label"].equals(pa.array(names, pa.string()))
    assert added["probability"].equals(pa.array(chances, pa.float64()))
    for column in added.values():
        column.validate(full=True)


def test_the_column_of_predicted_numbers_is_that_of_the_logits():
    logits = np.array([[1.5, 9.0], [-2.25, 9.0]], dtype=np.float32)[:, :1]
    added = added_columns(LabelSpace(("score",), "regression"), logits)
    assert added["predicted_score"].equals(pa.array([1.5, -2.25], pa.float64()))
