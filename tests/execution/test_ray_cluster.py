"""A real cluster on this machine: a head without cores, and nodes that come and go."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import Future
from types import SimpleNamespace

import psutil
import pytest

import tellapart
from tellapart.errors import DataError, UserError
from tellapart.execution import ray_cluster as module
from tellapart.execution.engine import schedule
from tellapart.execution.places import Place
from tellapart.execution.ray_cluster import RayEngine
from tellapart.runs.compare import compare


@pytest.fixture(scope="module")
def cluster():
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    cluster = cluster_utils.Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "include_dashboard": False,
            "_system_config": {  # a lost node is noticed after a second
                "health_check_initial_delay_ms": 0,
                "health_check_period_ms": 300,
                "health_check_timeout_ms": 1000,
                "health_check_failure_threshold": 2,
            },
        },
    )
    cluster.add_node(num_cpus=2)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def engine(cluster):
    with RayEngine(cluster.address) as engine:
        yield engine


def never(piece, reason):
    raise AssertionError(f"{piece} was not lost: {reason}")


def test_tasks_run_on_the_cluster_with_their_own_errors(engine, cluster):
    assert engine.slots == 2
    assert engine.notes == (f"Runs on Ray at {cluster.address}: 2 at a time on 1 node, 1 thread each.",)
    results = dict(schedule(range(8), math.sqrt, engine, lost=never))
    assert results == {number: math.sqrt(number) for number in range(8)}
    assert engine.submit(os.getpid).result() != os.getpid()
    assert engine.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"
    with pytest.raises(DataError, match="no rows: give some"):
        engine.submit(_raising_data_error()).result()
    died = list(schedule([3], os._exit, engine, lost=lambda _, reason: reason))
    assert died == [(3, module.DIED)]


def _raising_data_error():
    def fail():
        raise DataError("no rows", "give some")

    return fail


def test_the_tasks_of_a_lost_node_run_elsewhere_and_once(engine, cluster, tmp_path):
    lost_node = cluster.add_node(num_cpus=1)
    _until(lambda: engine.slots == 3)

    def work(piece):
        (tmp_path / f"{piece}-begun-{os.getpid()}").touch()
        while not (tmp_path / "go").exists():
            time.sleep(0.05)
        return piece.upper()

    def begun():
        return [path.name[0] for path in tmp_path.glob("*-begun-*")]

    told = []
    reader = threading.Thread(target=lambda: told.extend(schedule("abc", work, engine, lost=never)))
    reader.start()
    _until(lambda: len(begun()) == 3)
    for process in psutil.Process(lost_node.all_processes["raylet"][0].process.pid).children(recursive=True):
        process.kill()
    cluster.remove_node(lost_node, allow_graceful=False)
    _until(lambda: engine.slots == 2)
    (tmp_path / "go").touch()
    reader.join(timeout=60)
    assert sorted(told) == [("a", "A"), ("b", "B"), ("c", "C")]
    assert sorted(Counter(begun()).values()) == [1, 1, 2]


def _until(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it never happened")


def test_a_cluster_without_room_is_refused(cluster, engine):
    with pytest.raises(UserError, match="each run needs 64 cores and 0 GPUs"):
        RayEngine(cluster.address, cores=64)
    with pytest.raises(UserError, match=r"needs 1 cores and 0\.5 GPUs"):
        RayEngine(cluster.address, gpus=0.5)


def test_another_version_on_a_node_is_refused(cluster, engine, monkeypatch):
    monkeypatch.setattr(tellapart, "__version__", "9.9.9")
    with pytest.raises(UserError, match=r"has tellapart \S+, and this machine 9\.9\.9"):
        RayEngine(cluster.address)
    assert engine.submit(math.sqrt, 9).result() == 3  # the connection of another engine stays


def test_an_engine_without_nodes_gives_up(engine, monkeypatch):
    monkeypatch.setattr(type(engine), "slots", 0)
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.01)
    engine.check()
    time.sleep(0.02)
    with pytest.raises(UserError, match="no node of the Ray cluster is left"):
        engine.check()


def test_a_comparison_on_a_cluster_equals_one_on_this_machine(cluster, recipe, tmp_path):
    notes = []
    places = {"here": None, "ray": Place(on=cluster.address)}
    for name, place in places.items():
        folder = tmp_path / name
        compare(recipe, ["frozen"], folder, trials=2, quiet=True, place=place, announce=notes.extend)
    assert [note for note in notes if note.startswith("Runs ")] == [
        f"Runs on Ray at {cluster.address}: 2 at a time on 1 node, 1 thread each."
    ]
    for file in sorted((tmp_path / "here" / "trials").glob("*.json")):
        trials = [json.loads((tmp_path / name / "trials" / file.name).read_text()) for name in places]
        for trial in trials:
            assert trial.pop("environment")["threads"] == 1
            assert trial.pop("seconds") > 0
        assert trials[0] == trials[1]


def test_nodes_answer_in_what_is_left_of_a_minute(cluster, engine):
    assert module.CONNECT_SECONDS < module.ANSWER_SECONDS <= 60
    here = RayEngine(cluster.address)
    waits = []

    def silent(asked, *, num_returns, timeout):
        waits.append(timeout)
        return [], asked

    real = here._ray
    here._ray = SimpleNamespace(wait=silent, remote=real.remote, nodes=real.nodes, exceptions=real.exceptions)
    with pytest.raises(UserError, match=r"1 of 1 nodes .* do not start a process within 10 s"):
        here._check_software(time.monotonic() - 50)
    assert 5 < waits[0] <= 10


@pytest.mark.parametrize("own", [True, False])
def test_leaving_an_engine_ends_its_tasks_also_on_the_connection_of_a_script(cluster, engine, tmp_path, own):
    """`engine` has connected this process already; `own` pretends that it had not."""
    here = RayEngine(cluster.address)
    shut = []
    if own:
        here._connected, here._ray = True, _without_shutdown(here._ray, shut)
    with here:
        finished = here.submit(os.getpid)
        assert psutil.pid_exists(finished.result())
        here.submit(_sleeping, tmp_path)
        _until(lambda: list(tmp_path.iterdir()))
    worker = int(next(tmp_path.iterdir()).name)
    _until(lambda: not psutil.pid_exists(worker))
    assert shut == [True] * own
    assert engine.submit(math.sqrt, 9).result() == 3


def _sleeping(folder):
    (folder / str(os.getpid())).touch()
    time.sleep(600)


def _without_shutdown(ray, shut):
    names = ("exceptions", "cancel", "wait", "nodes", "remote")
    return SimpleNamespace(**{name: getattr(ray, name) for name in names}, shutdown=lambda: shut.append(True))


@pytest.mark.parametrize("error", [ConnectionError("Client disconnected"), "RaySystemError"])
def test_what_ray_raises_without_its_head_becomes_one_sentence(cluster, engine, monkeypatch, error):
    here = RayEngine(cluster.address)
    raised = getattr(here._ray.exceptions, error)("gone") if isinstance(error, str) else error

    def gone(*_, **__):
        raise raised

    here._ray = SimpleNamespace(exceptions=here._ray.exceptions, nodes=gone, remote=lambda **_: _Gone(gone))
    for call in (lambda: here.slots, here.check, lambda: here.submit(abs, -1)):
        with pytest.raises(
            UserError, match=r"the Ray cluster no longer answers: start it again, .* --resume"
        ):
            call()
    here.close()


@pytest.mark.parametrize("call", ["slots", "submit"])
def test_a_call_that_waits_for_a_lost_head_is_given_up(cluster, engine, monkeypatch, call):
    """The head may be lost after it was seen: the call does not return, and Ray ends the process after a minute."""
    monkeypatch.setattr(module, "LOST_SECONDS", 0.1)
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.1)
    here = RayEngine(cluster.address)
    head, over = socket.create_server(("127.0.0.1", 0)), threading.Event()
    here._head = head.getsockname()

    def waits(*_, **__):
        head.close()
        over.wait(60)

    here._ray = SimpleNamespace(exceptions=here._ray.exceptions, nodes=waits, remote=lambda **_: _Gone(waits))
    with pytest.raises(UserError, match="the Ray cluster no longer answers"):
        here.slots if call == "slots" else here.submit(abs, -1)
    over.set()
    here.close()


class _Gone:
    def __init__(self, remote):
        self.remote = remote

    def __call__(self, _function):
        return self


def test_the_error_of_a_connection_is_one_sentence_and_that_of_a_task_stays():
    lost, own = Future(), Future()
    lost.set_exception(ConnectionError("Client disconnected"))
    own.set_result((False, ConnectionError("no hub")))
    assert "no longer answers" in str(module._unwrapped(lost).exception())
    assert str(module._unwrapped(own).exception()) == "no hub"


_COMMAND = """
import sys, time
from tellapart.errors import UserError
from tellapart.execution import engine, ray_cluster

