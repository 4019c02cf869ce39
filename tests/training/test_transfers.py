from __future__ import annotations

from typing import Any

import torch

from tellapart.training.transfers import UnwaitedTransfers


class _Arguments:
    device = torch.device("meta")
    dataloader_pin_memory = True


class _Base:
    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {"prepared by": "Transformers", **inputs}


class _Trainer(UnwaitedTransfers, _Base):
    args = _Arguments()


def test_a_batch_goes_to_the_device_and_what_is_only_counted_stays():
    batch = {"input_ids": torch.ones(2, 3), "anchors": torch.tensor([False, True])}
    moved = _Trainer()._prepare_inputs(batch)
    assert moved["input_ids"].is_meta
    assert moved["anchors"].tolist() == [False, True]


def test_batches_with_other_values_are_left_to_transformers():
    batch: Any = {"input_ids": torch.ones(2, 3), "names": ["a", "b"]}
    assert _Trainer()._prepare_inputs(batch)["prepared by"] == "Transformers"
