from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from tellapart.errors import RecipeError
from tellapart.objectives import AuxiliaryLabels, CrossEntropy, NegativeSupervision, entropy


def test_the_softmax_runs_over_the_auxiliary_outputs_too(make_batch, prepared):
    batch = make_batch([0], logits=[[2.0, 1.0, 0.0, -1.0]])
    loss = prepared(AuxiliaryLabels(4))(batch)["auxiliary_labels"]
    assert loss.item() == pytest.approx(0.44019, abs=1e-5)
    plain = CrossEntropy()(make_batch([0], logits=[[2.0, 1.0]]))["cross_entropy"]
    assert plain.item() == pytest.approx(0.31326, abs=1e-5)


def test_equal_logits_cost_the_logarithm_of_all_outputs(make_batch, prepared):
    batch = make_batch([0, 1], logits=torch.zeros(2, 4))
    assert prepared(AuxiliaryLabels(4))(batch)["auxiliary_labels"].item() == pytest.approx(math.log(4))


def test_without_auxiliary_labels_it_is_cross_entropy(make_batch, prepared):
    batch = make_batch([0, 2, 1], logits=torch.randn(3, 3))
    loss = prepared(AuxiliaryLabels(3), num_labels=3)(batch)["auxiliary_labels"]
    torch.testing.assert_close(loss, CrossEntropy()(batch)["cross_entropy"], rtol=0, atol=0)


def test_the_gradient_pushes_auxiliary_outputs_down_by_their_probability(make_batch, prepared):
    logits = torch.tensor([[0.5, -1.0, 0.2, 0.1]], dtype=torch.float64, requires_grad=True)
    batch = make_batch([1], logits=logits, dtype=torch.float64)
    prepared(AuxiliaryLabels(4))(batch)["auxiliary_labels"].backward()
    torch.testing.assert_close(logits.grad, logits.detach().softmax(1) - torch.tensor([[0.0, 1, 0, 0]]))


def test_in_multi_label_tasks_no_text_has_an_auxiliary_label(make_batch, prepared):
    logits = torch.randn(2, 5)
    batch = make_batch([[1, 0, 1], [0, 0, 0]], logits=logits)
    loss = prepared(AuxiliaryLabels(5), num_labels=3)(batch)["auxiliary_labels"]
    target = functional.pad(batch.labels, (0, 2))
    expected = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1).mean()
    torch.testing.assert_close(loss, expected)


def test_class_weights_are_those_of_the_classes(make_batch, prepared):
    objective = prepared(AuxiliaryLabels(4, class_weight=[2.0, 0.5]))
    logits = torch.randn(3, 4)
    losses = functional.cross_entropy(logits, torch.tensor([0, 1, 1]), reduction="none")
    expected = (losses * torch.tensor([2.0, 0.5, 0.5])).mean()
    torch.testing.assert_close(objective(make_batch([0, 1, 1], logits=logits))["auxiliary_labels"], expected)


def test_a_sum_asks_for_the_outputs_of_its_part():
    objective = AuxiliaryLabels(6) + 0.5 * NegativeSupervision()
    assert objective.requirements.outputs == 6
    assert (CrossEntropy() + NegativeSupervision()).requirements.outputs is None


@pytest.mark.parametrize("total", [0, 2])
def test_fewer_outputs_than_classes_are_refused(prepared, total):
    with pytest.raises(RecipeError, match=f"total (is|cannot be) {total}"):
        prepared(AuxiliaryLabels(total), num_labels=3)


def test_auxiliary_labels_raise_the_entropy():
    assert entropy(2, 0.1) == pytest.approx(0.32508, abs=1e-5)
    assert entropy(4, 0.1) == pytest.approx(0.94045, abs=1e-5)
    assert entropy(3, 0.0) == 0.0
    np.testing.assert_allclose(entropy(2, np.array([0.1, 0.5])), [0.32508, math.log(2)], atol=1e-5)


