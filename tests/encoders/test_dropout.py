from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from tellapart.encoders.dropout import (
    ATTENTION_NAME,
    FastDropout,
    fast_attention,
    fast_dropout,
    fast_dropout_unscaled,
    use_fast_dropout,
)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.003, 0.97])
def test_the_rate_is_exact_in_each_of_the_four_elements_of_a_number(rate):
    torch.manual_seed(0)
    draws = 400_000
    kept = fast_dropout(torch.ones(draws, 4), rate) > 0
    deviation = (rate * (1 - rate) / draws) ** 0.5
    for lane in range(4):
        assert abs((~kept[:, lane]).double().mean() - rate) < 5 * deviation + 2**-17
    together = (kept[:, :-1] & kept[:, 1:]).double().mean()  # neighbours are independent
    assert abs(together - (1 - rate) ** 2) < 5 * deviation + 2**-16


def test_the_expectation_stays_and_the_gradient_has_the_same_mask():
    torch.manual_seed(0)
    values = torch.ones(1000, 333, requires_grad=True)
    dropped = fast_dropout(values, 0.1)
    assert float(dropped.detach().mean()) == pytest.approx(1.0, abs=5e-3)
    dropped.sum().backward()
    assert torch.equal(values.grad, dropped.detach())


def test_the_gradient_is_right_in_double_precision():
    values = torch.randn(3, 5, dtype=torch.double, requires_grad=True)

    def drop(inputs: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(1)
        return fast_dropout(inputs, 0.4)

    assert torch.autograd.gradcheck(drop, (values,))


def test_seeds_and_restored_states_govern_the_masks():
    values = torch.ones(101)
    torch.manual_seed(3)
    first, state = fast_dropout(values, 0.5), torch.get_rng_state()
    second = fast_dropout(values, 0.5)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(fast_dropout(values, 0.5), second)
    torch.manual_seed(3)
    assert torch.equal(fast_dropout(values, 0.5), first)


def test_nothing_is_dropped_in_evaluation_or_at_rate_0():
    values = torch.randn(10)
    assert torch.equal(FastDropout(0.5).eval()(values), values)
    assert torch.equal(FastDropout(0.0)(values), values)
    assert torch.equal(FastDropout(1.0)(values), torch.zeros(10))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_elements_of_16_bits_are_masked_as_others_are(dtype, rate):
    values = torch.randn(31, 9, dtype=dtype)
    values[0, :3] = torch.tensor([-0.0, float("inf"), 3.0])
    torch.manual_seed(1)
    masked, factor = fast_dropout_unscaled(values.requires_grad_(), rate)
    torch.manual_seed(1)
    kept = fast_dropout(torch.ones(31, 9), rate) > 0
    assert torch.equal(masked.detach(), torch.where(kept, values.detach(), 0))
    assert factor == pytest.approx(1 / (1 - rate), rel=1e-4)
    gradient = torch.randn(9, 31, dtype=dtype).T  # as a transposed product gives it
    masked.backward(gradient)
    assert torch.equal(values.grad, torch.where(kept, gradient, 0))
    untouched, factor = fast_dropout_unscaled(values, 0.0)
    assert untouched is values
    assert factor == 1


@pytest.mark.parametrize("width", [7, 32, 33])  # PyTorch's softmax of 16-bit numbers is in use for 32 alone
def test_attention_of_16_bits_has_the_gradients_of_its_formula(width):
    shape = (2, 3, width, 4)
    query, key, value = (torch.randn(shape, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    mask = torch.ones(2, 1, width, width, dtype=torch.bool)
    mask[0, ..., 4:] = False
    layer = nn.Module()
    layer.is_causal = False
    torch.manual_seed(2)
    attended = fast_attention(layer, query, key, value, mask, dropout=0.3)[0]
    attended.float().pow(2).sum().backward()
    torch.manual_seed(2)
    dropped = fast_dropout(torch.ones(2, 3, width, width), 0.3)
    exact = [tensor.detach().float().requires_grad_() for tensor in (query, key, value)]
    scores = (exact[0] @ exact[1].mT / 2).masked_fill(~mask, -1e30)
    expected = (scores.softmax(-1) * dropped @ exact[2]).transpose(1, 2)
    expected.pow(2).sum().backward()
    torch.testing.assert_close(attended.float(), expected, atol=0.03, rtol=0.03)
    for leaf, other in zip((query, key, value), exact, strict=True):
        torch.testing.assert_close(leaf.grad.float(), other.grad, atol=0.15, rtol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_has_the_expectation_of_sdpa(masked, dtype):
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 7, 4, dtype=dtype) for _ in range(3))
    mask = torch.ones(2, 1, 1, 7, dtype=torch.bool)
    if masked:
        mask[0, ..., 4:] = False
    given = mask.expand(2, 1, 7, 7) if masked else None
    layer = nn.Module()
    layer.is_causal = False
    without, _ = sdpa_attention_forward(layer, query, key, value, given)
    assert torch.equal(fast_attention(layer, query, key, value, given)[0], without)
    mean = torch.stack(
        [fast_attention(layer, query, key, value, given, dropout=0.2)[0].float() for _ in range(4000)]
    ).mean(0)
    torch.testing.assert_close(mean.float(), without.float(), atol=0.06, rtol=0)
    if masked:
        moved = value.clone()
        moved[0, :, 4:] += 100
        torch.manual_seed(1)
        first = fast_attention(layer, query, key, value, given, dropout=0.2)[0]
        torch.manual_seed(1)
        assert torch.equal(fast_attention(layer, query, key, moved, given, dropout=0.2)[0], first)


def test_a_model_keeps_its_evaluation_and_its_config_file(make_model):
    model = make_model("bert")
    inputs = {
        "input_ids": torch.tensor([[5, 6, 7], [8, 9, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]]),
    }
    before, config = model(**inputs).logits, model.config.to_json_string()
    use_fast_dropout(model)
    assert model.config._attn_implementation == ATTENTION_NAME
    assert torch.equal(model(**inputs).logits, before)
    assert model.config.to_json_string() == config
    assert ATTENTION_NAME not in config
    model.train()
    assert not torch.equal(model(**inputs).logits, model(**inputs).logits)


def test_a_compiled_graph_is_not_broken_by_the_masks():
    dropout = FastDropout(0.5).train()
    layer = nn.Module()
    layer.is_causal = False
    value = torch.ones(2, 3, 7, 4)

    def block(values: torch.Tensor) -> torch.Tensor:
        return fast_attention(layer, values, values, dropout(values), None, dropout=0.3)[0]

    compiled = torch.compile(block, backend="eager", fullgraph=True)
    assert not torch.equal(compiled(value), compiled(value))
