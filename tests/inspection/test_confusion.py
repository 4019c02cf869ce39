from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from tellapart.data.examples import LabelSpace
from tellapart.inspection.confusion import (
    ConfusedPair,
    confusion_matrix,
    look_alike_classes,
    most_confused_pairs,
    row_shares,
)

THREE = LabelSpace(("a", "b", "c"))
TAGS = LabelSpace(("a", "b", "c"), "multi_label_classification")


def test_classes_that_do_not_occur_keep_their_row_and_column():
    matrix = confusion_matrix(THREE, np.array([0, 0, 1]), np.array([0, 1, 1]))
    assert matrix.toarray().tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_multi_label_rows_count_missed_against_wrongly_added_labels():
    gold = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1]], dtype=np.float32)
    predicted = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 1]])
    # Row 0: a found, b missed, c added. Row 1: a missed, b and c added. Row 2: c found.
    assert confusion_matrix(TAGS, gold, predicted).toarray().tolist() == [[1, 1, 1], [0, 0, 1], [0, 0, 1]]


def test_pairs_count_both_directions_and_the_share_of_both_classes():
    matrix = np.array([[6, 3, 1], [1, 9, 0], [0, 2, 8]])
    pairs = most_confused_pairs(matrix, "abc")
    assert pairs == [
        ConfusedPair("a", "b", 3, 1, 4 / 20),
        ConfusedPair("b", "c", 0, 2, 2 / 20),
        ConfusedPair("a", "c", 1, 0, 1 / 20),
    ]
    assert pairs[0].errors == 4
    assert most_confused_pairs(matrix, "abc", top=1) == pairs[:1]


def test_of_equal_counts_the_rarer_classes_come_first():
    matrix = np.array([[90, 2, 0, 0], [0, 90, 0, 0], [0, 0, 3, 2], [0, 0, 0, 3]])
    assert [(pair.a, pair.b) for pair in most_confused_pairs(matrix, "abcd")] == [("c", "d"), ("a", "b")]


def test_no_errors_give_no_pairs():
    assert most_confused_pairs(np.diag([3, 4]), "ab") == []


def test_row_shares_leave_empty_rows_at_zero():
    assert row_shares(np.array([[3, 1], [0, 0]]), np.arange(2)).tolist() == [[0.75, 0.25], [0, 0]]


def test_all_classes_keep_their_order_if_there_is_room():
    assert look_alike_classes(np.array([[1, 0, 5], [0, 1, 0], [5, 0, 1]]), top=3).tolist() == [0, 1, 2]


def test_of_many_classes_the_most_confused_are_chosen_and_stand_side_by_side():
    matrix = 50 * np.eye(10, dtype=int)
    for a, b in ((0, 8), (3, 6)):
        matrix[a, b] = 9
    chosen = look_alike_classes(matrix, top=4).tolist()
    assert sorted(chosen) == [0, 3, 6, 8]
    assert {frozenset(chosen[:2]), frozenset(chosen[2:])} == {frozenset((0, 8)), frozenset((3, 6))}
    assert look_alike_classes(matrix, top=1).tolist() == [0]


def test_both_classes_of_a_top_pair_are_chosen_although_others_have_more_errors_in_all():
    """Class 0 is confused with many classes a little; the pair (8, 9) has the most errors of all pairs."""
    matrix = 100 * np.eye(10, dtype=int)
    matrix[0, 1:8] = 5
    matrix[1:8, 0] = 5
    matrix[1, 2:5] = 4  # classes 1 to 4 have larger sums than 9
    matrix[8, 9] = 13
    assert {8, 9} <= set(look_alike_classes(matrix, top=3).tolist())
    assert {8, 9} <= set(look_alike_classes(matrix, top=2).tolist())


@settings(deadline=None, max_examples=60, derandomize=True)
@given(arrays(np.int64, (12, 12), elements=st.integers(0, 9)), st.integers(1, 14))
def test_a_selection_has_the_classes_of_the_pairs_for_which_there_is_room(matrix, top):
    chosen = look_alike_classes(matrix, top).tolist()
    assert len(set(chosen)) == len(chosen) == min(top, 12)
    ranked = most_confused_pairs(matrix, range(12), top=top // 2)
    assert {one for pair in ranked for one in (pair.a, pair.b)} <= set(chosen)


def test_ordered_classes_are_in_their_order_whether_all_or_some_are_chosen():
    fair, good, bad = 0, 1, 2
    ranks = LabelSpace(("fair", "good", "bad")).in_order(["bad", "fair", "good"]).ranks
    assert look_alike_classes(np.ones((3, 3)), 5, ranks).tolist() == [bad, fair, good]
    reverse = np.arange(10)[::-1]
    chosen = look_alike_classes(np.arange(100).reshape(10, 10), 4, reverse).tolist()
    assert len(chosen) == 4
    assert chosen == sorted(chosen, reverse=True)


COUNTS = arrays(np.int64, (9, 9), elements=st.sampled_from([0, 0, 0, 1, 1, 2, 7]))


def _dense_pairs(matrix):
    """The pairs as a full matrix ranks them."""
    rows = matrix.sum(axis=1)
    errors = np.triu(matrix + matrix.T, k=1)
    rates = errors / np.maximum(rows[:, None] + rows[None, :], 1)
    first, second = np.nonzero(errors)
    order = np.lexsort((-rates[first, second], -errors[first, second]))
    return [
        ConfusedPair(a, b, matrix[a, b], matrix[b, a], rates[a, b])
        for a, b in zip(first[order].tolist(), second[order].tolist(), strict=True)
    ]


@settings(deadline=None, max_examples=60, derandomize=True)
@given(COUNTS, st.permutations(range(9)))
def test_sparse_counts_give_the_pairs_shares_and_order_of_full_ones(matrix, shown):
    sparse, shown = csr_array(matrix), np.array(shown[:4])
    assert most_confused_pairs(sparse, range(9), 99) == _dense_pairs(matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    assert row_shares(sparse, shown).tolist() == shares[np.ix_(shown, shown)].tolist()
    for top in (2, 5, 9):
        assert look_alike_classes(sparse, top).tolist() == look_alike_classes(matrix, top).tolist()


@settings(deadline=None, max_examples=30, derandomize=True)
@given(arrays(np.int64, (20, 2), elements=st.integers(0, 5)), st.booleans())
def test_counts_are_those_of_a_full_matrix(rows, multi_label):
    labels = LabelSpace(
        tuple("abcdef"), "multi_label_classification" if multi_label else "single_label_classification"
    )
    gold, predicted = (np.eye(6)[column] if multi_label else column for column in rows.T)
    expected = np.zeros((6, 6), dtype=np.int64)
    np.add.at(expected, tuple(rows.T), 1)
    assert confusion_matrix(labels, gold, predicted).toarray().tolist() == expected.tolist()
