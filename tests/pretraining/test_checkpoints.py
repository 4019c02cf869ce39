"""Random states of a run that goes on where there are other devices."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tellapart.pretraining.checkpoints import load_random_state, save_random_state


class _Machine:
    """A machine with GPUs, whose states count up from a number."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, gpus: int, state: int = 0, apple: bool = False
    ) -> None:
        self.states = {f"cuda:{index}": torch.tensor([state + index]) for index in range(gpus)}
        if apple:
            self.states["mps"] = torch.tensor([state])
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)
        monkeypatch.setattr(torch.mps, "get_rng_state", lambda: self.states["mps"])
        monkeypatch.setattr(torch.mps, "set_rng_state", lambda value: self.states.update(mps=value))
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: list(self.states.values())[:gpus])
        monkeypatch.setattr(
            torch.cuda, "set_rng_state", lambda value, index: self.states.update({f"cuda:{index}": value})
        )

    def found(self) -> dict[str, int]:
        return {name: int(value) for name, value in self.states.items()}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "random.safetensors"


@pytest.mark.parametrize(
    ("before", "after", "missing"),
    [(0, 1, ["cuda:0"]), (1, 3, ["cuda:1", "cuda:2"]), (2, 2, []), (2, 1, []), (1, 0, [])],
)
def test_random_states_are_restored_on_the_gpus_that_the_run_had(file, monkeypatch, before, after, missing):
    _Machine(monkeypatch, before, state=100)
    save_random_state(file)
    numbers = torch.rand(3)
    machine = _Machine(monkeypatch, after)
    assert load_random_state(file) == missing
    assert machine.found() == {
        f"cuda:{index}": (100 if index < before else 0) + index for index in range(after)
    }
    assert torch.equal(torch.rand(3), numbers)


def test_the_random_state_of_an_apple_gpu_is_kept(file, monkeypatch):
    _Machine(monkeypatch, 0, state=7, apple=True)
    save_random_state(file)
    machine = _Machine(monkeypatch, 0, apple=True)
    assert load_random_state(file) == []
    assert machine.found() == {"mps": 7}
    _Machine(monkeypatch, 1)
    save_random_state(file)
    _Machine(monkeypatch, 0, apple=True)
    assert load_random_state(file) == ["mps"]
