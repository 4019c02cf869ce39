from __future__ import annotations

import contextlib
import os
import shutil
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tellapart.errors import ModelError
from tellapart.serving.files import Stamps
from tellapart.serving.metrics import ServiceMetrics
from tellapart.serving.model import ServedModel
from tellapart.serving.reloading import ModelHolder


def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def version(client: Any) -> str:
    return client.get("/readyz").json()["model"]


@pytest.fixture
def run(write_model, tmp_path) -> Path:
    return write_model(tmp_path / "run")


def replace(run: Path, other: Path) -> None:
    """As `train --overwrite` does: the folder is away for a moment, then the new one is renamed into its place."""
    shutil.copytree(other / "model", run / ".new")
    shutil.rmtree(run / "model")
    (run / ".new").rename(run / "model")


def test_a_replaced_model_answers_and_each_answer_names_its_own(client, run, write_model, tmp_path):
    service = client(run)
    before = version(service)
    other = write_model(tmp_path / "other", seed=1)
    wanted = {before: service.post("/v1/classify", json={"texts": "lost"}).json()["answers"]}
    wanted_after = client(other)
    wanted[version(wanted_after)] = wanted_after.post("/v1/classify", json={"texts": "lost"}).json()[
        "answers"
    ]
    replace(run, other)
    seen = set()

    def answered_by_both() -> bool:
        answer = service.post("/v1/classify", json={"texts": "lost"}).json()
        assert answer["answers"] == wanted[answer["model"]]
        seen.add(answer["model"])
        return len(seen) == 2

    until(answered_by_both)
    assert service.get("/v1/model").json()["version"] == version(wanted_after)


def test_a_broken_model_leaves_the_old_one_and_says_so(client, run, write_model, tmp_path):
    service = client(run)
    before = version(service)
    weights = run / "model" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    until(lambda: service.get("/readyz").json()["reload"] == "failed")
    ready = service.get("/readyz")
    assert (ready.status_code, ready.json()["model"]) == (200, before)
    assert service.get("/v1/model").json()["reload_failure"].endswith(".")
    assert service.post("/v1/classify", json={"texts": "lost"}).json()["model"] == before
    assert 'tellapart_reloads_total{outcome="failed"} 1.0' in service.get("/metrics").text
    replace(run, write_model(tmp_path / "other", seed=1))
    until(lambda: service.get("/readyz").json()["reload"] == "ok")
    assert version(service) != before


def test_a_model_that_is_away_leaves_the_old_one(client, run):
    service = client(run)
    before = version(service)
    shutil.rmtree(run / "model")
    service.app.state.service.holder.reload()
    until(lambda: service.get("/readyz").json()["reload"] == "failed")
    assert version(service) == before
    assert service.post("/v1/classify", json={"texts": "lost"}).status_code == 200


def test_new_metrics_are_described(client, run):
    service = client(run)
    (run / "metrics.json").write_text('{"test": {"accuracy": 0.875}}')
    until(lambda: service.get("/v1/model").json()["metrics"] == {"test": {"accuracy": 0.875}})


@pytest.mark.skipif(os.name != "posix", reason="symbolic links need rights on Windows")
def test_a_switched_link_is_a_new_model_and_the_old_one_leaves_the_memory(client, write_model, tmp_path):
    runs = [write_model(tmp_path / f"v{seed}", seed=seed) for seed in (0, 1)]
    link = tmp_path / "current"
    link.symlink_to(runs[0])
    service = client(link)
    described = service.get("/v1/model").json()
    assert (described["name"], described["metrics"]) == ("v0", {"test": {"accuracy": 0.5}})
    assert service.post("/v1/classify", json={"texts": "lost"}).status_code == 200
    old = weakref.ref(service.app.state.service.holder.current.fitted.model)
    link.with_name("next").symlink_to(runs[1])
    link.with_name("next").replace(link)
    until(lambda: version(service) != described["version"])
    described = service.get("/v1/model").json()
    assert (described["name"], described["metrics"]) == ("v1", {"test": {"accuracy": 0.51}})
    until(lambda: old() is None)


class Files:
    """Stamps that a test changes, and a loader of models with them."""

    def __init__(self, now: int) -> None:
        self.now, self.broken, self.looks = now, False, 0

    def stamps(self) -> Stamps:
        self.looks += 1
        if self.broken:
            raise PermissionError(13, "the network folder is away")
        return (("config.json", self.now, 0, 0),)

    def model(self) -> ServedModel:
        return ServedModel(None, str(self.now), {}, self.stamps())


@pytest.fixture
def holder() -> Iterator[Callable[[Files, ServedModel], ModelHolder]]:
    with contextlib.ExitStack() as running:

        def start(files: Files, first: ServedModel) -> ModelHolder:
            one = ModelHolder(first, files.model, files.stamps, ServiceMetrics(), seconds=0.01)
            one.start()
            running.callback(one.close)
            return one

        yield start


def test_a_model_that_changed_while_it_was_loaded_first_is_replaced(holder):
    files = Files(1)
    first = files.model()
    files.now = 2  # between the load and the first look
    started = holder(files, first)
    until(lambda: started.current.version == "2")


def test_a_folder_that_is_away_for_a_moment_does_not_end_the_reloads(holder, caplog):
    files = Files(1)
    started = holder(files, files.model())
    files.broken = True
    seen = files.looks
    started.reload()  # not lost
    until(lambda: files.looks > seen + 3)
    assert started.current.version == "1"
    assert caplog.text.count("model_not_readable") == 1
    first = started.current
    files.broken = False
    until(lambda: started.current is not first)
    files.now = 2
    until(lambda: started.current.version == "2")


def test_files_that_change_while_they_are_read_are_no_failure(holder):
    files = Files(1)
    started = holder(files, files.model())

    def load() -> ServedModel:
        started._load = files.model
        files.now = 3
        raise ModelError("a file is half written", "wait")

    started._load = load
    files.now = 2
    until(lambda: started.current.version == "3")
    assert started.failure is None
