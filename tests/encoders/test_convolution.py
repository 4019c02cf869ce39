from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tellapart.encoders.convolution import max_over_time

LENGTHS = torch.tensor([7, 2, 0, 4])


def _filters(dtype: torch.dtype) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    torch.manual_seed(1)
    weights = [torch.randn(5, 4, width, dtype=dtype, requires_grad=True) for width in (2, 3)]
    return weights, [torch.randn(5, dtype=dtype, requires_grad=True) for _ in weights]


def _vectors(dtype: torch.dtype) -> torch.Tensor:
    torch.manual_seed(0)
    inside = torch.arange(7) < LENGTHS[:, None]
    return (torch.randn(4, 7, 4, dtype=dtype) * inside[:, :, None]).requires_grad_()


def _dense(vectors, weights, biases, lengths):
    """Autograd's own gradients of a convolution and a maximum."""
    maxima = []
    for weight, bias in zip(weights, biases, strict=True):
        answers = functional.conv1d(vectors.transpose(1, 2), weight, bias)
        for row, length in enumerate(lengths.tolist()):
            windows = max(1, length - weight.shape[2] + 1)
            maxima.append(answers[row, :, :windows].max(1).values)
    return torch.cat([torch.stack(maxima[:4]), torch.stack(maxima[4:])], 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_those_of_the_dense_convolution(dtype):
    found = []
    for compute in (max_over_time, _dense):
        vectors, (weights, biases) = _vectors(dtype), _filters(dtype)
        values = compute(vectors, weights, biases, LENGTHS)
        (values.relu() ** 2).sum().backward()
        found.append([values, vectors.grad, *(part.grad for part in [*weights, *biases])])
    for own, expected in zip(*found, strict=True):
        torch.testing.assert_close(own, expected)


def test_the_gradient_is_that_of_small_differences():
    weights, biases = _filters(torch.float64)
    assert torch.autograd.gradcheck(
        lambda vectors, *rest: max_over_time(vectors, rest[:2], rest[2:], LENGTHS),
        (_vectors(torch.float64), *weights, *biases),
    )


def test_without_gradients_the_values_are_the_same():
    vectors, (weights, biases) = _vectors(torch.float32), _filters(torch.float32)
    with torch.no_grad():
        plain = max_over_time(vectors, weights, biases, LENGTHS)
    assert torch.equal(plain, max_over_time(vectors, weights, biases, LENGTHS))


def test_bf16_gives_about_the_same_in_float32():
    vectors, (weights, biases) = _vectors(torch.float32), _filters(torch.float32)
    exact = max_over_time(vectors, weights, biases, LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = max_over_time(vectors, weights, biases, LENGTHS)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, atol=0.05, rtol=0.02)
    rounded.sum().backward()
    assert vectors.grad is not None


def test_vectors_that_do_not_learn_get_no_gradient():
    weights, biases = _filters(torch.float32)
    max_over_time(_vectors(torch.float32).detach(), weights, biases, LENGTHS).sum().backward()
    assert all(part.grad is not None for part in [*weights, *biases])
