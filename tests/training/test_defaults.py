from __future__ import annotations

import torch

from tellapart.encoders import precision
from tellapart.encoders.scratch import CONFIGS
from tellapart.training.defaults import (
    MAXIMUM_EPOCHS,
    MINIMUM_EPOCHS,
    MINIMUM_STEPS,
    SCRATCH_MAXIMUM_EPOCHS,
    SCRATCH_MINIMUM_EPOCHS,
    default_epochs,
    default_head_learning_rate,
    default_learning_rate,
    default_max_length,
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


def test_encoders_that_learn_from_scratch_learn_faster_longer_and_from_longer_texts():
    for kind in CONFIGS:
        rate = default_learning_rate(360_000, scratch_kind=kind)
        assert rate > default_learning_rate(360_000)
        assert rate == default_learning_rate(10**9, scratch_kind=kind)
    assert default_head_learning_rate(1e-3, from_scratch=True) == 1e-3 < default_head_learning_rate(1e-3)
    assert default_max_length(from_scratch=True) > default_max_length()
    for rows, bound in ((50, SCRATCH_MAXIMUM_EPOCHS), (1_000_000, SCRATCH_MINIMUM_EPOCHS)):
        assert default_epochs(rows, 32, from_scratch=True) == bound > default_epochs(rows, 32)


def test_bf16_is_taken_only_where_it_is_native(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert not precision.use_bf16("auto", "cpu")
    assert precision.use_bf16("bf16", "cpu")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert precision.use_bf16("auto", "cpu")
    assert not precision.use_bf16("fp32", "cpu")
