from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tellapart.objectives.similarity import choose, cosine_similarities, mean_where, pair_masks


def test_cosines_agree_with_torch():
    vectors = torch.randn(6, 5, dtype=torch.float64)
    expected = functional.cosine_similarity(vectors[:, None], vectors[None], dim=2)
    torch.testing.assert_close(cosine_similarities(vectors), expected)


@pytest.mark.parametrize("size", [1e-7, 1e-3, 1e25, 1e38])
def test_cosines_do_not_depend_on_length(size):
    vectors = torch.tensor([[3.0, 4.0], [1.0, 0.0]])
    scaled = (vectors / 4 * size).requires_grad_()
    cosines = cosine_similarities(scaled)
    torch.testing.assert_close(cosines, torch.tensor([[1.0, 0.6], [0.6, 1.0]]))
    cosines.sum().backward()
    assert scaled.grad.isfinite().all()


def test_a_zero_vector_has_cosine_zero_and_a_moderate_gradient():
    vectors = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    cosines = cosine_similarities(vectors)
    torch.testing.assert_close(cosines, torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]))
    (cosines * torch.randn(3, 3)).sum().backward()
    assert vectors.grad.abs().max() < 100


SETS = [{0, 1}, {0, 1}, {1}, {2}, set(), set()]
DIFFER = {
    "not_identical": lambda one, other: one != other,
    "disjoint": lambda one, other: not one & other,
}


@pytest.mark.parametrize("kind", DIFFER)
def test_masks_of_sets_agree_with_a_loop_over_pairs(kind):
    hot = torch.tensor([[float(label in labels) for label in range(3)] for labels in SETS])
    different, same = pair_masks(hot, kind)
    for i, one in enumerate(SETS):
        for j, other in enumerate(SETS):
            differs = DIFFER[kind](one, other)
            assert different[i, j] == (i != j and differs)
            assert same[i, j] == (i != j and not differs)


def test_masks_of_ids_leave_the_diagonal_out():
    different, same = pair_masks(torch.tensor([2, 0, 2]))
    assert different.tolist() == [[False, True, False], [True, False, True], [False, True, False]]
    assert same.tolist() == [[False, False, True], [False, False, False], [True, False, False]]


def test_choice_is_of_candidates_only_and_takes_what_there_is():
    candidates = torch.tensor([[0, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]).bool()
    chosen = choose(candidates, 2)
    assert not (chosen & ~candidates).any()
    assert chosen.sum(dim=1).tolist() == [2, 1, 0, 2]
    assert torch.equal(choose(candidates, 99), candidates)
    assert torch.equal(choose(candidates, "all"), candidates)


def test_choice_by_score_takes_the_highest_candidates():
    candidates = torch.tensor([[False, True, True, True]] * 4)
    chosen = choose(candidates, 2, scores=torch.tensor([[9.0, 1.0, 3.0, 2.0]] * 4))
    assert chosen[0].tolist() == [False, False, True, True]


def test_random_choice_is_uniform_and_follows_the_seed():
    candidates = ~torch.eye(5, dtype=torch.bool)
    torch.manual_seed(0)
    first = choose(candidates, 2)
    shares = torch.stack([choose(candidates, 2) for _ in range(4000)]).float().mean(dim=0)
    torch.testing.assert_close(shares, candidates / 2.0, atol=0.04, rtol=0)
    torch.manual_seed(0)
    assert torch.equal(choose(candidates, 2), first)


def test_mean_where_of_nothing_is_zero_with_zero_gradient():
    values = torch.tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
    mask = torch.tensor([[False, False], [True, True]])
    assert mean_where(values, mask, dim=1).tolist() == [0.0, 4.0]
    nothing = mean_where(values, torch.zeros_like(mask))
    nothing.backward()
    assert nothing == 0
    assert (values.grad == 0).all()
