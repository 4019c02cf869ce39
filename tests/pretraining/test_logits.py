from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tellapart.pretraining import logits as module
from tellapart.pretraining.logits import token_cross_entropy


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Seven rows of 40 tokens in chunks of two, or of as many as there are threads."""
    monkeypatch.setattr(module, "_ELEMENTS", 80)


def _logits(dtype: torch.dtype = torch.float32, scale: float = 3.0) -> torch.Tensor:
    values = scale * torch.randn(7, 40, generator=torch.Generator().manual_seed(0))
    return values.to(dtype).requires_grad_()


LABELS = torch.tensor([0, 39, 5, 5, 17, 2, 30])
FROM_ABOVE = torch.tensor([1.0, 0.5, 0.0, 2.0, -1.0, 1.0, 3.0])


def test_each_loss_is_the_sum_by_hand():
    logits = _logits()
    losses, predictions = token_cross_entropy(logits, LABELS)
    for row, label, loss, prediction in zip(
        logits.tolist(), LABELS.tolist(), losses, predictions, strict=True
    ):
        assert loss.item() == pytest.approx(math.log(sum(math.exp(x) for x in row)) - row[label], rel=1e-6)
        assert prediction.item() == row.index(max(row))


@pytest.mark.parametrize(
    ("dtype", "accuracy"),
    [(torch.float64, 1e-14), (torch.float32, 1e-6), (torch.bfloat16, 2**-9), (torch.float16, 2**-12)],
)
def test_losses_and_gradients_are_those_of_the_plain_formulation(dtype, accuracy):
    """Half precision: sums in float32, and a gradient rounded once."""
    plain, ours = _logits(dtype), _logits(dtype)
    wide = torch.promote_types(dtype, torch.float32)
    expected = functional.cross_entropy(plain.to(wide), LABELS, reduction="none")
    losses, predictions = token_cross_entropy(ours, LABELS)
    assert losses.dtype == wide
    torch.testing.assert_close(losses, expected, atol=min(accuracy, 1e-6), rtol=min(accuracy, 1e-6))
    assert torch.equal(predictions, plain.argmax(-1))
    (expected * FROM_ABOVE.to(wide)).sum().backward()
    (losses * FROM_ABOVE.to(wide)).sum().backward()
    assert ours.grad.dtype == dtype
    torch.testing.assert_close(ours.grad, plain.grad, atol=accuracy, rtol=2 * accuracy)
    assert not ours.grad[2].any()  # a place that leaves the loss


def test_the_gradient_is_that_of_finite_differences():
    logits = _logits(torch.float64)
    assert torch.autograd.gradcheck(lambda values: token_cross_entropy(values, LABELS)[0], (logits,))


def test_the_logits_stay_as_they_were():
    logits = _logits()
    before = logits.detach().clone()
    token_cross_entropy(logits, LABELS)[0].sum().backward()
    assert torch.equal(logits.detach(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_of_any_size_give_finite_losses_and_gradients(dtype):
    logits = _logits(dtype, scale=1e4)
    losses, _ = token_cross_entropy(logits, LABELS)
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(logits.grad).all()
    assert (losses >= 0).all()


def test_of_equal_logits_the_first_is_predicted():
    logits = torch.zeros(1, 40)
    logits[0, [8, 3, 20]] = 2.0
    assert token_cross_entropy(logits, torch.tensor([1]))[1].tolist() == [3]
    assert token_cross_entropy(logits.bfloat16(), torch.tensor([1]))[1].tolist() == [3]


def test_what_is_no_number_shows_in_the_loss():
    logits = _logits().detach()
    logits[4, 6] = float("nan")
    losses, _ = token_cross_entropy(logits, LABELS)
    assert losses.isnan().tolist() == [False, False, False, False, True, False, False]


def test_no_place_at_all_is_no_error():
    losses, predictions = token_cross_entropy(torch.zeros(0, 40, requires_grad=True), LABELS[:0])
    losses.sum().backward()
    assert len(losses) == len(predictions) == 0
