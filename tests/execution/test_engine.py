from __future__ import annotations

import os
import pickle
import threading
from concurrent.futures import Future

import pytest

from tellapart.errors import DataError, MissingDependencyError, TellapartError, UserError
from tellapart.execution import engine as module
from tellapart.execution.engine import Budget, Engine, Loss, parse_budget, schedule
from tellapart.execution.local import Processes, ThisProcess, local_engine, visible_devices
from tellapart.execution.places import Place


def always(_piece):
    return True


def never(piece, reason):
    raise AssertionError(f"{piece} was not lost: {reason}")


class ByHand(Engine):
    """Work that ends when the test says so."""

    def __init__(self, slots=2, loss=None):
        self.begun, self.room, self.its_loss, self.checked = [], slots, loss, 0

    @property
    def slots(self):
        return self.room

    def submit(self, function, /, *arguments):
        future = Future()
        self.begun.append((arguments[0], lambda: future.set_result(function(*arguments)), future))
        return future

    def loss(self, error):
        return self.its_loss

    def check(self):
        self.checked += 1


def test_pieces_are_done_in_their_order_and_told_one_by_one():
    done = []
    runs = schedule(
        "abc", lambda piece: done.append(piece) or piece.upper(), ThisProcess(), fits=always, lost=never
    )
    assert next(runs) == ("a", "A")
    assert done == ["a"]  # the next begins only when the caller has seen this one
    assert list(runs) == [("b", "B"), ("c", "C")]


def test_what_does_not_fit_is_passed_over_and_smaller_pieces_still_run():
    sizes, left = {"a": 2, "b": 9, "c": 3, "d": 9}, [5]

    def work(piece):
        left[0] -= sizes[piece]
        return piece

    runs = schedule("abcd", work, ThisProcess(), fits=lambda piece: sizes[piece] <= left[0], lost=never)
    assert list(runs) == [("a", "a"), ("b", None), ("c", "c"), ("d", None)]


def test_pieces_begin_as_soon_as_there_is_room():
    engine, told = ByHand(slots=2), []
    runs = schedule("abcd", str.upper, engine, fits=always, lost=never)
    reader = threading.Thread(target=lambda: told.extend(runs))
    reader.start()
    _until(lambda: len(engine.begun) == 2)
    assert [piece for piece, *_ in engine.begun] == ["a", "b"]
    engine.begun[1][1]()
    _until(lambda: len(engine.begun) == 3)
    engine.room = 3  # a cluster may grow
    engine.begun[2][1]()
    _until(lambda: len(engine.begun) == 4)
    engine.begun[3][1]()
    engine.begun[0][1]()
    reader.join(timeout=10)
    assert sorted(told) == [("a", "A"), ("b", "B"), ("c", "C"), ("d", "D")]
    assert told[0] == ("b", "B")


def test_arguments_are_made_when_a_piece_begins():
    made = []
    runs = schedule(
        "ab", pow, ThisProcess(), lost=never, arguments=lambda piece: made.append(piece) or (ord(piece), 2)
    )
    assert next(runs) == ("a", 97**2)
    assert made == ["a"]
    assert list(runs) == [("b", 98**2)]


@pytest.mark.parametrize(("again", "tries"), [(True, 1 + module.REPEATS), (False, 1)])
def test_a_piece_whose_machine_was_lost_is_repeated_and_one_that_died_is_not(again, tries):
    begun = []

    class Burning(ByHand):
        def submit(self, function, /, *arguments):
            begun.append(arguments)
            future = Future()
            future.set_exception(OSError("fire"))
            return future

    engine = Burning(slots=1, loss=Loss("the machine burnt", again))
    runs = schedule(["a"], str.upper, engine, lost=lambda piece, reason: (piece, reason))
    assert list(runs) == [("a", ("a", "the machine burnt"))]
    assert begun == [("a",)] * tries


def test_an_engine_is_asked_whether_it_lives_while_nothing_ends(monkeypatch):
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.01)
    engine = ByHand(slots=1)
    runs = schedule(["a"], str.upper, engine, lost=never)
    reader = threading.Thread(target=lambda: list(runs))
    reader.start()
    _until(lambda: engine.checked > 2)
    engine.begun[0][1]()
    reader.join(timeout=10)
    assert not reader.is_alive()


def _until(condition):
    waited = threading.Event()
    for _ in range(1000):
        if condition():
            return
        waited.wait(0.01)
    raise AssertionError("it never happened")


def test_what_interrupts_a_piece_interrupts_the_schedule():
    def work(_piece):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(schedule("ab", work, ThisProcess(), fits=always, lost=never))


def test_a_budget_weighs_what_is_left():
    now = [100.0]
    budget = Budget(60, clock=lambda: now[0])
    assert budget.fits(None)
    assert budget.fits(60)
    assert not budget.fits(61)
    now[0] = 155
    assert budget.fits(5)
    assert not budget.fits(6)
    now[0] = 160
    assert not budget.fits(None)
    assert not Budget(0).fits(None)
    assert Budget(None).fits(1e9)


@pytest.mark.parametrize(
    ("written", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("2 D", 172800), ("0m", 0)]
)
def test_lengths_of_time_are_read(written, seconds):
    assert parse_budget(written) == seconds


