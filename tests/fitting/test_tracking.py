from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import transformers
from transformers import TrainerCallback, TrainerState

from tellapart.errors import (
    MissingDependencyError,
    RecipeError,
    TellapartWarning,
    TrackerError,
    UserError,
)
from tellapart.fitting.fit import fit
from tellapart.fitting.rows import load_data
from tellapart.fitting.tracking import Tracker, check_tracker, tracked
from tellapart.fitting.trials import run_trial
from tellapart.recipes import method_recipe, with_values
from tellapart.runs.compare import compare
from tellapart.runs.sweep import sweep
from tellapart.runs.train import train

SETTINGS = ("TRACKIO_DIR", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_MODE", "WANDB_API_KEY")


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch):
    for name in (*SETTINGS, "WANDB_DIR", "WANDB_PROJECT", "TENSORBOARD_LOGGING_DIR"):
        monkeypatch.delenv(name, raising=False)


def _events(folder: Path) -> Any:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    return accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()


@pytest.fixture
def short(recipe):
    return with_values(recipe, ["stages.0.epochs=2"])


def test_every_logged_value_arrives_at_its_step(short, tmp_path):
    with tracked("tensorboard", tmp_path / "log", "run", tmp_path / "checkpoints") as tracker:
        fitted = fit(short, load_data(short), tmp_path / "checkpoints", quiet=True, callbacks=[tracker])
    events = _events(tmp_path / "log")
    for tag, key in (
        ("train/loss", "loss"),
        ("train/loss_cross_entropy", "loss_cross_entropy"),
        ("eval/accuracy", "eval_accuracy"),
    ):
        logged = [(entry["step"], pytest.approx(entry[key])) for entry in fitted.history if key in entry]
        assert [(event.step, event.value) for event in events.Scalars(tag)] == logged != []


def test_further_trainings_have_names_of_their_own_in_one_log(short, tmp_path):
    twice = with_values(short, ["data.validation_in_training=true", "stages.0.epochs=1"])
    train(twice, tmp_path / "run", quiet=True, track="tensorboard")
    tags = _events(tmp_path / "run" / "tracking").Tags()["scalars"]
    assert {"train/loss", "eval/accuracy", "train/refit/stage-0/loss"} <= set(tags)


def test_tensorboard_has_the_terms_of_the_objective_the_results_and_the_figures(short, tmp_path):
    result = train(method_recipe("label-distance", short), tmp_path / "run", quiet=True, track="tensorboard")
    folder = tmp_path / "run" / "tracking"
    events = _events(folder)
    tags = events.Tags()
    assert {"train/loss_cross_entropy", "train/loss_label_distance", "eval/accuracy"} <= set(tags["scalars"])
    (accuracy,) = events.Scalars("test/accuracy")
    assert accuracy.value == pytest.approx(result.metrics["test"]["accuracy"])
    assert {"confusion", "label-distance"} == set(tags["images"])
    assert {"confused-pairs/text_summary", "recipe/text_summary"} <= set(tags["tensors"])
    assert {"confused-pairs.md", "confusion.png", "label-distance.png"} < {
        path.name for path in folder.iterdir()
    }
    train(short, tmp_path / "run", quiet=True, overwrite=True)
    assert not folder.exists()


def test_tracking_changes_no_weight_and_a_run_is_resumed_without_it(short, tmp_path):
    train(short, tmp_path / "plain", quiet=True)
    train(short, tmp_path / "logged", quiet=True, track="tensorboard")
    files = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("plain", "logged")]
    assert files[0] == files[1]
    assert "finished already" in train(short, tmp_path / "logged", quiet=True, resume=True).notes[0]


def test_a_run_without_steps_has_its_results_too(short, tmp_path):
    result = train(
        with_values(short, ["encoder.name=tfidf"]), tmp_path / "run", quiet=True, track="tensorboard"
    )
    (accuracy,) = _events(tmp_path / "run" / "tracking").Scalars("test/accuracy")
    assert accuracy.value == pytest.approx(result.metrics["test"]["accuracy"])


