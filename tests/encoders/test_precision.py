from __future__ import annotations

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.encoders.pooling import set_pooling
from tellapart.encoders.precision import bf16_copy, default_device, use_bf16, widened
from tellapart.encoders.scoring import score
from tellapart.encoders.transformer import final_linear


@pytest.fixture
def rows() -> TokenisedDataset:
    lengths = np.random.default_rng(0).integers(1, 30, 64)
    return TokenisedDataset({"input_ids": np.random.default_rng(1).integers(5, 60, lengths.sum())}, lengths)


@pytest.mark.parametrize(
    ("family", "pooling"),
    [
        ("bert", "mean"),
        ("bert", "stock"),
        ("roberta", "mean"),
        ("electra", "cls"),
        ("distilbert", "stock"),
        ("modernbert", "mean"),
    ],
)
def test_bf16_weights_give_nearly_the_logits_of_float32(make_model, rows, family, pooling):
    model = make_model(family)
    set_pooling(model, pooling)
    half = bf16_copy(model)
    assert half is not model
    wanted, found = score(model, rows), score(half, rows)
    assert 0 < np.abs(found - wanted).max() < 0.03 * np.abs(wanted).max()
    clear = np.ptp(np.sort(wanted, 1)[:, -2:], axis=1) > 0.03
    assert clear.sum() > 20
    assert (found.argmax(1) == wanted.argmax(1))[clear].all()


def test_the_last_layer_stays_in_float32_as_it_was_and_the_model_too(make_model):
    model = make_model("bert")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    half = bf16_copy(model)
    torch.testing.assert_close(final_linear(half).weight, final_linear(model).weight, rtol=0, atol=0)
    assert next(half.parameters()).dtype == torch.bfloat16
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    logits = half(input_ids=torch.tensor([[5, 6]])).logits
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float())  # not rounded to 8 bits


def test_frequencies_of_rotary_positions_are_not_rounded(make_model):
    model = make_model("modernbert", max_position_embeddings=600)
    half = bf16_copy(model)
    assert half is not model
    kept = dict(half.named_buffers())
    frequencies = {name: value for name, value in model.named_buffers() if name.endswith("inv_freq")}
    assert frequencies
    for name, value in frequencies.items():
        assert not torch.equal(value, value.bfloat16().float())
        torch.testing.assert_close(kept[name], value, rtol=0, atol=0)
        assert kept[name] is not value
    assert set(half.state_dict()) == set(model.state_dict())


def test_a_model_with_other_numbers_in_buffers_computes_with_bf16_weights(make_model, rows):
    """A mask that is added to hidden states makes them float32 if it stays float32."""
    model = make_model("bert")
    embeddings = model.bert.embeddings
    embeddings.register_buffer("shift", torch.full((16,), 0.3), persistent=False)
    embeddings.register_forward_hook(lambda module, _, hidden: hidden + module.shift)
    half = bf16_copy(model)
    assert half is not model
    assert half.bert.embeddings.shift.dtype == torch.bfloat16
    wanted, found = score(model, rows), score(half, rows)
    assert 0 < np.abs(found - wanted).max() < 0.03 * np.abs(wanted).max()


def test_a_family_that_does_not_compute_with_bf16_weights_stays_as_it_is(make_model):
    model = make_model("bert")
    model.register_forward_pre_hook(lambda module, _: _refuse(module))
    assert bf16_copy(model) is model


def _refuse(module: torch.nn.Module) -> None:
    if next(module.parameters()).dtype == torch.bfloat16:
        raise RuntimeError("mat1 and mat2 must have the same dtype")


def test_precision_is_decided_by_the_device_unless_it_is_given(monkeypatch):
    for gains in (True, False):
        monkeypatch.setattr("tellapart.encoders.precision.gains_from_bf16", lambda _, gains=gains: gains)
        assert [use_bf16(name, "cpu") for name in ("auto", "fp32", "bf16")] == [gains, False, True]


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_the_device_is_cuda_else_mps_else_the_processor(cuda, mps, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert default_device() == expected


def test_sums_are_in_float64_except_on_apple_gpus_which_have_none():
    numbers = torch.tensor([0.1, 0.2], dtype=torch.bfloat16)
    assert widened(numbers).dtype == widened(torch.tensor(3)).dtype == torch.float64
    assert torch.equal(widened(numbers), numbers.double())
    with FakeTensorMode():  # shapes and types without the device
        assert widened(torch.ones(2, dtype=torch.bfloat16, device="mps")).dtype == torch.float32
        assert widened(torch.ones(2, dtype=torch.int64, device="mps")).dtype == torch.int64
