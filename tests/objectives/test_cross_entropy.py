from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from tellapart.errors import RecipeError
from tellapart.objectives import CrossEntropy, EncodedBatch, RunFacts

DTYPES = [torch.float32, torch.float64]


def softmax_loop(logits, labels, weights, smoothing, gamma):
    total = 0.0
    for row, gold in zip(logits.tolist(), labels.tolist(), strict=True):
        logs = [score - math.log(sum(map(math.exp, row))) for score in row]
        loss = 0.0
        for label, log in enumerate(logs):
            target = (1 - smoothing) * (label == gold) + smoothing / len(row)
            loss -= weights[label] * target * log
        total += (1 - math.exp(logs[gold])) ** gamma * loss
    return total / len(labels)


def sigmoid_loop(logits, labels, weights, smoothing, gamma):
    total = 0.0
    for row, hot in zip(logits.tolist(), labels.tolist(), strict=True):
        for score, gold, weight in zip(row, hot, weights, strict=True):
            yes = 1 / (1 + math.exp(-score))
            target = (1 - smoothing) * gold + smoothing / 2
            loss = -weight * target * math.log(yes) - (1 - target) * math.log(1 - yes)
            total += (1 - (yes if gold else 1 - yes)) ** gamma * loss
    return total / len(labels)


OPTIONS = pytest.mark.parametrize(
    ("smoothing", "gamma", "weights"),
    [(0.0, 0.0, None), (0.2, 0.0, [0.5, 2, 1]), (0.0, 2.0, None), (0.1, 0.5, [3, 1, 0])],
)


@pytest.mark.parametrize("dtype", DTYPES)
@OPTIONS
def test_one_label_agrees_with_a_loop(make_batch, prepared, dtype, smoothing, gamma, weights):
    logits = torch.randn(6, 3, dtype=dtype)
    batch = make_batch([0, 2, 1, 1, 0, 2], logits=logits, dtype=dtype)
    objective = prepared(CrossEntropy(weights, smoothing, gamma), num_labels=3)
    loss = objective(batch)["cross_entropy"]
    assert loss.dtype == dtype
    expected = softmax_loop(logits, batch.labels, weights or [1, 1, 1], smoothing, gamma)
    assert loss.item() == pytest.approx(expected, rel=1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@OPTIONS
def test_several_labels_agree_with_a_loop(make_batch, prepared, dtype, smoothing, gamma, weights):
    logits = torch.randn(4, 3, dtype=dtype)
    batch = make_batch([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]], logits=logits, dtype=dtype)
    objective = prepared(CrossEntropy(weights, smoothing, gamma), num_labels=3)
    loss = objective(batch)["cross_entropy"]
    assert loss.dtype == dtype
    expected = sigmoid_loop(logits, batch.labels, weights or [1, 1, 1], smoothing, gamma)
    assert loss.item() == pytest.approx(expected, rel=1e-5 if dtype == torch.float32 else 1e-12)


def test_only_first_view_rows_count_unless_both_are_asked_for(make_batch):
    batch = make_batch([0, 1, 0, 1], logits=torch.randn(4, 2), views=2)
    losses = functional.cross_entropy(batch.logits, batch.labels, reduction="none")
    torch.testing.assert_close(CrossEntropy()(batch)["cross_entropy"], losses[:2].mean())
    torch.testing.assert_close(CrossEntropy(both_views=True)(batch)["cross_entropy"], losses.mean())


def test_balanced_weights_are_those_of_scikit_learn(prepared):
    rows = [0] * 7 + [2] * 2 + [3]
    counts = torch.bincount(torch.tensor(rows), minlength=4)
    objective = prepared(CrossEntropy("balanced"), num_labels=4, class_counts=counts)
    expected = compute_class_weight("balanced", classes=np.array([0, 2, 3]), y=rows)
    assert objective.class_weights[[0, 2, 3]].tolist() == pytest.approx(expected)
    assert objective.class_weights[1] == 0


def test_balanced_positives_weigh_as_much_as_the_negatives(prepared):
    counts = torch.tensor([2.0, 0.0, 10.0])
    objective = prepared(CrossEntropy("balanced"), num_labels=3, class_counts=counts, num_rows=10)
    assert objective.positive_weights.tolist() == pytest.approx([4.0, 1.0, 0.1])


def test_a_mapping_leaves_other_classes_at_one(prepared):
    objective = prepared(CrossEntropy({1: 3.0}), num_labels=3)
    assert objective.class_weights.tolist() == [1, 3, 1]


def test_weighted_micro_batches_add_up_to_the_whole_batch(make_batch, prepared):
    objective = prepared(CrossEntropy([0.2, 3.0]))
    logits, labels = torch.randn(8, 2), torch.tensor([0, 0, 0, 0, 1, 0, 1, 1])
    whole = objective(make_batch(labels, logits=logits))["cross_entropy"]
    parts = [objective(make_batch(labels[i : i + 2], logits=logits[i : i + 2])) for i in range(0, 8, 2)]
    torch.testing.assert_close(torch.stack([part["cross_entropy"] for part in parts]).mean(), whole)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("labels", [[0, 1], [[1, 0], [0, 1]]])
