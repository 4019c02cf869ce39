"""What holds for every objective."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.objectives import (
    CrossEntropy,
    EncodedBatch,
    LabelDistance,
    NegativeSupervision,
    NegativeSupervisionCrossEntropy,
    NegativeSupervisionMargin,
    RDrop,
    RunFacts,
    SupervisedContrastive,
    static_distance,
)

K = 3
OBJECTIVES = {
    "cross-entropy": lambda: CrossEntropy(class_weight=[0.5, 2.0, 1.0], label_smoothing=0.1, focal_gamma=1.5),
    "negative-supervision": lambda: NegativeSupervision("all", label_distance=static_distance(K, [(0, 1)])),
    "negative-supervision-am": lambda: NegativeSupervisionMargin("all"),
    "negative-supervision-ace": lambda: NegativeSupervisionCrossEntropy("all", temperature=0.5),
    "label-distance": lambda: LabelDistance("static", pairs=[(0, 1)], projection_size=None),
    "label-distance-projected": lambda: LabelDistance("static", pairs=[(0, 1)], projection_size=4),
    "label-distance-weight": lambda: LabelDistance(
        [[1.0, 4.0, 0.0], [4.0, 1.0, 0.5], [0.0, 0.5, 1.0]], projection_size=None, distance_as="weight"
    ),
    "r-drop": RDrop,
    "supcon": SupervisedContrastive,
    "supcon-projected": lambda: SupervisedContrastive(0.5, projection_size=4, views=2),
}
every_objective = pytest.mark.parametrize("name", OBJECTIVES)
either_task = pytest.mark.parametrize("multi_label", [False, True])


def make(name, dtype=torch.float32):
    torch.manual_seed(1)
    objective = OBJECTIVES[name]()
    objective.prepare(RunFacts(num_labels=K, hidden_size=4, total_evaluations=10))
    return objective.to(dtype)


def two_views(labels, dtype=torch.float32, seed=0, size=1.0):
    generator = torch.Generator().manual_seed(seed)
    rows = 2 * len(labels)
    return EncodedBatch(
        logits=size * torch.randn(rows, K, generator=generator, dtype=dtype),
        representation=size * torch.randn(rows, 4, generator=generator, dtype=dtype),
        labels=torch.cat([labels, labels]),
        views=torch.arange(2).repeat_interleave(len(labels)),
    )


def as_sets(labels):
    return torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 0]])[labels].float()


def total(objective, batch):
    return objective.total(objective(batch))


@every_objective
@either_task
def test_gradients_agree_with_finite_differences(name, multi_label):
    labels = torch.tensor([0, 1, 2, 0])
    batch = two_views(as_sets(labels).double() if multi_label else labels, torch.float64)
    objective = make(name, torch.float64)

    def loss(logits, representation):
        return total(objective, dataclasses.replace(batch, logits=logits, representation=representation))

    inputs = (batch.logits.requires_grad_(), batch.representation.requires_grad_())
    assert torch.autograd.gradcheck(loss, inputs)


@every_objective
@either_task
@settings(deadline=None, max_examples=20)
@given(
    labels=st.lists(st.integers(0, K - 1), min_size=1, max_size=6), seed=st.integers(0, 999), data=st.data()
)
def test_the_order_of_the_texts_does_not_matter(name, multi_label, labels, seed, data):
    order = torch.tensor(data.draw(st.permutations(range(len(labels)))))
    ids = torch.tensor(labels)
    batch = two_views(as_sets(ids) if multi_label else ids, seed=seed)
    both = torch.cat([order, order + len(labels)])
    shuffled = EncodedBatch(batch.logits[both], batch.representation[both], batch.labels[both], batch.views)
    objective = make(name)
    torch.testing.assert_close(total(objective, shuffled), total(objective, batch), atol=1e-5, rtol=1e-5)


@every_objective
@either_task
@settings(deadline=None, max_examples=30)
@given(
    labels=st.lists(st.integers(0, K - 1), min_size=1, max_size=5),
    size=st.sampled_from([0.0, 1e-30, 1e-8, 1.0, 1e4, 1e15, 1e30]),
    equal=st.booleans(),
)
def test_losses_and_gradients_are_finite_at_the_extremes(name, multi_label, labels, size, equal):
    ids = torch.tensor(labels)
    batch = two_views(as_sets(ids) if multi_label else ids, size=size)
    if equal:
        batch = dataclasses.replace(
            batch,
            logits=batch.logits[:1].expand_as(batch.logits).clone(),
            representation=batch.representation[:1].expand_as(batch.representation).clone(),
        )
    batch.logits.requires_grad_()
    batch.representation.requires_grad_()
    loss = total(make(name), batch)
    loss.backward()
    assert loss.isfinite()
    for tensor in (batch.logits, batch.representation):
        assert tensor.grad is None or tensor.grad.isfinite().all()


@pytest.mark.parametrize(
    "name", [name for name in OBJECTIVES if name != "r-drop"]
)  # which needs the second view
@either_task
def test_a_single_row_is_finite(name, multi_label):
    labels = torch.tensor([0])
    batch = two_views(as_sets(labels) if multi_label else labels)
    batch = EncodedBatch(batch.logits[:1], batch.representation[:1], batch.labels[:1], batch.views[:1])
    batch.logits.requires_grad_()
    batch.representation.requires_grad_()
    loss = total(make(name), batch)
    loss.backward()
    assert loss.isfinite()
    assert name == "cross-entropy" or loss == 0
    for tensor in (batch.logits, batch.representation):
        assert tensor.grad is None or tensor.grad.isfinite().all()


@every_objective
def test_state_survives_a_round_trip(name):
    objective, other = make(name), make(name)
    for parameter in other.parameters():
        torch.nn.init.ones_(parameter)
    other.load_state_dict(objective.state_dict())
    batch = two_views(torch.tensor([0, 1, 2]))
    assert torch.equal(total(other, batch), total(objective, batch))
