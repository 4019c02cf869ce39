"""Stamps, metrics and names of models in folders, behind symbolic links and elsewhere."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tellapart.errors import ModelError
from tellapart.serving import model as serving_model
from tellapart.serving.files import file_stamps, model_folder, model_name, read_report
from tellapart.serving.model import ServedModel, load_settled_model

links = pytest.mark.skipif(os.name != "posix", reason="symbolic links need rights on Windows")


def write_run(folder: Path, accuracy: float = 0.5) -> Path:
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "config.json").write_text("{}")
    (folder / "metrics.json").write_text(json.dumps({"test": {"accuracy": accuracy}}))
    return folder


def point(link: Path, target: Path) -> None:
    """Switches a link as a deployment does, in one step."""
    link.with_name("next").symlink_to(target)
    link.with_name("next").replace(link)


def test_stamps_change_with_every_file_of_the_model_and_with_nothing_else(tmp_path):
    run = write_run(tmp_path / "run")
    before = file_stamps(str(run))
    (run / "report.html").write_text("a page")
    (run / "model" / ".temporary").write_text("")
    assert file_stamps(str(run)) == before
    for file in (run / "model" / "README.md", run / "metrics.json"):
        file.write_text("other content")
        assert file_stamps(str(run)) != before
        before = file_stamps(str(run))
    assert file_stamps("a/name-of-the-hub") == ()


def test_metrics_that_are_no_numbers_are_null(tmp_path):
    run = write_run(tmp_path / "run", float("inf"))
    assert "Infinity" in (run / "metrics.json").read_text()
    assert read_report(run) == {"test": {"accuracy": None}}


@links
@pytest.mark.parametrize("inside", ["", "model"])
def test_metrics_and_name_behind_a_link_are_those_of_its_target(inside, tmp_path):
    versions = [write_run(tmp_path / "store" / f"v{number}", number / 10) for number in (1, 2)]
    link = tmp_path / "served" / "current"
    link.parent.mkdir()
    write_run(tmp_path / "served", 0.9)  # a run beside the link is another one
    stamps = []
    for number, run in enumerate(versions, start=1):
        point(link, run / inside)
        folder = model_folder(str(link))
        assert (model_name(folder), read_report(folder)) == (
            f"v{number}",
            {"test": {"accuracy": number / 10}},
        )
        stamps.append(file_stamps(str(link)))
    assert stamps[0] != stamps[1]
    assert stamps[1] == file_stamps(str(versions[1]))


@links
def test_a_linked_model_in_a_run_folder_has_the_metrics_of_the_run(tmp_path):
    run = write_run(tmp_path / "run", 0.25)
    (run / "model").rename(tmp_path / "weights")
    (run / "model").symlink_to(tmp_path / "weights")
    assert read_report(model_folder(str(run))) == {"test": {"accuracy": 0.25}}


class Changing:
    """A model whose files change while it is loaded the first time or times."""

    def __init__(self, times: int, fails: bool = False) -> None:
        self.times, self.fails, self.loaded = times, fails, 0

    def stamps(self, _: str) -> tuple:
        return (("config.json", min(self.loaded, self.times), 0, 0),)

    def load(self, source: str, _: str) -> ServedModel:
        before = self.stamps(source)
        self.loaded += 1
        if self.fails and self.loaded <= self.times:
            raise ModelError("a file is half written", "wait")
        return ServedModel(None, str(self.loaded), {}, before)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_model_whose_files_change_at_the_start_is_loaded_again(monkeypatch, times, fails):
    changing = Changing(times, fails)
    monkeypatch.setattr(serving_model, "file_stamps", changing.stamps)
    monkeypatch.setattr(serving_model, "load_model", changing.load)
    assert load_settled_model("run").version == str(times + 1)


def test_a_model_that_cannot_be_loaded_is_not_loaded_again(monkeypatch):
    changing = Changing(9, fails=True)
    monkeypatch.setattr(serving_model, "file_stamps", lambda _: ())
    monkeypatch.setattr(serving_model, "load_model", changing.load)
    with pytest.raises(ModelError):
        load_settled_model("run")
    assert changing.loaded == 1
