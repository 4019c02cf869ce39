from __future__ import annotations

import os
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import pytest

from tellapart.errors import UserError
from tellapart.reproduction.scheduling import (
    Budget,
    InProcess,
    executors,
    parse_budget,
    schedule,
    visible_devices,
)


def always(_piece):
    return True


def never(piece):
    raise AssertionError(f"{piece} was not lost")


class ByHand(Executor):
    """Work that ends when the test says so."""

    def __init__(self):
        self.begun = []

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self.begun.append((args[0], lambda: future.set_result(fn(*args, **kwargs))))
        return future


def test_pieces_are_done_in_their_order_and_told_one_by_one():
    done = []
    runs = schedule(
        "abc", lambda piece: done.append(piece) or piece.upper(), [InProcess()], fits=always, lost=never
    )
    assert next(runs) == ("a", "A")
    assert done == ["a"]  # the next begins only when the caller has seen this one
    assert list(runs) == [("b", "B"), ("c", "C")]


def test_what_does_not_fit_is_passed_over_and_smaller_pieces_still_run():
    sizes, left = {"a": 2, "b": 9, "c": 3, "d": 9}, [5]

    def work(piece):
        left[0] -= sizes[piece]
        return piece

    runs = schedule("abcd", work, [InProcess()], fits=lambda piece: sizes[piece] <= left[0], lost=never)
    assert list(runs) == [("a", "a"), ("b", None), ("c", "c"), ("d", None)]


def test_each_worker_has_one_piece_at_a_time_and_the_first_that_is_free_gets_the_next():
    first, second = ByHand(), ByHand()
    told = []
    runs = schedule("abcd", str.upper, [first, second], fits=always, lost=never)
    reader = threading.Thread(target=lambda: told.extend(runs))
    reader.start()
    _until(lambda: first.begun and second.begun)
    assert ([piece for piece, _ in first.begun], [piece for piece, _ in second.begun]) == (["a"], ["b"])
    second.begun[0][1]()
    _until(lambda: len(second.begun) == 2)
    second.begun[1][1]()
    _until(lambda: len(second.begun) == 3)
    assert [piece for piece, _ in second.begun] == ["b", "c", "d"]
    assert len(first.begun) == 1
    second.begun[2][1]()
    first.begun[0][1]()
    reader.join(timeout=10)
    assert sorted(told) == [("a", "A"), ("b", "B"), ("c", "C"), ("d", "D")]
    assert told[0] == ("b", "B")


def _until(condition):
    waited = threading.Event()
    for _ in range(1000):
        if condition():
            return
        waited.wait(0.01)
    raise AssertionError("it never happened")


def test_real_workers_do_everything_once():
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
        results = dict(schedule(range(20), lambda piece: piece**2, [one, two], fits=always, lost=never))
    assert results == {piece: piece**2 for piece in range(20)}


def test_what_interrupts_a_piece_interrupts_the_schedule():
    def work(_piece):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(schedule("ab", work, [InProcess()], fits=always, lost=never))


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


def test_jobs_share_the_cores_and_see_no_gpu():
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("one core cannot be shared")
    workers = executors([], jobs=2)
    try:
        seen = [worker.submit(os.sched_getaffinity, 0).result() for worker in workers]
        threads = [worker.submit(os.getenv, "OMP_NUM_THREADS").result() for worker in workers]
        assert workers[0].submit(os.getenv, "CUDA_VISIBLE_DEVICES").result() == ""
    finally:
        for worker in workers:
            worker.shutdown()
    assert not seen[0] & seen[1]
    assert seen[0] | seen[1] == set(cores)
    assert threads == [str(len(one)) for one in seen]
    assert sorted(os.sched_getaffinity(0)) == cores


def test_jobs_that_cannot_share_are_refused():
    with pytest.raises(UserError, match="cannot share"):
        executors([], jobs=len(os.sched_getaffinity(0)) + 1)
    with pytest.raises(UserError, match="each GPU has a process"):
        executors(["0"], jobs=2)


def test_several_devices_have_a_process_each_and_fewer_have_none():
    assert [type(one) for one in executors([])] == [InProcess]
    assert [type(one) for one in executors(["0"])] == [InProcess]
    workers = executors(["7", "GPU-b"])
    try:
        seen = [worker.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result() for worker in workers]
        assert seen == ["7", "GPU-b"]
        # A process that dies takes one piece with it, and no more.
        died = schedule([1], os._exit, workers[:1], fits=always, lost=lambda piece: f"lost {piece}")
        assert list(died) == [(1, "lost 1")]
        after = schedule(["PATH"], os.getenv, workers[:1], fits=always, lost=never)
        assert list(after) == [("PATH", os.environ["PATH"])]
    finally:
        for worker in workers:
            worker.shutdown()
