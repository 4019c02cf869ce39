from __future__ import annotations

import pytest
import torch

from tellapart.data.examples import LabelSpace
from tellapart.errors import RecipeError
from tellapart.objectives import distance_matrices
from tellapart.objectives.distance_matrices import (
    as_distance_matrix,
    check_classes,
    counted_distance,
    hierarchy_distance,
    ordinal_distance,
    pair_distances,
    static_distance,
    updated_distance,
)
from tellapart.objectives.label_distance import build
from tellapart.objectives.options import LabelDistanceOptions


def test_static_pairs_get_tau_both_ways():
    assert static_distance(3, [(2, 0)], tau=4).tolist() == [[1, 1, 4], [1, 1, 1], [4, 1, 1]]


def test_ordinal_distance_grows_with_the_steps():
    assert ordinal_distance(3, tau=5).tolist() == [[1, 3, 5], [3, 1, 3], [5, 3, 1]]


def test_ordinal_distance_follows_the_given_order():
    # 2 < 0 < 1
    assert ordinal_distance(3, tau=5, order=[2, 0, 1]).tolist() == [[1, 3, 3], [3, 1, 5], [3, 5, 1]]


def test_hierarchy_distance_counts_the_steps_in_the_tree():
    paths = [["rec", "autos"], ["rec", "sport", "hockey"], ["rec", "sport", "baseball"], ["sci"]]
    steps = torch.tensor([[0, 3, 3, 3], [3, 0, 2, 4], [3, 2, 0, 4], [3, 4, 4, 0]])
    torch.testing.assert_close(hierarchy_distance(paths, tau=5), 1 + 4 * steps / 4)


def test_counted_distances_move_the_old_ones_by_epsilon():
    confusion = torch.tensor([[8, 2, 0], [1, 9, 0], [0, 0, 10]])
    counted = counted_distance(confusion, tau=5)
    assert counted.tolist() == [[1, 5, 1], [5, 1, 1], [1, 1, 1]]
    updated = updated_distance(torch.ones(3, 3), counted, epsilon=0.8)
    torch.testing.assert_close(updated, torch.tensor([[1, 4.2, 1], [4.2, 1, 1], [1, 1, 1]]))


def test_counted_distance_is_proportional_to_the_rate_and_not_the_count():
    # Rates, both ways averaged: (0, 1) 0.1 and (1, 2) 0.2; class 2 is ten times as frequent.
    confusion = torch.tensor([[8, 2, 0], [0, 10, 0], [0, 40, 60]])
    torch.testing.assert_close(counted_distance(confusion, tau=5)[1], torch.tensor([3.0, 1.0, 5.0]))


def test_nothing_confused_gives_ones_and_absent_labels_stay():
    assert torch.equal(counted_distance(torch.diag(torch.tensor([3, 0, 5]))), torch.ones(3, 3))
    confusion = torch.tensor([[4, 4, 0], [0, 0, 0], [0, 0, 9]])  # class 1 has no rows, but is predicted
    assert counted_distance(confusion, tau=2).tolist() == [[1, 2, 1], [2, 1, 1], [1, 1, 1]]


def test_raw_counts_are_kept_and_never_below_one():
    confusion = torch.tensor([[80, 20, 0], [10, 90, 1], [0, 0, 100]])
    assert counted_distance(confusion, normalise="none").tolist() == [[1, 15, 1], [15, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: static_distance(3, [(1, 1)]),
        lambda: static_distance(3, [(0, 3)]),
        lambda: static_distance(3, [(0, 1, 2)]),
        lambda: static_distance(3, [(0, 1)], tau=-1),
        lambda: ordinal_distance(3, order=[0, 1]),
        lambda: ordinal_distance(3, tau=float("nan")),
        lambda: hierarchy_distance(["rec.autos", "rec.sport"]),
        lambda: as_distance_matrix([[1.0, 2.0]]),
        lambda: as_distance_matrix([[1.0, 2.0], [1.0]]),
        lambda: as_distance_matrix([[1.0, -2.0], [1.0, 1.0]]),
        lambda: as_distance_matrix([[1.0, float("inf")], [1.0, 1.0]]),
    ],
)
def test_what_is_no_distance_is_refused(make):
    with pytest.raises(RecipeError):
        make()


def test_pair_distances_of_ids_are_looked_up():
    matrix = torch.arange(9.0).view(3, 3)
    assert pair_distances(torch.tensor([2, 0]), matrix).tolist() == [[8, 6], [2, 0]]


def test_pair_distances_of_sets_are_means_over_label_pairs():
    matrix = torch.arange(1.0, 10.0).view(3, 3)
    rows = torch.tensor([[1, 0, 1], [0, 1, 0], [0, 0, 0]]).float()
    sets = [[0, 2], [1], []]
    distances = pair_distances(rows, matrix)
    for i, ones in enumerate(sets):
        for j, others in enumerate(sets):
            pairs = [matrix[one, other].item() for one in ones for other in others]
            assert distances[i, j].item() == pytest.approx(sum(pairs) / len(pairs) if pairs else 1.0)


def test_more_classes_than_a_matrix_can_have_are_one_sentence(monkeypatch):
    monkeypatch.setattr(distance_matrices, "MOST_CLASSES", 2)
    check_classes(2)
    labels = LabelSpace(("a", "b", "c"))
    with pytest.raises(RecipeError, match="at most 2, and the task has 3"):
        build(LabelDistanceOptions(), labels)
