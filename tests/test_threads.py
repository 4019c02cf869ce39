"""Threads that wait asleep, and no more of them than there is processor time for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tellapart import threads
from tellapart.threads import WAITING, processor_quota, share_the_machine


def test_variables_are_set_where_the_user_has_set_none():
    variables: dict[str, str] = {}
    share_the_machine(variables)
    assert variables.items() >= WAITING.items()


@pytest.mark.parametrize("name", WAITING)
def test_one_variable_of_the_user_leaves_waiting_to_the_user(name):
    variables = {name: "7"}
    share_the_machine(variables)
    assert {key: value for key, value in variables.items() if key in WAITING} == {name: "7"}


@pytest.mark.parametrize(
    ("quota", "cores", "expected"),
    [(1.5, 8, "1"), (4.0, 8, "4"), (0.5, 8, "1"), (8.0, 8, None), (None, 8, None)],
)
def test_threads_follow_the_quota_of_a_container(monkeypatch, quota, cores, expected):
    monkeypatch.setattr(threads, "processor_quota", lambda: quota)
    monkeypatch.setattr(threads, "usable_cores", lambda: cores)
    variables: dict[str, str] = {}
    share_the_machine(variables)
    assert variables.get("OMP_NUM_THREADS") == expected
    own = {"OMP_NUM_THREADS": "3"}
    share_the_machine(own)
    assert own["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "1 2 3"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_the_quota_is_read_from_both_versions_of_control_groups(tmp_path, files, expected):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert processor_quota(tmp_path) == expected


@pytest.mark.parametrize(
    "door",
    ["import tellapart", "from tellapart.cli import main", "from tellapart import TextClassifier"],
)
def test_every_door_sets_them_before_torch_is_loaded(tmp_path, door):
    (tmp_path / "torch.py").write_text("import os; print(os.environ.get('OMP_WAIT_POLICY'))")
    check = f"import contextlib\nwith contextlib.suppress(Exception):\n    {door}\nimport torch"
    variables = {name: value for name, value in os.environ.items() if name not in WAITING}
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", check],
        env=variables | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "PASSIVE"
