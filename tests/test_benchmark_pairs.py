"""The device that a benchmark measures is the one that it names."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def pairs(benchmark_script) -> Any:
    return benchmark_script("pairs")


@pytest.mark.parametrize(
    ("option", "visible", "several", "device", "shown"),
    [
        ("cpu", None, False, "cpu", ""),
        ("cpu", "0,1", True, "cpu", ""),
        ("cuda", None, False, "cuda", "0"),
        ("cuda", "2,3", False, "cuda", "2"),
        ("cuda:1", "2,3", False, "cuda", "3"),
        ("cuda:1", None, False, "cuda", "1"),
        ("cuda", "2,3", True, "cuda", "2,3"),
        (None, "", False, "cpu", ""),
    ],
)
def test_one_device_is_visible_the_named_one(pairs, monkeypatch, option, visible, several, device, shown):
    monkeypatch.setenv(
        "CUDA_VISIBLE_DEVICES", visible or ""
    )  # restored after the test, also if it was not set
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    given = argparse.Namespace(device=option)
    pairs.settle_device(given, several=several)
    assert given.device == device
    assert os.environ["CUDA_VISIBLE_DEVICES"] == shown
