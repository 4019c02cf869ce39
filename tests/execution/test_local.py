"""Real processes, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor

import psutil
import pytest

from tellapart.execution import local as module
from tellapart.execution.local import Processes

_PARENT = """
import os, time
from tellapart.execution.local import Processes

with Processes([("", ()), ("", ())]) as engine:
    first = engine.submit(os.getpid).result()
    engine.submit(time.sleep, 600)
    print(first, engine.submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_with_the_one_that_started_them_whether_they_work_or_wait(how):
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        parent.send_signal(how)
    assert len({worker.pid for worker in workers}) == 2
    _, left = psutil.wait_procs(workers, timeout=60)
    for worker in left:
        worker.kill()
    assert not left


_WITH_A_FILE = """
import tempfile, time
with tempfile.NamedTemporaryFile(dir=folder):
    time.sleep(600)
"""


_DEAF = """
import pathlib, signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
pathlib.Path(file).touch()
time.sleep(600)
"""


def _busy(engine, folder):
    """Has the only process of an engine sleep while it has a file; returns the process and the future."""
    worker = psutil.Process(engine.submit(os.getpid).result())
    future = engine.submit(exec, _WITH_A_FILE, {"folder": str(folder)})
    while not list(folder.iterdir()):
        assert not future.done()
        time.sleep(0.05)
    return worker, future


def test_leaving_an_engine_interrupts_a_task_which_removes_its_files(tmp_path):
    with pytest.raises(OSError, match="disk full"), Processes([("", ())]) as engine:  # noqa: PT012
        worker, future = _busy(engine, tmp_path)
        raise OSError("disk full")
    assert not worker.is_running()
    assert isinstance(future.exception(), KeyboardInterrupt)
    assert not list(tmp_path.iterdir())
    engine.close()


def test_a_second_interrupt_does_not_stop_the_clean_up(tmp_path):
    with Processes([("", ())]) as engine:
        _, future = _busy(engine, tmp_path)
        process = next(iter(module._processes_of(engine._pools[0])))
        module._interrupt(process)  # as a terminal does upon Ctrl-C
        with pytest.raises(KeyboardInterrupt):
            future.result(timeout=60)
        module._interrupt(process)
        assert engine.submit(abs, -1).result(timeout=60) == 1


def test_a_process_that_still_imports_ends_without_a_traceback(capfd):
    with Processes([("", ())]) as engine:
        future = engine.submit(exec, "", _SlowToRead())
        (process,) = module._processes_of(engine._pools[0])
        worker = psutil.Process(process.pid)
        while worker.num_threads() < 2:  # the initialiser starts one when it has set the signal
            time.sleep(0.05)
    assert not worker.is_running()
    assert isinstance(future.exception(), BrokenExecutor)
    assert "Traceback" not in capfd.readouterr().err


def test_a_process_that_waits_goes_on():
    with Processes([("", ())]) as engine:
        pid = engine.submit(os.getpid).result()
        for process in module._processes_of(engine._pools[0]):
            module._interrupt(process)
        assert engine.submit(os.getpid).result(timeout=60) == pid


class _SlowToRead(dict):
    """Takes long to unpickle, as a function does whose module is imported for it."""

    def __reduce__(self):
        return time.sleep, (600,)


def test_a_task_that_goes_on_when_interrupted_is_killed(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "END_SECONDS", 0.2)
    with Processes([("", ())]) as engine:
        worker = psutil.Process(engine.submit(os.getpid).result())
        future = engine.submit(exec, _DEAF, {"file": str(tmp_path / "begun")})
        while not (tmp_path / "begun").exists():
            time.sleep(0.05)
    assert not worker.is_running()
    assert future.exception() is not None
