from __future__ import annotations

import pytest
import torch

from tellapart.objectives import (
    CrossEntropy,
    LabelDistance,
    NegativeSupervision,
    RDrop,
    SupervisedContrastive,
    WeightedSum,
)


def test_weights_multiply_through_and_sums_are_flat():
    objective = 0.5 * (CrossEntropy() + 2 * NegativeSupervision()) + SupervisedContrastive() * 3
    assert objective.part_weights == [0.5, 1.0, 3.0]
    assert not any(isinstance(part, WeightedSum) for _, part in objective.parts)


def test_total_is_the_weighted_sum_of_the_unweighted_terms(make_batch):
    batch = make_batch([0, 1, 1], vectors=[[1, 0], [0, 1], [1, 1]], logits=[[2, 0], [1, 1], [0, 3]])
    objective = 0.5 * CrossEntropy() + 2 * NegativeSupervision("all")
    terms = objective(batch)
    assert list(terms) == ["cross_entropy", "negative_supervision"] == list(objective.term_names)
    assert terms["cross_entropy"] == CrossEntropy()(batch)["cross_entropy"]
    expected = 0.5 * terms["cross_entropy"] + 2 * terms["negative_supervision"]
    torch.testing.assert_close(objective.total(terms), expected)


def test_the_second_term_of_a_name_is_numbered(make_batch):
    objective = CrossEntropy() + 0.1 * CrossEntropy(label_smoothing=0.5)
    terms = objective(make_batch([0, 1], logits=[[3, 0], [0, 1]]))
    assert list(terms) == ["cross_entropy", "cross_entropy_2"]
    assert terms["cross_entropy"] < terms["cross_entropy_2"]
    torch.testing.assert_close(
        objective.total(terms), terms["cross_entropy"] + 0.1 * terms["cross_entropy_2"]
    )


def test_requirements_are_united():
    needs = (CrossEntropy() + NegativeSupervision()).requirements
    assert (needs.views, needs.classes_per_batch, needs.confusion) == (1, 2, False)
    needs = (0.5 * CrossEntropy() + 0.5 * LabelDistance()).requirements
    assert (needs.views, needs.classes_per_batch, needs.confusion) == (2, 2, True)
    assert RDrop().requirements.views == 2
    assert not LabelDistance("uniform").requirements.confusion


def test_confusions_reach_only_the_parts_that_ask(prepared):
    objective = prepared(LabelDistance() + LabelDistance("uniform"))
    objective.update_confusion(torch.tensor([[5, 5], [5, 5]]), progress=0.5)
    adaptive, uniform = (part for _, part in objective.parts)
    assert adaptive.distances[0, 1] > 1
    assert uniform.distances[0, 1] == 1


def test_parts_are_prepared_and_their_parameters_are_found(prepared):
    objective = prepared(
        CrossEntropy(class_weight="balanced") + LabelDistance(), class_counts=torch.tensor([3, 1])
    )
    assert sum(parameter.numel() for parameter in objective.parameters()) == 2 * 2 + 2 + 2 * 128 + 128
    assert objective.parts[0][1].class_weights is not None


@pytest.mark.parametrize("objective", [SupervisedContrastive(0.05), NegativeSupervision("all")])
def test_autocast_changes_nothing(make_batch, objective):
    batch = make_batch([0, 1, 0, 1], vectors=torch.randn(4, 7))
    outside = objective(batch)[objective.name]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = objective(batch)[objective.name]
    assert inside.dtype == torch.float32
    assert torch.equal(inside, outside)