def test_a_comparison_logs_one_run_per_trial_and_a_sweep_too(short, tmp_path):
    fast = with_values(short, ["stages.0.epochs=1"])
    compare(fast, ["cross-entropy", "tfidf"], tmp_path / "c", trials=2, quiet=True, track="tensorboard")
    runs = sorted(path.name for path in (tmp_path / "c" / "tracking").iterdir())
    assert runs == [f"{method}-seed{seed}" for method in ("cross-entropy", "tfidf") for seed in (0, 1)]
    for run in runs:
        trial = json.loads((tmp_path / "c" / "trials" / f"{run}.json").read_text())
        (accuracy,) = _events(tmp_path / "c" / "tracking" / run).Scalars("test/accuracy")
        assert accuracy.value == pytest.approx(trial["metrics"]["accuracy"])
    pytest.importorskip("optuna")
    over = ["stages.0.batch_size=16,32"]
    result = sweep(fast, over, tmp_path / "s", baseline="none", quiet=True, track="tensorboard")
    for trial in result.trials:
        events = _events(tmp_path / "s" / "tracking" / f"trial{trial.number}-seed0")
        (accuracy,) = events.Scalars("eval/final_accuracy")
        assert accuracy.value == pytest.approx(trial.mean)


_WANDB = """
import json, os, pathlib
class _Run:
    def _label(self, **_): pass
    def log_artifact(self, artifact): _note("artifact", sorted(artifact.files))
    summary, id, name = {}, "1", "x"
class _Config(dict):
    def update(self, values, **_): pass
class Artifact:
    def __init__(self, name, type): self.files = []
    def add_file(self, file): self.files.append(pathlib.Path(file).name)
class Image:
    def __init__(self, file): assert pathlib.Path(file).is_file()
run, config = None, _Config()
def _note(*what):
    with open(os.environ["NOTES"], "a") as file: file.write(json.dumps(what) + "\\n")
def init(project, **_):
    global run
    run = _Run()
    _note("init", project, os.environ["WANDB_DIR"], os.environ.get("WANDB_MODE"), os.environ["WANDB_LOG_MODEL"])
    print("a line of wandb")
def log(values): _note("log", sorted(values))
def define_metric(*_, **__): pass
def watch(*_, **__): pass
def finish():
    global run
    run = None
    _note("finish")
"""
_MLFLOW = """
import json, os, pathlib
from types import SimpleNamespace
__version__ = "3.0.0"
utils = SimpleNamespace(validation=SimpleNamespace(MAX_PARAM_VAL_LENGTH=500, MAX_PARAMS_TAGS_PER_BATCH=100))
_run = None
def _note(*what):
    with open(os.environ["NOTES"], "a") as file: file.write(json.dumps(what) + "\\n")
def is_tracking_uri_set(): return "MLFLOW_TRACKING_URI" in os.environ
def get_tracking_uri(): return os.environ["MLFLOW_TRACKING_URI"]
def set_experiment(name): pass
def get_experiment_by_name(name): return None
def create_experiment(name, artifact_location): _note("experiment", name, artifact_location)
def active_run(): return _run
def start_run(run_name, nested):
    global _run
    _run = SimpleNamespace(info=SimpleNamespace(run_id="1"))
    _note("init", os.environ["MLFLOW_EXPERIMENT_NAME"], get_tracking_uri(), run_name)
    print("a line of mlflow")
def log_params(values, synchronous): pass
def log_metrics(metrics, step, synchronous): _note("log", sorted(metrics))
def log_artifact(file): _note("artifact", pathlib.Path(file).name)
def end_run():
    global _run
    _run = None
    _note("finish")
"""
_TRACKIO = """
import json, os, pathlib
from types import SimpleNamespace
__version__ = "0.43.0"
context_vars = SimpleNamespace(current_space_id=SimpleNamespace(get=lambda: "me/runs"))
class _Config(dict):
    def update(self, values, **_): pass
config = _Config()
def _note(*what):
    with open(os.environ["NOTES"], "a") as file: file.write(json.dumps(what) + "\\n")
def init(project, name, space_id, private, bucket_id, **_):
    _note("init", project, os.environ["TRACKIO_DIR"], name)
    assert space_id is bucket_id is None  # Trackio reads both from the environment
    assert private is True
    print("a line of trackio")
def log(values): _note("log", sorted(values))
def Image(file): assert pathlib.Path(file).is_file()
def Markdown(text): assert text
def Html(file): assert pathlib.Path(file).is_file()
def finish(): _note("finish")
def freeze(**_): _note("a public copy")
"""


