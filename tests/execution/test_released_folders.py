"""The lock of an output folder is released only when the engine has ended what may write there."""

from __future__ import annotations

import pytest

from tellapart.errors import OutputError, UserError
from tellapart.execution.engine import Engine
from tellapart.execution.places import Place
from tellapart.fitting.folder import LOCK
from tellapart.recipes import method_recipe
from tellapart.reproduction.protocols import Protocol
from tellapart.reproduction.request import table_request
from tellapart.reproduction.run import reproduce
from tellapart.runs.compare import compare
from tellapart.runs.predict import predict
from tellapart.runs.sweep import sweep
from tellapart.runs.train import train


class Failing(Engine):
    """Cannot start a task, and looks for the lock when it is closed."""

    slots = 1

    def __init__(self, output):
        self.output, self.locked = output, []

    def submit(self, function, /, *arguments):
        raise OutputError("the disk is full", "empty it")

    def close(self):
        self.locked.append((self.output / LOCK).exists())


def _compare(recipe, output, _folder, **options):
    compare(recipe, ["tfidf"], output, trials=1, quiet=True, **options)


def _sweep(recipe, output, _folder, **options):
    searched = ["stages.0.regularisation=1,2"]
    sweep(method_recipe("tfidf", recipe), searched, output, baseline="none", quiet=True, **options)


def _reproduce(recipe, output, _folder, **options):
    protocol = {
        "title": "Tickets",
        "paper": "Somebody: Tickets, 2020",
        "table": "Table 1",
        "encoders": {"bert": recipe.encoder.name},
        "trials": 1,
        "baseline": "svm",
        "columns": {"tickets": {"name": "Tickets", "source": recipe.data.source}},
        "rows": {"svm": {"name": "SVM", "method": "tfidf"}},
        "figures": {"svm": {"tickets": 80.0}},
    }
    reproduce(table_request("mine", Protocol.model_validate(protocol)), output, quiet=True, **options)


def _predict(recipe, output, folder, **options):
    model, new = folder / "model", folder / "new"
    if not model.exists():
        train(method_recipe("tfidf", recipe), model, quiet=True)
        new.mkdir()
        (new / "a.csv").write_text("text\nmy card is lost\n")
    predict(model, new, output, quiet=True, **options)


VERBS = [_compare, _sweep, _reproduce, _predict]


@pytest.mark.parametrize("verb", VERBS)
def test_an_engine_ends_before_its_folder_is_released(recipe, tmp_path, monkeypatch, verb):
    engine = Failing(tmp_path / "out")
    monkeypatch.setattr(Place, "engine", lambda _: engine)
    with pytest.raises(OutputError, match="the disk is full"):
        verb(recipe, tmp_path / "out", tmp_path)
    assert engine.locked[0]
    assert not (tmp_path / "out" / LOCK).exists()


@pytest.mark.parametrize("verb", VERBS)
def test_an_engine_that_cannot_be_had_leaves_no_folder_and_empties_none(recipe, tmp_path, monkeypatch, verb):
    def no_engine(_):
        raise UserError("no cluster answers", "start one")

    with monkeypatch.context() as patch:
        patch.setattr(Place, "engine", no_engine)
        with pytest.raises(UserError, match="no cluster answers"):
            verb(recipe, tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()
    verb(recipe, tmp_path / "out", tmp_path, place=Place(jobs=1))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    monkeypatch.setattr(Place, "engine", no_engine)
    with pytest.raises(UserError, match="no cluster answers"):
        verb(recipe, tmp_path / "out", tmp_path, overwrite=True)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
