"""Model, corpus and recipe of a pre-training run, on each device."""

from __future__ import annotations

import pytest

from tellapart.pretraining import setup
from tellapart.pretraining.recipe import validated_pretraining
from tellapart.pretraining.terms import PretrainingModel
from tellapart.pretraining.texts import open_texts


@pytest.mark.parametrize("device", ["cpu", "mps", "cuda"])
def test_the_model_is_put_on_the_device_of_the_machine(text_file, tmp_path, monkeypatch, device):
    devices = []
    monkeypatch.setattr(setup, "default_device", lambda: device)
    monkeypatch.setattr(PretrainingModel, "to", lambda _, device: devices.append(device))
    sizes = {"hidden_size": 16, "layers": 1, "heads": 2, "vocabulary_size": 100}
    recipe = validated_pretraining({"texts": str(text_file), "encoder": "new", "steps": 1, **sizes})
    setup.prepare(recipe, open_texts(text_file), tmp_path / "run", resumed=False, quiet=True)
    assert devices == [device]
