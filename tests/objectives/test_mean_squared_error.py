from __future__ import annotations

import pytest
import torch

from tellapart.errors import RecipeError
from tellapart.objectives import CrossEntropy, MeanSquaredError, RDrop


def test_value_on_placed_numbers(make_batch):
    batch = make_batch([1.0, -2.0, 0.5], logits=[[1.5], [0.0], [0.5]])
    assert MeanSquaredError()(batch)["mean_squared_error"].item() == pytest.approx((0.25 + 4 + 0) / 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("both_views", [False, True])
def test_loss_agrees_with_a_loop(make_batch, dtype, both_views):
    labels, logits = torch.randn(4).repeat(2), torch.randn(8, 1, dtype=dtype)
    loss = MeanSquaredError(both_views=both_views)(make_batch(labels, logits=logits, views=2, dtype=dtype))
    rows = range(8 if both_views else 4)
    expected = sum((float(logits[row, 0]) - float(labels[row])) ** 2 for row in rows) / len(rows)
    assert loss["mean_squared_error"].dtype == dtype
    assert loss["mean_squared_error"].item() == pytest.approx(expected, rel=1e-5)


def test_the_gradient_is_that_of_finite_differences(make_batch):
    labels = torch.randn(3)

    def loss(logits):
        return MeanSquaredError()(make_batch(labels, logits=logits, dtype=torch.float64))[
            "mean_squared_error"
        ]

    assert torch.autograd.gradcheck(loss, torch.randn(3, 1, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize(
    ("labels", "logits"), [([0, 1], [[0.0], [1.0]]), ([0.5, 1.0], [[0.0, 1.0], [1.0, 0.0]])]
)
def test_classes_and_several_outputs_are_refused(make_batch, labels, logits):
    with pytest.raises(RecipeError, match="one number per row"):
        MeanSquaredError()(make_batch(labels, logits=logits))


def test_two_views_of_numbers_differ_by_the_square_of_their_distance(make_batch):
    batch = make_batch([1.0, 2.0, 1.0, 2.0], logits=[[1.0], [2.0], [3.0], [1.5]], views=2)
    assert RDrop()(batch)["r_drop"].item() == pytest.approx((4 + 0.25) / 2)


def test_a_sum_is_for_numbers_only_if_all_of_it_is():
    assert (MeanSquaredError() + RDrop()).requirements.regression
    assert not (MeanSquaredError() + CrossEntropy()).requirements.regression
    assert not (MeanSquaredError() + RDrop()).requirements.classes
