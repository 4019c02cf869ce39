from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tellapart.serving.files import file_stamps


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
    time.sleep(0.2)
    assert version(service) == before
    assert service.post("/v1/classify", json={"texts": "lost"}).status_code == 200


def test_new_metrics_are_described(client, run):
    service = client(run)
    (run / "metrics.json").write_text('{"test": {"accuracy": 0.875}}')
    until(lambda: service.get("/v1/model").json()["metrics"] == {"test": {"accuracy": 0.875}})


def test_stamps_change_with_every_file_of_the_model_and_with_nothing_else(run):
    before = file_stamps(str(run))
    (run / "report.html").write_text("a page")
    (run / "model" / ".temporary").write_text("")
    assert file_stamps(str(run)) == before == file_stamps(str(run))
    (run / "model" / "README.md").write_text("a card")
    assert file_stamps(str(run)) != before
    assert file_stamps("a/name-of-the-hub") == ()
