"""Copies to and from a GPU, with stand-ins for its tensors: what is asked of PyTorch, and what comes back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tellapart.data.batches.transfer import on_device, on_processor


class _Value:
    """Records what a tensor of the CPU, or of a GPU, is asked for."""

    def __init__(self, log: list[Any], *, on_gpu: bool = False) -> None:
        self.log, self.is_cpu, self.is_cuda = log, not on_gpu, on_gpu

    def pin_memory(self) -> _Value:
        self.log.append("pin")
        return self

    def to(self, device: Any, non_blocking: bool = False) -> Any:
        self.log.append((str(device), non_blocking))
        return torch.ones(2)


def test_a_batch_is_copied_to_a_gpu_from_pinned_memory_without_waiting():
    log: list[Any] = []
    moved: Any = on_device({"input_ids": _Value(log)}, torch.device("cuda:0"))  # type: ignore[dict-item]
    assert set(moved) == {"input_ids"}
    assert log == ["pin", ("cuda:0", True)]


def test_memory_is_not_pinned_where_that_is_turned_off():
    log: list[Any] = []
    on_device({"input_ids": _Value(log)}, torch.device("cuda"), pin=False)  # type: ignore[dict-item]
    assert log == [("cuda", True)]


@pytest.mark.parametrize(("device", "on_gpu"), [("mps", False), ("cpu", False), ("cuda", True)])
def test_other_copies_are_ordinary(device, on_gpu):
    log: list[Any] = []
    on_device({"input_ids": _Value(log, on_gpu=on_gpu)}, torch.device(device))  # type: ignore[dict-item]
    assert log == [(device, False)]


def test_named_tensors_stay_where_they_are():
    batch = {"input_ids": torch.ones(2), "anchors": torch.ones(2, dtype=torch.bool)}
    moved = on_device(batch, torch.device("meta"), kept=("anchors",))
    assert moved["input_ids"].is_meta
    assert moved["anchors"] is batch["anchors"]


def test_values_of_a_gpu_are_read_once_their_copy_has_arrived(monkeypatch):
    log: list[Any] = []

    class Event:
        def record(self) -> None:
            log.append("record")

        def synchronize(self) -> None:
            log.append("wait")

    monkeypatch.setattr(torch.cuda, "Event", Event)
    read = on_processor(_Value(log, on_gpu=True))  # type: ignore[arg-type]
    assert callable(read)
    assert log == [("cpu", True), "record"]
    np.testing.assert_array_equal(read(), np.ones(2))
    assert log[-1] == "wait"


def test_values_of_a_cpu_are_an_array_at_once():
    values = torch.arange(3.0)
    np.testing.assert_array_equal(on_processor(values), values.numpy())
