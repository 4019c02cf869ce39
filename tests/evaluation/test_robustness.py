from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from tellapart.errors import DataError
from tellapart.evaluation.robustness import Answers, compare_answers, robustness_rows, robustness_sentence
from tellapart.evaluation.significance import paired_share_interval

DESCRIBED = {
    "attack": "swap-synonyms",
    "settings": {"share": 0.1, "seed": 0},
    "model": "runs/tickets",
    "source": "tickets.csv",
    "metric": "accuracy",
}


def _table(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = [both, first, second, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def test_the_interval_of_paired_shares_is_that_of_newcombe():
    # Newcombe 1998, Statistics in Medicine 17, 2635: method 10 on 36, 12, 2, 0
    before, after = _table(36, 12, 2, 0)
    assert paired_share_interval(after, before) == pytest.approx((0.0569, 0.3404), abs=5e-5)
    low, high = paired_share_interval(before, after)
    assert (low, high) == pytest.approx((-0.3404, -0.0569), abs=5e-5)


@pytest.mark.parametrize("shares", [(0.7, 0.1, 0.05, 0.15), (0.4, 0.25, 0.15, 0.2), (0.9, 0.06, 0.01, 0.03)])
def test_the_interval_holds_the_true_difference_as_often_as_it_says(shares):
    random = np.random.default_rng(0)
    truth = shares[2] - shares[1]
    held = 0
    for counts in random.multinomial(80, shares, size=600):
        low, high = paired_share_interval(*_table(*counts))
        held += low <= truth <= high
    assert held / 600 > 0.925


def test_without_a_flip_the_interval_still_has_a_width():
    for counts in ((20, 0, 0, 0), (0, 0, 0, 20), (10, 0, 0, 10)):
        low, high = paired_share_interval(*_table(*counts))
        assert low < 0 < high
        assert low >= -1
        assert high <= 1


@pytest.fixture
def result():
    before = np.array([True, True, True, False, False])
    after = np.array([False, False, True, True, False])
    return compare_answers(
        Answers([f"text {row}" for row in range(5)], list("aaabb"), before, {"accuracy": 0.6}),
        Answers([f"made {row}" for row in range(5)], list("bcaac"), after, {"accuracy": 0.4}),
        list("aaaaa"),
        [2, 1, 0, 3, 0],
        **DESCRIBED,
    )


def test_answers_are_held_against_those_to_the_same_rows(result):
    assert (result.rows, result.changed_rows, result.changes) == (5, 3, 6)
    assert (result.before, result.after, result.difference) == (0.6, 0.4, pytest.approx(-0.2))
    assert result.interval[0] < -0.2 < result.interval[1]
    assert (result.flips.lost, result.flips.gained) == (2, 1)
    assert result.flips.p_value == stats.binomtest(1, 3).pvalue
    assert [row.original for row in result.became_wrong] == ["text 0", "text 1"]
    (gained,) = result.became_right
    assert (gained.transformed, gained.gold, gained.before, gained.after) == ("made 3", "a", "b", "a")
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert content["schema_version"] == 1
    assert content["flips"]["lost"] == 2


def test_the_table_and_the_sentence_say_it(result):
    header, changed, every = robustness_rows(result)
    assert header == ["", "rows", "accuracy (%)", "after", "difference", "95 % interval"]
    assert changed[:-1] == ["changed rows", "3", "66.67", "33.33", "-33.33"]
    assert every[:-1] == ["all rows", "5", "60.00", "40.00", "-20.00"]
    assert robustness_sentence(result) == (
        "2 correct answers became wrong and 1 wrong ones correct (McNemar p = 1); 2 of 5 rows are unchanged."
    )


def test_rows_that_the_attack_leaves_do_not_dilute_its_effect():
    """10 of 100 rows are changed, and 4 of these become wrong: -40 points there, -4 over all rows."""
    changes = np.repeat([1, 0], [10, 90])
    right, less_right = np.ones(100, dtype=bool), np.arange(100) >= 4
    texts = ["text"] * 100
    result = compare_answers(
        Answers(texts, texts, right, {}), Answers(texts, texts, less_right, {}), texts, changes, **DESCRIBED
    )
    assert (result.changed.before, result.changed.after) == (1.0, 0.6)
    assert result.changed.interval == paired_share_interval(right[:10], less_right[:10])
    _, first, second = robustness_rows(result)
    assert (first[0], first[1], first[4]) == ("changed rows", "10", "-40.00")
    assert (second[0], second[1], second[4]) == ("all rows", "100", "-4.00")
    assert result.to_dict()["changed"]["difference"] == pytest.approx(-0.4)


def test_an_attack_that_changes_nothing_has_no_changed_rows():
    right, texts = np.ones(3, dtype=bool), ["text"] * 3
    answers = Answers(texts, texts, right, {})
    result = compare_answers(answers, answers, texts, [0, 0, 0], **DESCRIBED)
    assert result.changed is None
    assert [row[0] for row in robustness_rows(result)] == ["", "all rows"]


def test_no_rows_are_refused():
    empty = Answers([], [], np.array([], dtype=bool), {})
    with pytest.raises(DataError, match=r"tickets\.csv has no rows"):
        compare_answers(empty, empty, [], [], **DESCRIBED)