@pytest.mark.parametrize("written", ["", "30", "m", "-3m", "1h30m", "soon"])
def test_what_is_no_length_of_time_is_refused(written):
    with pytest.raises(UserError, match="is no length of time"):
        parse_budget(written)


@pytest.mark.parametrize(
    ("count", "variable", "names"),
    [
        (0, "", []),
        (1, "", ["0"]),
        (3, "", ["0", "1", "2"]),
        (2, "5,7", ["5", "7"]),
        (2, "GPU-a, GPU-b", ["GPU-a", "GPU-b"]),
    ],
)
def test_devices_have_the_names_that_cuda_knows_them_by(monkeypatch, count, variable, names):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_devices() == names


def test_jobs_share_the_cores_and_see_no_gpu_and_a_dead_one_takes_one_piece_with_it():
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("one core cannot be shared")
    with local_engine(2, devices=[]) as engine:
        assert engine.slots == 2
        running = [engine.submit(os.sched_getaffinity, 0) for _ in range(2)]
        seen = [future.result() for future in running]
        assert engine.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result() == ""
        assert engine.submit(os.getenv, "OMP_NUM_THREADS").result() == str(len(seen[0]))
        died = schedule([1], os._exit, engine, lost=lambda piece, reason: (piece, reason))
        assert [piece for _, (piece, reason) in died if reason.startswith("its process died")] == [1]
        pieces = list(range(6))
        assert dict(schedule(pieces, abs, engine, lost=never)) == {piece: piece for piece in pieces}
    assert not seen[0] & seen[1]
    assert seen[0] | seen[1] == set(cores)
    assert sorted(os.sched_getaffinity(0)) == cores


def test_jobs_that_cannot_share_are_refused():
    with pytest.raises(UserError, match="cannot share"):
        local_engine(len(os.sched_getaffinity(0)) + 1, devices=[])
    with pytest.raises(UserError, match="there are GPUs: leave it out: each GPU has a process"):
        local_engine(2, devices=["0", "1"])
    with pytest.raises(UserError, match="there is a GPU: leave it out: the GPU does one run after the other"):
        local_engine(2, devices=["0"])


@pytest.mark.parametrize("before", [None, "7,GPU-b"])
def test_one_job_is_this_process_on_the_first_gpu(monkeypatch, before):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if before is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    with local_engine(1, devices=["7", "GPU-b"]) as engine:
        assert isinstance(engine, ThisProcess)
        assert engine.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result() == "7"
        engine.close()
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == before
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == before


def test_several_devices_have_a_process_each_and_fewer_have_none():
    for jobs in (None, 1):
        assert isinstance(local_engine(jobs, devices=[]), ThisProcess)
        assert isinstance(local_engine(jobs, devices=["0"]), ThisProcess)
    with local_engine(devices=["7", "GPU-b"]) as engine:
        assert isinstance(engine, Processes)
        running = [engine.submit(os.getenv, "CUDA_VISIBLE_DEVICES") for _ in range(2)]
        assert [future.result() for future in running] == ["7", "GPU-b"]


@pytest.mark.parametrize(
    "error",
    [
        TellapartError("a", "b"),
        DataError("the file has no rows", "give one with rows"),
        MissingDependencyError("ray", "ray", "--on"),
    ],
)
def test_errors_travel_between_processes(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert (again.cause, again.remedy) == (error.cause, error.remedy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 0}, "--jobs cannot be 0"),
        ({"jobs": 2, "on": "ray"}, "--jobs is for this machine"),
        ({"cores": 2}, "are for a cluster"),
        ({"on": "ray", "gpus": float("nan")}, "--worker-gpus cannot be nan"),
        ({"on": "ray", "gpus": -1.0}, "--worker-gpus cannot be -1"),
        (
            {"on": "ray", "gpus": 1.5},
            "--worker-gpus cannot be 1.5: a run takes .*: use 1 or less, or 1 or 2",
        ),
        ({"on": "ray", "gpus": 0.00001}, "--worker-gpus cannot be 1e-05: use 0, or 0.0001 or more"),
        ({"on": "ray", "cores": 0}, "--worker-cores cannot be 0"),
        ({"on": ""}, "is no address"),
        ({"on": "spark://host:7077"}, "is no address"),
        ({"on": "host"}, "is no address"),
        ({"on": "host:port"}, "is no address"),
        ({"on": "ray://"}, "is no address"),
        ({"on": "ray://host:99999"}, "is no address"),
        ({"on": "ray://host:1/path"}, "is no address"),
    ],
)
def test_places_that_are_none_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        Place(**options)


@pytest.mark.parametrize("gpus", [0, 0.0001, 0.5, 1, 1.0, 2.0])
def test_shares_of_a_gpu_and_whole_ones(gpus):
    assert Place(on="ray", gpus=gpus).gpus == gpus


@pytest.mark.parametrize("on", ["ray", "ray://host", "ray://host:10001", "10.0.0.1:6379", "[::1]:6379"])
def test_addresses_of_clusters(on):
    assert Place(on=on).on == on


def test_a_tracker_does_not_follow_to_a_cluster():
    Place(jobs=2).check_tracked("tensorboard")
    Place(on="ray").check_tracked(None)
    with pytest.raises(UserError, match="--track writes beside the output"):
        Place(on="ray").check_tracked("tensorboard")