def test_sure_predictions_have_finite_gradients(make_batch, gamma, labels):
    for size in (0.0, 40.0, 1e4, 1e30):
        batch = make_batch(labels, logits=[[size, -size], [size, -size]])
        batch.logits.requires_grad_()
        loss = CrossEntropy(focal_gamma=gamma)(batch)["cross_entropy"]
        loss.backward()
        assert loss.isfinite()
        assert batch.logits.grad.isfinite().all()


@pytest.mark.parametrize(
    "options",
    [{"label_smoothing": 1.0}, {"label_smoothing": -0.1}, {"focal_gamma": -1.0}, {"class_weight": "even"}],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(RecipeError):
        CrossEntropy(**options)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], {2: 1.0}, {"cold": 1.0}, "balanced"])
def test_weights_that_do_not_fit_the_task_are_refused(prepared, weights):
    with pytest.raises(RecipeError):
        prepared(CrossEntropy(weights))


def test_balanced_weights_of_sets_need_the_number_of_rows(make_batch, prepared):
    objective = prepared(CrossEntropy("balanced"), class_counts=torch.tensor([1.0, 2.0]))
    with pytest.raises(RecipeError, match="num_rows"):
        objective(make_batch([[1, 0], [1, 1]]))


def test_soft_targets_take_the_place_of_labels(make_batch, prepared):
    logits = torch.randn(4, 3, dtype=torch.float64)
    batch = make_batch([0, 2, 1, 1], logits=logits, dtype=torch.float64)
    targets = torch.tensor([[0.6, 0.3, 0.1], [0.0, 0.0, 1.0], [0.2, 0.5, 0.3], [0.1, 0.8, 0.1]])
    loss = prepared(CrossEntropy([1.0, 2.0, 0.5]), num_labels=3)(replace(batch, targets=targets))
    expected = 0.0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        total = math.log(sum(map(math.exp, row)))
        expected -= sum(
            weight * share * (score - total)
            for score, share, weight in zip(row, target, [1, 2, 0.5], strict=True)
        )
    assert loss["cross_entropy"].item() == pytest.approx(expected / 4, rel=1e-6)


def test_certain_targets_are_labels(make_batch, prepared):
    for labels, targets in (([0, 2], [[1.0, 0, 0], [0, 0, 1.0]]), ([[1, 0, 1]], [[1.0, 0, 1.0]])):
        batch = make_batch(labels, logits=torch.randn(len(labels), 3))
        for objective in (CrossEntropy(label_smoothing=0.1), CrossEntropy(focal_gamma=2.0)):
            soft = prepared(objective, num_labels=3)(replace(batch, targets=torch.tensor(targets)))
            assert torch.allclose(soft["cross_entropy"], objective(batch)["cross_entropy"])


def test_weights_of_rows_multiply_their_losses_and_the_divisor_stays_the_number_of_rows(make_batch):
    logits = [[2.0, 0.0], [0.0, 1.0], [3.0, -1.0]]
    plain = make_batch([0, 0, 1], logits=logits, dtype=torch.float64)
    losses = [math.log1p(math.exp(-2)), math.log1p(math.exp(1)), math.log1p(math.exp(4))]
    weighted = replace(plain, weights=torch.tensor([1.0, 0.5, 0.0]))
    found = CrossEntropy()(weighted)["cross_entropy"].item()
    assert found == pytest.approx((losses[0] + 0.5 * losses[1]) / 3, rel=1e-9)
    ones = replace(plain, weights=torch.ones(3))
    assert CrossEntropy()(ones)["cross_entropy"].item() == pytest.approx(sum(losses) / 3, rel=1e-9)


def test_weights_of_rows_hold_for_sets_of_labels_focal_loss_and_class_weights(make_batch):
    logits = torch.randn(2, 2, dtype=torch.float64)
    for labels in ([0, 1], [[1, 0], [1, 1]]):
        objective = CrossEntropy(class_weight=[2.0, 3.0], focal_gamma=2.0, label_smoothing=0.1)
        objective.prepare(RunFacts(2, 1))
        alone = [
            objective(make_batch(labels[row : row + 1], logits=logits[row : row + 1], dtype=torch.float64))
            for row in range(2)
        ]
        both = replace(
            make_batch(labels, logits=logits, dtype=torch.float64), weights=torch.tensor([1.0, 0.25])
        )
        expected = (alone[0]["cross_entropy"] + 0.25 * alone[1]["cross_entropy"]) / 2
        torch.testing.assert_close(objective(both)["cross_entropy"], expected)


@pytest.mark.parametrize("both_views", [False, True])
def test_anchors_take_no_part(make_batch, both_views):
    logits = torch.randn(4, 2)
    batch = make_batch([0, 1, 0, 1], logits=logits, views=2)
    anchored = EncodedBatch(
        torch.cat([logits, torch.full((1, 2), 50.0)]),
        torch.zeros(5, 1),
        torch.tensor([0, 1, 0, 1, 0]),
        torch.tensor([0, 0, 1, 1, -1]),
        torch.tensor([1.0, 1, 1, 1, 0]),
    )
    objective = CrossEntropy(both_views=both_views)
    torch.testing.assert_close(objective(anchored)["cross_entropy"], objective(batch)["cross_entropy"])
    assert len(anchored.view(0).labels) == 2
    assert len(anchored.without_anchors().labels) == 4
