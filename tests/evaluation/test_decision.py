from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from tellapart.data.examples import LabelSpace
from tellapart.errors import DataError, ModelError
from tellapart.evaluation.abstention import Abstention
from tellapart.evaluation.conformal import ConformalSets
from tellapart.evaluation.decision import (
    DECISION_FILE,
    Decision,
    read_decision,
    threshold_values,
    tuned_thresholds,
    write_decision,
)

TAGS = LabelSpace(("money", "sport"), "multi_label_classification")
STARS = LabelSpace(("bad", "fair", "good"))


@pytest.mark.parametrize(
    "decision",
    [Decision((0.3, 0.7)), Decision(temperature=1.7), Decision((0.2, 1.0), 2.5), Decision(None, 0.5, True)],
)
def test_a_decision_comes_back_from_its_file(tmp_path, decision):
    write_decision(tmp_path, decision, TAGS)
    assert read_decision(tmp_path / DECISION_FILE, TAGS) == (decision, TAGS)


def test_abstention_and_prediction_sets_come_back_and_older_files_have_none(tmp_path):
    path = tmp_path / DECISION_FILE
    decision = Decision(abstention=Abstention("energy", -0.25), conformal=ConformalSets(0.9, 0.0625))
    write_decision(tmp_path, decision, STARS)
    assert read_decision(path, STARS) == (decision, STARS)
    path.write_text(
        '{"temperature": 2.0, "temperature_folded": false}'
    )  # as versions without abstention wrote it
    assert read_decision(path, STARS) == (Decision(temperature=2.0), STARS)


def test_the_order_of_the_classes_comes_back_too(tmp_path):
    ordered = STARS.in_order(["good", "fair", "bad"])
    write_decision(tmp_path, Decision(), ordered)
    assert read_decision(tmp_path / DECISION_FILE, STARS) == (Decision(), ordered)


def test_where_there_is_nothing_to_say_there_is_no_file(tmp_path):
    write_decision(tmp_path, Decision((0.3, 0.7)), TAGS)
    write_decision(tmp_path, Decision(), TAGS)
    assert list(tmp_path.iterdir()) == []


def test_thresholds_stand_under_the_names_of_their_labels(tmp_path):
    write_decision(tmp_path, Decision((0.3, 0.7)), TAGS)
    content = json.loads((tmp_path / DECISION_FILE).read_text())
    assert content["thresholds"] == {"money": 0.3, "sport": 0.7}
    swapped = LabelSpace(("sport", "money"), TAGS.problem_type)
    assert read_decision(tmp_path / DECISION_FILE, swapped)[0].thresholds == (0.7, 0.3)


def test_labels_that_are_left_out_have_one_half():
    assert threshold_values({"sport": 0.2}, TAGS) == (0.5, 0.2)


@pytest.mark.parametrize(
    ("thresholds", "labels", "message"),
    [
        ({"sprot": 0.2}, TAGS, 'did you mean "sport"'),
        ({"sport": 0.0}, TAGS, "is 0.0: give a probability above 0"),
        ({"sport": 1.5}, TAGS, "is 1.5"),
        ({"bad": 0.2}, STARS, "one class each"),
    ],
)
def test_thresholds_that_do_not_fit_are_one_sentence(thresholds, labels, message):
    with pytest.raises(DataError, match=message):
        threshold_values(thresholds, labels)


