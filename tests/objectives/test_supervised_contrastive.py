from __future__ import annotations

import math

import pytest
import torch
from pytorch_metric_learning.losses import SupConLoss

from tellapart.errors import RecipeError
from tellapart.objectives import SupervisedContrastive

DTYPES = [torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_agrees_with_a_loop(make_batch, dtype):
    vectors = torch.randn(7, 3, dtype=dtype)
    labels = [0, 1, 0, 2, 1, 0, 3]
    units = (vectors / vectors.norm(dim=1, keepdim=True)).tolist()

    def score(i, j):
        return sum(a * b for a, b in zip(units[i], units[j], strict=True)) / 0.3

    anchors = []
    for i in range(7):
        positives = [j for j in range(7) if labels[j] == labels[i] and j != i]
        if positives:
            whole = math.log(sum(math.exp(score(i, j)) for j in range(7) if j != i))
            anchors.append(-sum(score(i, j) - whole for j in positives) / len(positives))
    loss = SupervisedContrastive()(make_batch(labels, vectors=vectors, dtype=dtype))["supervised_contrastive"]
    assert loss.dtype == dtype
    expected = sum(anchors) / len(anchors)
    assert loss.item() == pytest.approx(expected, rel=1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_and_gradient_are_those_of_pytorch_metric_learning(make_batch, dtype):
    vectors = torch.randn(12, 5, dtype=dtype, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 3] * 3)
    ours = SupervisedContrastive(temperature=0.2)(make_batch(labels, vectors=vectors, dtype=dtype))
    theirs = SupConLoss(temperature=0.2)(vectors, labels)
    torch.testing.assert_close(ours["supervised_contrastive"], theirs)
    gradients = [torch.autograd.grad(loss, vectors)[0] for loss in (ours["supervised_contrastive"], theirs)]
    torch.testing.assert_close(*gradients)


def test_without_positives_the_loss_is_zero_with_a_zero_gradient(make_batch):
    batch = make_batch([0, 1, 2], vectors=torch.randn(3, 2))
    batch.representation.requires_grad_()
    loss = SupervisedContrastive()(batch)["supervised_contrastive"]
    loss.backward()
    assert loss == 0
    assert (batch.representation.grad == 0).all()


def test_sets_of_labels_are_positives_when_identical(make_batch):
    vectors = torch.randn(4, 3)
    sets = make_batch([[1, 1], [1, 1], [1, 0], [0, 0]], vectors=vectors)
    ids = make_batch([0, 0, 1, 2], vectors=vectors)
    objective = SupervisedContrastive()
    assert objective(sets) == objective(ids)


def test_the_projection_is_compared_and_trained(make_batch, prepared):
    objective = SupervisedContrastive(0.1, projection_size=7)
    batch = make_batch([0, 1, 0, 1], vectors=torch.randn(4, 5))
    with pytest.raises(RecipeError, match="call prepare"):
        objective(batch)
    prepared(objective, hidden_size=5)
    assert [tuple(p.shape) for p in objective.parameters()] == [(5, 5), (5,), (7, 5), (7,)]
    batch.representation.requires_grad_()
    loss = objective(batch)["supervised_contrastive"]
    loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in objective.parameters())
    assert batch.representation.grad.abs().sum() > 0
    projected = make_batch([0, 1, 0, 1], vectors=objective.projection(batch.representation).detach())
    torch.testing.assert_close(loss, SupervisedContrastive(0.1)(projected)["supervised_contrastive"])
    before = objective.state_dict()
    prepared(objective, hidden_size=5)  # on resuming, which must keep the weights
    assert all(torch.equal(value, before[name]) for name, value in objective.state_dict().items())


def test_without_a_projection_there_is_no_state(prepared):
    assert prepared(SupervisedContrastive()).state_dict() == {}


def test_with_two_views_every_anchor_has_a_positive(make_batch):
    assert SupervisedContrastive().requirements.views == 1
    assert SupervisedContrastive(views=2).requirements.views == 2
    vectors = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    objective = SupervisedContrastive(1.0, views=2)
    loss = objective(make_batch([0, 1, 0, 1], vectors=vectors, views=2))["supervised_contrastive"]
    assert loss.item() == pytest.approx(math.log(1 + 2 / math.e))
    assert objective(make_batch([0, 1], vectors=vectors[:2]))["supervised_contrastive"] == 0


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"projection_size": 0}, {"views": 3}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(RecipeError):
        SupervisedContrastive(**options)