def _stub(name: str, code: str, tmp_path: Path, monkeypatch) -> Path:
    """Puts a package with the interface of a tracker, which notes its calls, in front of the path."""
    package = tmp_path / "packages" / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code)
    if name == "wandb":
        place = package / "sdk" / "lib"
        place.mkdir(parents=True)
        (place / "config_util.py").write_text("class ConfigError(Exception): pass\n")
    monkeypatch.syspath_prepend(tmp_path / "packages")
    for module in [one for one in sys.modules if one.split(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    notes = tmp_path / "notes"
    monkeypatch.setenv("NOTES", str(notes))
    return notes


@pytest.mark.parametrize(
    ("name", "code"), [("wandb", _WANDB), ("mlflow", _MLFLOW), ("trackio", _TRACKIO)], ids=lambda one: one[:9]
)
def test_other_trackers_write_into_the_run_folder_and_send_nothing(
    name, code, short, tmp_path, monkeypatch, capsys
):
    notes = _stub(name, code, tmp_path, monkeypatch)
    monkeypatch.setenv("WANDB_LOG_MODEL", "checkpoint")
    before = dict(os.environ)
    ignored = pytest.warns(TellapartWarning, match="WANDB_LOG_MODEL is ignored")
    try:
        with ignored if name == "wandb" else contextlib.nullcontext():
            train(short, tmp_path / "run", quiet=True, track=name)
    finally:
        for module in [one for one in sys.modules if one.split(".")[0] == name]:
            del sys.modules[module]
    assert dict(os.environ) == before
    calls = [json.loads(line) for line in notes.read_text().splitlines()]
    place = str(tmp_path / "run" / "tracking")
    expected = {
        "wandb": ["init", "tellapart", place, "offline", "false"],
        "mlflow": ["experiment", "tellapart", (tmp_path / "run" / "tracking" / "artifacts").as_uri()],
        "trackio": ["init", "tellapart", place, "run"],
    }
    assert calls[0] == expected[name]
    if name == "mlflow":
        assert calls[1] == ["init", "tellapart", f"sqlite:///{place}/mlflow.db", "run"]
    assert calls[-1] == ["finish"]
    assert [call for call in calls if call[0] == "artifact" and "model.safetensors" in call[1]] == []
    assert [call[0] for call in calls].count("init") == 1
    logged = {key for call in calls if call[0] == "log" for key in call[1]}
    ours = {"loss", "test_accuracy"} if name == "mlflow" else {"train/loss", "test/accuracy"}
    assert ours <= logged
    kept = json.dumps(calls)
    assert all(stem in kept for stem in ("confusion", "confused-pairs", "report"))
    printed = capsys.readouterr()
    assert f"a line of {name}" not in printed.out
    assert f"a line of {name}" in printed.err


def test_trackio_keeps_the_run_in_the_folder(short, tmp_path):
    """In a process of its own, since Trackio reads its folder once."""
    pytest.importorskip("trackio")
    (tmp_path / "recipe.yaml").write_text(short.to_yaml())
    run = [
        sys.executable,
        "-m",
        "tellapart",
        "train",
        "--recipe",
        tmp_path / "recipe.yaml",
        "--json",
        "--quiet",
    ]
    done = subprocess.run(
        [*run, "--track", "trackio", "--output", tmp_path / "run"], capture_output=True, text=True, check=True
    )
    with contextlib.closing(sqlite3.connect(tmp_path / "run" / "tracking" / "tellapart.db")) as database:
        rows = [json.loads(row) for (row,) in database.execute("select metrics from metrics")]
    (accuracy,) = [row["test/accuracy"] for row in rows if "test/accuracy" in row]
    assert accuracy == json.loads(done.stdout)["test"]["accuracy"]
    assert any("train/loss_cross_entropy" in row for row in rows)


def test_a_missing_package_is_named_before_anything_is_read(short, tmp_path, monkeypatch):
    monkeypatch.setattr("tellapart.fitting.tracking.find_spec", lambda name: None)
    nothing = with_values(short, ["data.source=nowhere.csv"])
    for run in (
        lambda: train(nothing, tmp_path / "run", track="wandb"),
        lambda: compare(nothing, ["tfidf"], tmp_path / "run", track="wandb"),
        lambda: sweep(nothing, ["seed=1,2"], tmp_path / "run", track="wandb"),
    ):
        with pytest.raises(
            MissingDependencyError, match=r"--track wandb needs the package wandb.*pip install"
        ):
            run()
    assert not (tmp_path / "run").exists()


def test_an_unknown_tracker_is_refused():
    with pytest.raises(RecipeError, match='no tracker "comet"'):
        check_tracker("comet")
    check_tracker(None)


def test_a_tracker_that_cannot_start_is_one_sentence(short, tmp_path, monkeypatch):
    def refuse() -> None:
        raise ValueError("no such\nserver.")

    from transformers.integrations import integration_utils

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "tensorboard", refuse)
    with pytest.raises(UserError, match=r"tensorboard could not be started \(no such server\)"):
        train(short, tmp_path / "run", quiet=True, track="tensorboard")


def test_a_tracker_that_cannot_start_fails_no_trial_of_a_sweep(short, tmp_path, monkeypatch):
    from transformers.integrations import integration_utils

    def refuse():
        raise OSError("no such server")

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "tensorboard", refuse)
    spaces = ["stages.0.learning_rate=0.001,0.005"]
    with pytest.raises(TrackerError, match="could not be started"):
        sweep(short, spaces, tmp_path / "sweep", baseline="none", quiet=True, track="tensorboard")
    monkeypatch.undo()
    resumed = sweep(short, spaces, tmp_path / "sweep", baseline="none", quiet=True, resume=True)
    assert [trial.state for trial in resumed.trials] == ["complete", "complete"]


