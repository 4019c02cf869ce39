from __future__ import annotations

import numpy as np
import pytest

from tellapart.data.examples import LabelSpace
from tellapart.evaluation.metrics import probabilities
from tellapart.evaluation.predictions import predicted_columns, wrong_rows


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
