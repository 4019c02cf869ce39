from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tellapart.encoders import long_attention
from tellapart.encoders.dropout import fast_attention
from tellapart.encoders.long_attention import LONG, attention_in_pieces
from tellapart.encoders.random_masks import LEVELS, random_mask

TEXTS, HEADS, SIZE = 5, 2, 8
DROPPED = LEVELS // 4


def inputs(length: int, width: int, dtype: torch.dtype = torch.bfloat16) -> list[Tensor]:
    torch.manual_seed(0)
    shapes = [(TEXTS, HEADS, rows, SIZE) for rows in (length, width, width)]
    return [torch.randn(shape).to(dtype).requires_grad_() for shape in shapes]


def by_formula(tensors: list[Tensor], allowed: Tensor | None, kept: Tensor) -> Tensor:
    query, key, value = tensors
    scores = query @ key.mT / 3
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -1e30)
    return scores.softmax(-1) * kept * LEVELS / (LEVELS - DROPPED) @ value


def some_hidden(*shape: int) -> Tensor:
    torch.manual_seed(1)
    allowed = torch.rand(shape) < 0.7
    allowed[..., 0] = True
    return allowed


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("width", [64, 61])  # PyTorch's softmax of 16-bit numbers is in use for 64 alone
@pytest.mark.parametrize("mask", [None, (TEXTS, 1, 1, 1), (TEXTS, 1, 60, 1), (1, HEADS, 60, 1)])
@pytest.mark.parametrize("at_once", [1, 2, TEXTS])
def test_pieces_have_the_values_and_gradients_of_the_formula(monkeypatch, dtype, width, mask, at_once):
    length = 60
    monkeypatch.setattr(long_attention, "_PIECE", at_once * HEADS * length * width)
    allowed = None if mask is None else some_hidden(*mask[:3], width)
    given = inputs(length, width, dtype)
    torch.manual_seed(2)
    attended = attention_in_pieces(*given, allowed, DROPPED, 1 / 3)
    torch.manual_seed(2)
    pieces = [min(at_once, TEXTS - first) for first in range(0, TEXTS, at_once)]
    kept = torch.cat([random_mask(torch.Size((n, HEADS, length, width)), DROPPED, 1) for n in pieces])
    exact = [tensor.detach().float().requires_grad_() for tensor in given]
    expected = by_formula(exact, allowed, kept)
    direction = torch.randn(expected.shape)
    attended.backward(direction.to(dtype))
    expected.backward(direction)
    torch.testing.assert_close(attended.float(), expected, atol=0.02, rtol=0.02)
    for ours, theirs in zip(given, exact, strict=True):
        torch.testing.assert_close(ours.grad.float(), theirs.grad, atol=0.03, rtol=0.03)


def test_a_text_that_is_all_hidden_has_no_nan():
    given = inputs(7, 7)
    attended = attention_in_pieces(*given, torch.zeros(TEXTS, 1, 1, 7, dtype=torch.bool), DROPPED, 1.0)
    attended.sum().backward()
    assert torch.isfinite(attended).all()
    assert all(torch.isfinite(tensor.grad).all() for tensor in given)


@pytest.mark.parametrize(("length", "pieces"), [(LONG - 1, 0), (LONG, 1)])
@pytest.mark.parametrize("rate", [0.1, 1e-9])
def test_long_texts_of_16_bits_are_read_in_pieces(monkeypatch, length, pieces, rate):
    calls = []
    monkeypatch.setattr(
        "tellapart.encoders.dropout.attention_in_pieces",
        lambda *args: calls.append(args) or attention_in_pieces(*args),
    )
    layer = nn.Module()
    layer.is_causal = False
    given = inputs(length, length)
    attended = fast_attention(layer, *given, None, dropout=rate)[0]
    assert attended.shape == (TEXTS, length, HEADS, SIZE)
    assert len(calls) == (pieces if rate == 0.1 else 0)
    fast_attention(layer, *[tensor.float() for tensor in given], None, dropout=rate)
    assert len(calls) == (pieces if rate == 0.1 else 0)


def test_long_and_short_texts_have_the_same_expectation(monkeypatch):
    layer = nn.Module()
    layer.is_causal = False
    given = [tensor.detach() for tensor in inputs(LONG, LONG)]
    allowed = some_hidden(TEXTS, 1, 1, LONG).expand(TEXTS, 1, LONG, LONG)

    def mean() -> Tensor:
        return torch.stack(
            [fast_attention(layer, *given, allowed, dropout=0.2)[0].float() for _ in range(60)]
        ).mean(0)

    long = mean()
    monkeypatch.setattr("tellapart.encoders.dropout.LONG", LONG + 1)
    deviation = (long - mean()).pow(2).mean().sqrt()
    exact = fast_attention(layer, *given, allowed, dropout=0.0)[0].float()
    assert deviation < 0.2 * exact.pow(2).mean().sqrt()
    assert (long - exact).pow(2).mean().sqrt() < 0.15 * exact.pow(2).mean().sqrt()
