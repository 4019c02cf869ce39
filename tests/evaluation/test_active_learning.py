from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from tellapart.data.examples import LabelSpace
from tellapart.evaluation.active_learning import (
    TopTwo,
    diverse_rows,
    expected_confusions,
    informativeness,
    pair_weights,
    top_two,
)

LABELS = LabelSpace(("lost", "stolen", "expired"))


def test_the_two_most_probable_classes_and_their_margin():
    top = top_two(LABELS, np.log([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]))
    assert (top.first.tolist(), top.second.tolist()) == ([0, 2], [1, 1])
    assert top.margin == pytest.approx([0.2, 0.5])


def test_pairs_are_weighted_by_their_rate_of_confusions():
    weights = pair_weights(np.array([[6, 2, 0], [2, 6, 1], [0, 0, 11]]))
    assert weights[0, 1] == weights[1, 0] == 1
    assert weights[1, 2] == pytest.approx((1 / 20) / (4 / 17))
    assert weights[0, 2] == 0
    assert (weights.diagonal() == 0).all()
    assert pair_weights(np.diag([3, 4, 0])).nnz == 0


def test_a_confused_pair_counts_up_to_twice_at_the_same_margin():
    top = top_two(LABELS, np.log([[0.5, 0.4, 0.1], [0.5, 0.1, 0.4]]))
    weights = pair_weights(np.array([[6, 2, 0], [2, 6, 0], [0, 0, 8]]))
    assert informativeness(top, weights) == pytest.approx([1.8, 0.9])
    expected = expected_confusions(top, 3)
    assert expected.sum() == pytest.approx(1.8)
    assert expected[1, 0] == expected[2, 0] == pytest.approx(0.4)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 12), st.booleans())
def test_as_many_different_rows_are_chosen_as_asked_for(seed, rows, count, repeated):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(rows, 4))
    if repeated:
        vectors[:] = vectors[0]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    informative = random.random(rows) * 2
    chosen = diverse_rows(vectors, informative, count)
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert len(chosen) == min(rows, count)
    assert set(chosen.tolist()) <= set(range(rows))


def test_texts_of_different_groups_are_chosen_from_sparse_vectors_too():
    vectors = np.repeat(np.eye(3), 4, axis=0)
    for given_vectors in (vectors, sparse.csr_matrix(vectors)):
        chosen = diverse_rows(given_vectors, np.ones(12), 3)
        assert {row // 4 for row in chosen.tolist()} == {0, 1, 2}


def test_rows_are_joined_and_selected():
    one = TopTwo(np.array([0]), np.array([1]), np.array([0.6]), np.array([0.4]))
    both = one.joined(TopTwo(np.array([2]), np.array([0]), np.array([0.9]), np.array([0.1])))
    assert both.select(np.array([1, 0])).margin == pytest.approx([0.8, 0.2])