@given(k=st.integers(1, 30), more=st.integers(1, 30), share=st.floats(1e-6, 1 - 1e-6))
def test_more_labels_always_mean_more_entropy(k, more, share):
    gamma = share / (k + more - 1)
    assert entropy(k + more, gamma) > entropy(k, gamma)


def test_probabilities_above_one_have_no_entropy():
    with pytest.raises(ValueError, match="gamma"):
        entropy(4, 0.4)


def test_soft_targets_leave_the_auxiliary_outputs_without_probability(make_batch, prepared):
    batch = make_batch([0, 1], logits=torch.randn(2, 4, dtype=torch.float64), dtype=torch.float64)
    targets = torch.tensor([[0.7, 0.3], [0.1, 0.9]], dtype=torch.float64)
    loss = prepared(AuxiliaryLabels(4))(replace(batch, targets=targets))["auxiliary_labels"]
    logs = batch.logits.log_softmax(dim=1)[:, :2]
    assert loss.item() == pytest.approx(-(targets * logs).sum().item() / 2)


def _implied_targets(objective, batch):
    """The targets t of a mean loss whose gradient is (prediction − t) / B."""
    (gradient,) = torch.autograd.grad(objective(batch)["auxiliary_labels"], batch.logits)
    predicted = batch.logits.sigmoid() if batch.multi_label else batch.logits.softmax(dim=1)
    return predicted.detach() - gradient * len(gradient)


def test_label_smoothing_gives_auxiliary_labels_no_probability(make_batch, prepared):
    batch = make_batch([0, 1], logits=torch.randn(2, 4).requires_grad_())
    objective = prepared(AuxiliaryLabels(4, label_smoothing=0.2))
    by_hand = torch.tensor([[0.9, 0.1, 0, 0], [0.1, 0.9, 0, 0]])
    torch.testing.assert_close(_implied_targets(objective, batch), by_hand)
    soft = replace(batch, targets=torch.tensor([[0.5, 0.5], [0.0, 1.0]]))
    by_hand = torch.tensor([[0.5, 0.5, 0, 0], [0.1, 0.9, 0, 0]])
    torch.testing.assert_close(_implied_targets(objective, soft), by_hand)


def test_label_smoothing_gives_no_text_an_auxiliary_label(make_batch, prepared):
    batch = make_batch([[1, 0], [0, 0]], logits=torch.randn(2, 4).requires_grad_())
    objective = prepared(AuxiliaryLabels(4, label_smoothing=0.2))
    by_hand = torch.tensor([[0.9, 0.1, 0, 0], [0.1, 0.1, 0, 0]])
    torch.testing.assert_close(_implied_targets(objective, batch), by_hand)


def test_smoothed_losses_have_the_weights_and_focal_factors_of_the_classes(make_batch, prepared):
    logits = torch.randn(3, 4)
    options = {"label_smoothing": 0.2, "class_weight": [2.0, 0.5], "focal_gamma": 1.5}
    found = prepared(AuxiliaryLabels(4, **options))(make_batch([0, 1, 1], logits=logits))["auxiliary_labels"]
    expected = 0.0
    for row, gold in zip(logits.log_softmax(1).tolist(), (0, 1, 1), strict=True):
        target = [0.9 if label == gold else 0.1 for label in (0, 1)]
        loss = -2.0 * target[0] * row[0] - 0.5 * target[1] * row[1]
        expected += loss * (1 - math.exp(row[gold])) ** 1.5 / 3
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_smoothing_as_many_outputs_as_classes_is_that_of_cross_entropy(make_batch, prepared):
    batch = make_batch([0, 2, 1], logits=torch.randn(3, 3))
    found = prepared(AuxiliaryLabels(3, label_smoothing=0.1), num_labels=3)(batch)["auxiliary_labels"]
    torch.testing.assert_close(found, CrossEntropy(label_smoothing=0.1)(batch)["cross_entropy"])


def test_smoothing_needs_the_number_of_classes(make_batch):
    with pytest.raises(RecipeError, match="the number of classes is not known: call prepare first"):
        AuxiliaryLabels(4, label_smoothing=0.1)(make_batch([0], logits=torch.zeros(1, 4)))
