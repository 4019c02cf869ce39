"""The service as a process, through the command line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

httpx = pytest.importorskip("httpx2")

from tellapart.cli import main  # noqa: E402
from tellapart.errors import ModelError  # noqa: E402
from tellapart.serving import model, server  # noqa: E402
from tellapart.serving.server import serve  # noqa: E402
from tellapart.serving.settings import ServeSettings  # noqa: E402

LONG = 120  # seconds that a test waits before it fails

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) if os.name == "posix" else ()

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


class Running:
    """A service, its address and its log."""

    def __init__(self, model: Path, *options: str) -> None:
        command = [sys.executable, "-m", "tellapart", "serve", str(model), "--port", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        found = re.search(r"http://\S+:\d+", first)
        assert found, first + self.process.communicate()[1]
        self.url, self.log = found.group(), ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.until(lambda: self.get("/readyz").status_code == 200)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log += line

    def get(self, path: str) -> Any:
        return httpx.get(self.url + path, timeout=LONG)

    def classify(self, texts: Any) -> Any:
        return httpx.post(self.url + "/v1/classify", json={"texts": texts}, timeout=LONG)

    def until(self, condition: Callable[[], bool]) -> None:
        """Waits for a condition; a connection that is refused is not yet it."""
        end = time.monotonic() + LONG
        while True:
            try:
                if condition():
                    return
            except httpx.TransportError:
                pass
            assert time.monotonic() < end, self.log
            assert self.process.poll() is None, self.log
            time.sleep(0.05)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(LONG)
        self._reader.join(LONG)
        return code


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def run(model: Path, *options: str) -> Running:
        started.append(Running(model, *options))
        return started[-1]

    yield run
    for one in started:
        if one.process.poll() is None:
            one.stop()


def test_a_service_answers_reloads_and_ends_after_its_last_answer(start, write_model, tmp_path):
    run = write_model(tmp_path / "run")
    service = start(run)
    before = service.classify(["my card was stolen", "lost"]).json()
    assert len(before["answers"]) == 2

    write_model(run, seed=1)
    service.process.send_signal(signal.SIGHUP)
    service.until(lambda: service.get("/readyz").json()["model"] != before["model"])
    assert service.classify("lost").json()["answers"] != before["answers"][1:]

    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(service.classify(["a text"] * 1000)))

    def batches() -> str:
        return re.findall(
            r"^tellapart_batch_texts_count\S* (\S+)", service.get("/metrics").text, re.MULTILINE
        )[0]

    scored = batches()
    asking.start()
    service.until(lambda: batches() != scored)
    assert service.stop() == 0
    asking.join(LONG)
    assert answers[0].status_code == 200
    assert len(answers[0].json()["answers"]) == 1000
    events = [json.loads(line)["event"] for line in service.log.splitlines() if line.startswith("{")]
    assert {"ready", "reloaded", "request"} <= set(events)
    assert "stolen" not in service.log


def test_a_worker_that_dies_is_replaced_and_the_others_answer(start, write_model, tmp_path):
    run = write_model(tmp_path / "run")
    service = start(run, "--workers", "2")
    assert service.classify("lost").status_code == 200
    service.until(
        lambda: "tellapart_model_processes" in (text := service.get("/metrics").text) and " 2.0" in text
    )
    started = re.findall(r"Started server process \[(\d+)\]", service.log)
    os.kill(int(started[0]), signal.SIGKILL)
    service.until(lambda: len(set(re.findall(r"Started server process \[(\d+)\]", service.log))) == 3)
    assert service.classify("lost").status_code == 200
    assert service.stop() == 0


@pytest.fixture
def in_this_process(monkeypatch) -> Iterator[None]:
    """Leaves the logging, the handlers of signals and the switching of threads of the tests as they are."""
    monkeypatch.setattr(server, "CONFIG", None)
    interval = sys.getswitchinterval()
    before = [signal.getsignal(one) for one in SIGNALS]
    yield
    assert [signal.getsignal(one) for one in SIGNALS] == before
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_right_after_the_announcement_ends_the_service(run_folder, in_this_process, workers, number):
    announced: list[str] = []

    def announce(url: str) -> None:
        announced.append(url)
        signal.raise_signal(number)

    serve(ServeSettings(str(run_folder), port=0, workers=workers), announce)
    assert len(announced) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_model_is_loaded_ends_the_program(
    run_folder, in_this_process, monkeypatch, number
):
    monkeypatch.setattr(model, "load_model", lambda *_: signal.raise_signal(number))
    with pytest.raises(SystemExit) as end:
        serve(ServeSettings(str(run_folder), port=0), lambda url: pytest.fail("was announced"))
    assert end.value.code == 0


class _Ended:
    """A server that ends at once."""

    def stop(self, *_: Any) -> None: ...

    def run(self) -> None: ...


def test_a_relative_folder_that_is_gone_later_is_not_looked_for_on_the_hub(
    write_model, in_this_process, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folder = write_model(tmp_path / "runs" / "tickets")
    started: list[ServeSettings] = []

    def server_of(settings: ServeSettings, _: Any) -> _Ended:
        started.append(settings)
        return _Ended()

    monkeypatch.setattr(server, "_server", server_of)
    serve(ServeSettings("runs/tickets", port=0))
    folder.rename(tmp_path / "away")
    with pytest.raises(ModelError, match="there is no model folder at"):  # in place of the Hub's runs/tickets
        model.load_model(started[0].model)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("no-such-folder/model",), "no-such-folder"),
        (("{run}", "--host", "0.0.0.0"), "--token-file"),
        (("{run}", "--max-batch", "0"), "--max-batch"),
        (("{run}", "--host", "192.0.2.1", "--token-file", "{tokens}"), "cannot listen"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(run_folder, tmp_path, capsys, options, words):
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-24-characters\n")
    given = [option.format(run=run_folder, tokens=tokens) for option in options]
    with pytest.raises(SystemExit) as end:
        main(["serve", *given])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
