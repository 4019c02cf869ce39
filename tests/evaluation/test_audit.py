from __future__ import annotations

import numpy as np
from scipy import sparse

from tellapart.evaluation.audit import class_pairs, near_pairs


def test_neighbours_in_another_class_are_shares_of_all_neighbours_of_the_class():
    hot = sparse.csr_array(np.eye(3)[[0, 0, 1, 1, 2]])
    neighbours = np.array([[1, 2], [2, 3], [3, 0], [2, 1], [0, 2]])
    pairs = {(one.first, one.second): one for one in class_pairs(["a", "b", "c"], hot, neighbours, None)}
    assert pairs["a", "b"].first_in_second == 3 / 4
    assert pairs["a", "b"].second_in_first == 2 / 4
    assert pairs["a", "c"].second_in_first == 1 / 2
    assert pairs["a", "c"].overlapping is None


def test_a_label_that_both_texts_have_counts_for_no_pair():
    hot = sparse.csr_array(np.array([[1, 1, 0], [1, 0, 1]], dtype=float))
    (pair,) = class_pairs(["a", "b", "c"], hot, np.array([[1], [0]]), None)
    assert (pair.first, pair.second) == ("b", "c")
    assert pair.first_in_second == pair.second_in_first == 1


def test_pairs_with_more_overlap_come_first():
    overlaps = np.array([[0, 1, 7], [1, 0, 0], [7, 0, 0]])
    hot = sparse.csr_array(np.eye(3))
    found = class_pairs(["a", "b", "c"], hot, np.empty((3, 0), dtype=int), overlaps)
    assert [(one.first, one.second, one.overlapping) for one in found] == [("a", "c", 7), ("a", "b", 1)]


def test_near_pairs_are_listed_once_nearest_first():
    neighbours = np.array([[1, 2], [0, 2], [3, 0], [2, 0]])
    cosines = np.array([[0.96, 0.9], [0.96, 0.1], [0.99, 0.9], [0.99, 0.2]], dtype=np.float32)
    pairs, values = near_pairs(neighbours, cosines)
    assert pairs.tolist() == [[2, 3], [0, 1]]
    np.testing.assert_allclose(values, [0.99, 0.96], atol=1e-6)
