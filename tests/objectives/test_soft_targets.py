from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tellapart.data.batches.batching import JointDataset, TokenisedDataset
from tellapart.data.examples import LabelSpace
from tellapart.errors import DataError, RecipeError
from tellapart.objectives import CrossEntropy, SoftTargets
from tellapart.objectives.options import SoftTargetsOptions
from tellapart.objectives.soft_targets import build
from tellapart.training.module import joined
from tellapart.training.requirements import check_objective


def _batch(make_batch, targets, logits, labels=None, **options):
    from dataclasses import replace

    labels = [0] * len(logits) if labels is None else labels
    batch = make_batch(labels, logits=logits, **options)
    return replace(batch, targets=torch.as_tensor(targets))


def _softmax(row):
    exponents = [math.exp(value - max(row)) for value in row]
    return [value / sum(exponents) for value in exponents]


@pytest.mark.parametrize("temperature", [1.0, 2.0, 0.5])
@pytest.mark.parametrize("both_views", [False, True])
def test_loss_agrees_with_a_loop(make_batch, temperature, both_views):
    logits = torch.randn(8, 3, dtype=torch.float64)
    teacher = torch.randn(4, 3, dtype=torch.float64).repeat(2, 1)
    batch = _batch(make_batch, teacher.softmax(1), logits, views=2, dtype=torch.float64)
    loss = SoftTargets(temperature, both_views=both_views)(batch)["soft_targets"]
    expected = []
    for row in range(8 if both_views else 4):
        target = _softmax([value / temperature for value in teacher[row].tolist()])
        predicted = _softmax([value / temperature for value in logits[row].tolist()])
        divergence = sum(p * (math.log(p) - math.log(q)) for p, q in zip(target, predicted, strict=True))
        expected.append(temperature**2 * divergence)
    assert loss.item() == pytest.approx(sum(expected) / len(expected), rel=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_several_labels_agree_with_a_loop(make_batch, temperature):
    logits, targets = torch.randn(3, 2, dtype=torch.float64), torch.rand(3, 2, dtype=torch.float64)
    batch = _batch(make_batch, targets, logits, labels=torch.zeros(3, 2), dtype=torch.float64)
    expected = 0.0
    for row in range(3):
        for label in range(2):
            p, q = targets[row, label].item(), torch.sigmoid(logits[row, label] / temperature).item()
            p = 1 / (1 + ((1 - p) / p) ** (1 / temperature))
            expected += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    loss = SoftTargets(temperature)(batch)["soft_targets"]
    assert loss.item() == pytest.approx(temperature**2 * expected / 3, rel=1e-9)


@pytest.mark.parametrize("multi_label", [False, True])
def test_certain_targets_give_the_loss_of_cross_entropy(make_batch, multi_label):
    hot = torch.eye(3)[[0, 2, 1, 1]]
    labels = hot if multi_label else hot.argmax(1)
    batch = _batch(make_batch, hot, torch.randn(4, 3), labels=labels)
    torch.testing.assert_close(
        SoftTargets()(batch)["soft_targets"], CrossEntropy()(batch)["cross_entropy"], atol=1e-6, rtol=1e-6
    )


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_loss_of_the_targets_themselves_is_zero_and_has_no_gradient(make_batch, temperature):
    logits = torch.randn(5, 4, requires_grad=True)
    batch = _batch(make_batch, logits.detach().softmax(1), logits)
    loss = SoftTargets(temperature)(batch)["soft_targets"]
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad.abs().max() < 1e-6


@pytest.mark.parametrize("multi_label", [False, True])
def test_gradients_agree_with_finite_differences(make_batch, multi_label):
    targets = torch.rand(3, 4, dtype=torch.float64)
    labels = torch.zeros(3, 4) if multi_label else None
    targets = targets if multi_label else targets / targets.sum(1, keepdim=True)

    def loss(logits):
        batch = _batch(make_batch, targets, logits, labels=labels, dtype=torch.float64)
        return SoftTargets(2.0)(batch)["soft_targets"]

    assert torch.autograd.gradcheck(loss, torch.randn(3, 4, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e4, 1e30])
@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_extremes_are_finite(make_batch, size, multi_label, temperature):
    logits = (size * torch.randn(3, 3)).requires_grad_()
    labels = torch.eye(3) if multi_label else None
    loss = SoftTargets(temperature)(_batch(make_batch, torch.eye(3), logits, labels=labels))["soft_targets"]
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_a_batch_without_targets_and_numbers_are_refused(make_batch):
    with pytest.raises(RecipeError, match="no soft targets"):
        SoftTargets()(make_batch([0, 1]))
    with pytest.raises(RecipeError, match="numeric targets"):
        build(SoftTargetsOptions(), LabelSpace(("score",), "regression"))
    with pytest.raises(RecipeError, match="temperature cannot be 0"):
        SoftTargets(temperature=0)


def _rows(labels=(0, 1, 2)):
    return TokenisedDataset({"input_ids": np.arange(6)}, np.array([1, 2, 3]), np.array(labels))


def test_rows_carry_targets_into_batches_and_leave_the_original_alone():
    targets = np.array([[1, 0, 0], [0.5, 0.5, 0], [0.2, 0.3, 0.5]])
    rows = _rows()
    soft = rows.with_targets(targets)
    np.testing.assert_allclose(soft.batch([2, 0])["targets"], targets[[2, 0]], rtol=1e-6)
    assert "targets" not in rows.batch([0])
    joint = JointDataset([rows, rows]).with_targets(targets)
    assert sorted(joint.batch([1])) == [
        *("attention_mask", "attention_mask_2", "input_ids", "input_ids_2", "labels", "targets")
    ]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (np.full((2, 3), 1 / 3), "there are 3 rows"),
        (np.full((3, 3), 0.5), "not probabilities"),
        (np.full((3, 3), np.nan), "not probabilities"),
        (np.array([[2.0, -1.0]] * 3), "not probabilities"),
    ],
)
def test_targets_that_are_no_probabilities_are_refused(targets, message):
    with pytest.raises(DataError, match=message):
        _rows().with_targets(targets)
    hot = _rows(np.eye(3, dtype=np.float32))
    assert hot.with_targets(np.full((3, 3), 0.5)).targets is not None


def test_rows_without_targets_are_refused_before_training():
    from types import SimpleNamespace

    with pytest.raises(RecipeError, match="the training rows have none"):
        check_objective(SoftTargets(), SimpleNamespace(), _rows())


def test_targets_stay_with_their_rows_when_batches_are_joined(make_batch):
    parts = [
        _batch(make_batch, targets, torch.randn(2, 2), labels=[label, label], views=2)
        for label, targets in ((0, [[1.0, 0.0]] * 2), (1, [[0.3, 0.7]] * 2))
    ]
    whole = joined(parts)
    assert whole.labels.tolist() == [0, 1, 0, 1]
    torch.testing.assert_close(whole.targets, torch.tensor([[1.0, 0.0], [0.3, 0.7]] * 2))
    assert whole.view(1).targets.tolist() == whole.targets[2:].tolist()
    assert joined([make_batch([0]), make_batch([1])]).targets is None
