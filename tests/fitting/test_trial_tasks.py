"""Seed runs in other processes: encoders that are folders of the command's machine."""

from __future__ import annotations

import shutil

import pytest

from tellapart.encoders import resolve
from tellapart.fitting.rows import load_data
from tellapart.fitting.sweep_trials import SweepTask, run_sweep_task
from tellapart.fitting.trial_tasks import TrialTask, encoder_folders, run_task
from tellapart.recipes import method_recipe, with_values


@pytest.mark.parametrize("verb", ["compare", "sweep"])
def test_a_relative_encoder_that_is_not_on_a_node_is_not_taken_for_one_on_the_hub(
    ticket_file, tiny_encoder, tmp_path, monkeypatch, verb
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_encoder, tmp_path / "runs" / "mlm")
    recipe = with_values(
        method_recipe("frozen"),
        [f"data.source={ticket_file}", "encoder.name=runs/mlm", "encoder.max_length=24"],
    )
    data, folders, command = load_data(recipe), encoder_folders(recipe), str(tmp_path / "command")
    assert folders == ("runs/mlm",)
    (tmp_path / "tfidf").mkdir()
    assert encoder_folders(method_recipe("tfidf")) == ()
    node = tmp_path / "node"
    node.mkdir()
    monkeypatch.chdir(node)  # where the folder of the command is not there
    monkeypatch.setattr(resolve, "_FOLDERS", set())
    if verb == "compare":
        outcome = run_task(TrialTask(recipe, data, "accuracy", None, command, folders))
    else:
        outcome = run_sweep_task(SweepTask("trial0", ((recipe, data),), "accuracy", None, command, folders))
    assert outcome.error is not None
    assert "has no folder runs/mlm" in outcome.error[0]
    assert "on a file system that all nodes share" in outcome.error[1]
    assert not outcome.expected  # it says nothing of the settings