engine.CHECK_SECONDS, ray_cluster.LOST_SECONDS = 0.2, 1.0
try:
    with ray_cluster.RayEngine(sys.argv[1]) as ray:
        print("begun", flush=True)
        list(engine.schedule([600], time.sleep, ray, lost=lambda *_: None))
except UserError as error:
    sys.exit(str(error))
"""


def test_a_command_whose_cluster_dies_ends_with_one_sentence(cluster):
    """In a process of its own: Ray would end it after a minute."""
    from ray.cluster_utils import Cluster

    other = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    command = subprocess.Popen(
        [sys.executable, "-c", _COMMAND, other.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert command.stdout is not None
        assert command.stdout.readline() == "begun\n"
        other.remove_node(other.head_node, allow_graceful=False)
        _, said = command.communicate(timeout=120)
    finally:
        command.kill()
        other.shutdown()
    assert command.returncode == 1
    assert "the Ray cluster no longer answers: start it again, and go on with --resume." in said.splitlines()


def test_an_address_without_a_cluster_is_refused():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        with pytest.raises(UserError, match=f"no Ray cluster answers at 127.0.0.1:{port} .*refused"):
            module._connect(module.import_ray(), address)


def test_what_answers_but_is_no_cluster_is_refused_in_time(monkeypatch):
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.5)
    ray = SimpleNamespace(init=lambda **_: threading.Event().wait(30))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UserError, match=f"answers at {address} .no answer within 0.5 s.*ray start"):
            module._connect(ray, address)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "Version mismatch: The cluster was started with: Ray: 2.9.0 Python: 3.9.1",
            "has other versions than this",
        ),
        ("Initialization failure from server: something", "no Ray cluster answers"),
    ],
)
def test_what_ray_says_becomes_one_sentence(said, message):
    def init(**_):
        raise RuntimeError(said)

    with pytest.raises(UserError, match=message):
        module._init_in_time(SimpleNamespace(init=init), "127.0.0.1:6379", {}, time.monotonic() + 60)