class _Failing(TrainerCallback):
    """An integration whose calls of given names fail, after some that do not."""

    fails: dict[str, int] = {}  # noqa: RUF012  replaced by each test

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def _call(self, name: str) -> None:
        self.calls[name] += 1
        if self.calls[name] > self.fails.get(name, 10**6):
            raise OSError("no answer of https://me:hf_secret@runs.example/api")

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._call("begin")

    def on_log(self, *_: Any, **__: Any) -> None:
        self._call("log")

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self._call("end")


@pytest.fixture
def failing(monkeypatch):
    from transformers.integrations import integration_utils

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "tensorboard", _Failing)
    monkeypatch.setattr("tellapart.fitting.tracking.send_files", lambda *_: None)
    return lambda **fails: monkeypatch.setattr(_Failing, "fails", fails)


def test_a_tracker_that_fails_during_training_is_one_warning_and_the_run_is_finished(
    short, tmp_path, failing, recwarn
):
    failing(log=2, end=0)
    result = train(short, tmp_path / "run", quiet=True, track="tensorboard")
    warned = [str(one.message) for one in recwarn if issubclass(one.category, TellapartWarning)]
    assert warned == [
        "tensorboard failed (no answer of https://runs.example/api), and run goes on without it."
    ]
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == result.metrics


def test_only_the_first_run_of_a_folder_must_begin(tmp_path, failing):
    arguments = transformers.TrainingArguments(str(tmp_path / "trials" / "scratch"), report_to="none")

    def logged() -> None:
        with tracked("tensorboard", tmp_path / "log", "one", tmp_path / "trials" / "scratch") as tracker:
            tracker.on_train_begin(arguments, TrainerState(), None)
            tracker.on_log(arguments, TrainerState(), None, {"loss": 1.0})
            tracker.finish({"test_accuracy": 1.0})

    failing(begin=0)
    with pytest.raises(TrackerError, match="could not be started") as caught:
        logged()
    assert "hf_secret" not in str(caught.value)
    failing()
    logged()
    failing(begin=0)
    with pytest.warns(TellapartWarning, match="goes on without it") as warned:
        logged()
    assert len(warned) == 1


def test_the_result_of_a_trial_is_written_before_it_is_sent(short, tmp_path, monkeypatch):
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Tracker, "finish", interrupted)
    recipe = method_recipe("tfidf", short)
    with pytest.raises(KeyboardInterrupt):
        run_trial(recipe, load_data(recipe), tmp_path / "trials", "accuracy", True, track="tensorboard")
    assert json.loads((tmp_path / "trials" / "tfidf-seed0.json").read_text())["metrics"]["accuracy"] > 0
