"""The processes of a run: they connect before anything else, and say in one sentence why they could not."""

from __future__ import annotations

import re

import pytest
import torch

from tellapart.errors import TellapartWarning, UserError
from tellapart.fitting.environment import connect, environment
from tellapart.recipes import validated
from tellapart.runs.train import train

ONE_OF_TWO = {"WORLD_SIZE": "2", "RANK": "0"}
RESTARTED = {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_MAX_RESTARTS": "3"}


@pytest.fixture
def refused(monkeypatch):
    """Processes that cannot reach each other."""

    def connecting(cpu):
        raise torch.distributed.DistNetworkError("connect [127.0.0.1]:1:\n Connection refused.")

    monkeypatch.setattr("accelerate.PartialState", connecting)


@pytest.fixture
def started(monkeypatch):
    """The variables that torchrun gives to a process, as of a call."""
    return lambda values: [monkeypatch.setenv(name, value) for name, value in values.items()]


@pytest.mark.parametrize(
    ("cuda", "mps", "named"), [(False, False, "cpu"), (False, True, "mps"), (True, True, "H200")]
)
def test_the_environment_names_the_device_that_is_used(monkeypatch, cuda, mps, named):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "H200")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert environment()["device"] == named


def test_a_single_process_connects_to_nobody(refused):
    connect()


def test_processes_that_do_not_find_each_other_are_no_mistake_in_the_trainers_options(
    refused, started, ticket_file, tmp_path
):
    started(ONE_OF_TWO)
    stage = {"trainer": {"optim": "sgd"}}
    recipe = validated({"data": {"source": str(ticket_file)}, "stages": [stage]})
    with pytest.raises(UserError) as refusal:
        train(recipe, tmp_path / "run", quiet=True)
    assert re.match(r"the 2 processes .* \(connect \[127.0.0.1\]:1: Connection refused\)", str(refusal.value))
    assert not (tmp_path / "run").exists()


def test_a_run_that_may_be_restarted_is_told_what_torchrun_needs(refused, started):
    started(ONE_OF_TWO | RESTARTED)
    with (
        pytest.warns(TellapartWarning, match="set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"),
        pytest.raises(UserError, match="set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for restarts"),
    ):
        connect()


@pytest.mark.parametrize(
    "change", [{"TORCHELASTIC_USE_AGENT_STORE": "False"}, {"TORCHELASTIC_MAX_RESTARTS": "0"}]
)
def test_a_run_that_exchanges_addresses_anew_or_never_restarts_is_told_nothing(
    refused, started, recwarn, change
):
    started(ONE_OF_TWO | RESTARTED | change)
    with pytest.raises(UserError) as refusal:
        connect()
    assert "TORCH_DISABLE" not in str(refusal.value)
    assert not recwarn.list
