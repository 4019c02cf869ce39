from __future__ import annotations

import torch

from tellapart.training import precision
from tellapart.training.defaults import (
    MAXIMUM_EPOCHS,
    MINIMUM_EPOCHS,
    MINIMUM_STEPS,
    default_epochs,
    default_learning_rate,
)


def test_larger_encoders_learn_more_slowly():
    rates = [default_learning_rate(size) for size in (10_000_000, 86_000_000, 300_000_000)]
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) == 3


def test_small_sets_are_seen_more_often_within_bounds():
    assert default_epochs(50, 32) == MAXIMUM_EPOCHS
    assert default_epochs(1_000_000, 32) == MINIMUM_EPOCHS
    between = default_epochs(3200, 32)
    assert MINIMUM_EPOCHS < between < MAXIMUM_EPOCHS
    assert between * 100 >= MINIMUM_STEPS


def test_bf16_is_taken_only_where_it_is_native(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert not precision.use_bf16("auto", "cpu")
    assert precision.use_bf16("bf16", "cpu")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert precision.use_bf16("auto", "cpu")
    assert not precision.use_bf16("fp32", "cpu")