@pytest.mark.parametrize(
    ("labels", "content", "cause"),
    [
        (TAGS, "{", "Expecting property name"),
        (TAGS, "[]", "no attribute 'get'"),
        (TAGS, '{"temperature": 0}', "the temperature is 0.0"),
        (TAGS, '{"temperature": NaN}', "the temperature is nan"),
        (TAGS, '{"temperature": Infinity}', "the temperature is inf"),
        (TAGS, '{"temperature": "warm"}', "could not convert"),
        (TAGS, f'{{"temperature": 1{"0" * 400}}}', "too large"),
        (TAGS, '{"temperature_folded": "no"}', "temperature_folded is no, not true or false"),
        (TAGS, '{"thresholds": {"sprot": 0.5}}', 'did you mean "sport"'),
        (TAGS, '{"thresholds": {"sport": NaN}}', 'the threshold of "sport" is nan'),
        (TAGS, '{"thresholds": {"sport": Infinity}}', 'the threshold of "sport" is inf'),
        (TAGS, '{"order": ["sport"]}', "order"),
        (TAGS, '{"abstain": {"by": "margin", "threshold": 0.5}}', "are for models with one class per text"),
        (
            TAGS,
            '{"conformal": {"coverage": 0.9, "threshold": 0.5}}',
            "are for models with one class per text",
        ),
        (STARS, '{"abstain": {"by": "mood", "threshold": 0.5}}', "abstains by mood below 0.5"),
        (STARS, '{"abstain": {"by": "margin"}}', "it has no 'threshold'"),
        (STARS, '{"abstain": {"by": "margin", "threshold": NaN}}', "abstains by margin below nan"),
        (STARS, '{"abstain": {"by": "energy", "threshold": -Infinity}}', "abstains by energy below -inf"),
        (STARS, '{"conformal": 0.9}', "not subscriptable"),
        (STARS, '{"conformal": {"coverage": 0.9, "threshold": NaN}}', "a threshold of nan"),
        (STARS, '{"conformal": {"coverage": NaN, "threshold": 0.1}}', "a coverage of nan"),
    ],
)
def test_a_file_that_does_not_fit_the_model_is_refused(tmp_path, labels, content, cause):
    path = tmp_path / DECISION_FILE
    path.write_text(content)
    with pytest.raises(ModelError) as refused:
        read_decision(path, labels)
    assert str(path) in str(refused.value)
    assert cause in str(refused.value)
    assert "\n" not in str(refused.value)


def test_calibrating_divides_once_wherever_the_temperature_is():
    scores = np.array([[2.0, -4.0]], dtype=np.float32)
    beside, inside = Decision(temperature=2.0), Decision(temperature=2.0, folded=True)
    assert beside.calibrated(scores).tolist() == [[1, -2]]
    assert inside.calibrated(scores) is scores
    assert Decision().calibrated(scores) is scores
    for decision in (beside, inside):
        assert decision.uncalibrated(np.array([[1.0, -2.0]])).tolist() == [[2, -4]]
    assert Decision().applied_thresholds == 0.5
    assert Decision((0.3, 0.7)).applied_thresholds.tolist() == [0.3, 0.7]


# Eighths are equal often, and exact.
COLUMNS = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=25)


def _f1(gold: np.ndarray, chances: np.ndarray, threshold: float) -> float:
    return f1_score(gold, chances >= threshold, zero_division=0)


@settings(deadline=None, max_examples=150)
@example([(False, 1), (True, 0)])
@given(COLUMNS)
def test_no_other_threshold_has_a_higher_f1(column):
    gold = np.array([positive for positive, _ in column])
    chances = np.array([eighths / 8 for _, eighths in column])
    threshold = tuned_thresholds(gold[:, None], chances[:, None])[0]
    assert 0 < threshold <= 1
    others = [_f1(gold, chances, other) for other in np.arange(1, 17) / 16]
    if gold.any() and chances[gold].any():
        assert _f1(gold, chances, threshold) >= max(others) - 1e-12
    if _f1(gold, chances, 0.5) >= max(others) - 1e-12:
        assert threshold == 0.5


def test_each_label_has_its_own_and_one_without_a_positive_row_keeps_one_half():
    gold = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]])
    chances = np.array([[0.4, 0.9, 0.9], [0.3, 0.8, 0.1], [0.1, 0.7, 0.2], [0.0, 0.1, 0.3]])
    found = tuned_thresholds(gold, chances)
    np.testing.assert_allclose(found, [0.2, 0.85, 0.5])


def test_rows_of_one_probability_are_not_cut_apart():
    gold, chances = np.array([[1], [0], [1]]), np.array([[0.2], [0.2], [0.1]])
    threshold = tuned_thresholds(gold, chances)[0]
    assert (chances[:, 0] >= threshold).tolist() == [True, True, True]


def test_neighbouring_numbers_can_be_cut_between():
    high = 0.25
    low = np.nextafter(high, 0)
    threshold = tuned_thresholds(np.array([[1], [0]]), np.array([[high], [low]]))[0]
    assert low < threshold <= high


def test_probabilities_that_are_all_0_decide_nothing():
    assert tuned_thresholds(np.array([[1], [0]]), np.zeros((2, 1))).tolist() == [0.5]
