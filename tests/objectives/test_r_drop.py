from __future__ import annotations

import math

import pytest
import torch

from tellapart.errors import RecipeError
from tellapart.objectives import RDrop


def divergence(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def test_value_on_placed_distributions(make_batch):
    batch = make_batch([0, 0], logits=torch.tensor([[0.5, 0.5], [0.9, 0.1]]).log(), views=2)
    assert RDrop()(batch)["r_drop"].item() == pytest.approx(0.43944, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("multi_label", [False, True])
def test_loss_agrees_with_a_loop(make_batch, multi_label, dtype):
    logits = torch.randn(6, 4, dtype=dtype)
    labels = torch.eye(4)[[0, 1, 2] * 2] if multi_label else torch.tensor([0, 1, 2] * 2)
    loss = RDrop()(make_batch(labels, logits=logits, views=2, dtype=dtype))["r_drop"]
    total = 0.0
    for first, second in zip(logits[:3], logits[3:], strict=True):
        if multi_label:
            pairs = [
                ([a, 1 - a], [b, 1 - b])
                for a, b in zip(first.sigmoid().tolist(), second.sigmoid().tolist(), strict=True)
            ]
        else:
            pairs = [(first.softmax(0).tolist(), second.softmax(0).tolist())]
        total += sum((divergence(p, q) + divergence(q, p)) / 2 for p, q in pairs)
    assert loss.dtype == dtype
    assert loss.item() == pytest.approx(total / 3, rel=1e-5 if dtype == torch.float32 else 1e-12)


def test_equal_views_cost_nothing(make_batch):
    batch = make_batch([0, 1] * 2, logits=torch.randn(2, 3).repeat(2, 1), views=2)
    assert RDrop()(batch)["r_drop"] == 0


def test_a_batch_without_second_views_is_refused(make_batch):
    with pytest.raises(RecipeError, match="two views"):
        RDrop()(make_batch([0, 1, 1]))
