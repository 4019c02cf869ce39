"""What version 0.1.0 wrote (commit 4dfa9c6) keeps working: run folder, export, estimator, recipe, trials.

The files were written by that version on `tickets.csv` with the encoder beside it; of the ONNX model the node
metadata were taken out, which only held paths of the machine.
"""

from __future__ import annotations

import csv
import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tellapart import TextClassifier, evaluate, load_recipe, predict, train
from tellapart.cli import main

WRITTEN = Path(__file__).parent / "v0_1"


@pytest.fixture
def written(tmp_path, monkeypatch) -> Path:
    """A copy to work in, as the current folder: recipes name the encoder and the rows by relative paths."""
    folder = shutil.copytree(WRITTEN, tmp_path / "v0_1")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("model", ["run", "run/model"])
def test_a_run_folder_gives_the_same_metrics_and_predictions(written, model):
    expected = json.loads((written / "run.expected.json").read_text())
    assert evaluate(model, "tickets.csv", quiet=True) == pytest.approx(expected, abs=1e-5)
    predict(model, "tickets.csv", "again.csv", quiet=True, precision="fp32")
    rows = [list(csv.DictReader((written / name).open())) for name in ("run.predictions.csv", "again.csv")]
    assert [row["predicted_label"] for row in rows[0]] == [row["predicted_label"] for row in rows[1]]


def test_an_export_gives_the_same_metrics(written):
    pytest.importorskip("onnxruntime")
    expected = json.loads((written / "export.expected.json").read_text())
    assert evaluate("export", "tickets.csv", quiet=True) == pytest.approx(expected, abs=1e-5)


def test_an_estimator_comes_back_with_the_same_logits(written):
    expected = json.loads((written / "estimator.expected.json").read_text())
    loaded = TextClassifier.load("estimator")
    np.testing.assert_allclose(loaded.decision_function(expected["texts"]), expected["logits"], atol=1e-5)
    assert loaded.get_params()["method"] == "auxiliary-labels"


@pytest.mark.filterwarnings("ignore:No temperature fits")  # the few validation rows are all right
def test_a_resolved_recipe_runs_and_a_finished_run_is_not_repeated(written, monkeypatch):
    recipe = load_recipe("run/recipe.yaml")
    before = json.loads((written / "run/metrics.json").read_text())
    # Several evaluations are all right; that version kept the first of them.
    monkeypatch.setattr("tellapart.training.trainer.wins_tie", lambda *_: False)
    result = train(recipe, "again", quiet=True)
    assert result.metrics["test"] == pytest.approx(before["test"], abs=1e-3)
    assert main_code("train", "--recipe", "run/recipe.yaml", "--output", "run", "--resume", "--quiet") == 0
    assert json.loads((written / "run/metrics.json").read_text()) == before


def test_trials_are_taken_up_and_not_run_again(written, monkeypatch, capsys):
    monkeypatch.setattr("tellapart.fitting.trials.fit", lambda *_, **__: pytest.fail("a trial was run again"))
    arguments = ["--encoder", "encoder", "--epochs", "12", "--learning-rate", "0.01", "--max-length", "16"]
    arguments += ["--set", "stages.0.batch_size=8", "--methods", "cross-entropy,frozen", "--trials", "2"]
    assert (
        main_code("compare", "tickets.csv", *arguments, "--quiet", "--output", "comparison", "--resume") == 0
    )
    assert capsys.readouterr().err.count("hold no fingerprint of their rows") == 1


def test_a_finished_run_is_not_taken_for_one_with_other_settings(written, capsys):
    arguments = ["--recipe", "run/recipe.yaml", "--output", "run", "--resume", "--quiet"]
    assert main_code("train", *arguments, "--epochs", "99") == 2
    assert "stages.0.epochs" in capsys.readouterr().err
    # A setting that is left out now has its default again, which is another value than that of the run.
    lines = Path("run/recipe.yaml").read_text().splitlines(keepends=True)
    Path("without.yaml").write_text("".join(line for line in lines if not line.startswith("seed:")))
    changed = "".join("seed: 3\n" if line.startswith("seed:") else line for line in lines)
    Path("run/recipe.yaml").write_text(changed)
    assert main_code("train", "--recipe", "without.yaml", *arguments[2:]) == 2
    assert "seed: 3 (now 0)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("data.squad", "read_squad"),
        ("data.tokenising", "tokenise"),
        ("encoders.resolve", "resolve_encoder"),
        ("encoders.transformer", "load_encoder load_tokenizer"),
        ("evaluation.spans", "evaluate_squad exact_match token_f1"),
        ("objectives.base", "EncodedBatch Requirements"),
        ("objectives.distance_matrices", "ordinal_distance"),
        ("pretraining.corrections", "CorrectionRates hard_correction soft_regularisation"),
        ("pretraining.synonyms", "build_table"),
        ("pretraining.tables", "synonym_table"),
        ("recipes", "validated"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_names_that_its_documentation_imported_are_still_there(module, names):
    found = importlib.import_module(f"tellapart.{module}")
    assert all(hasattr(found, name) for name in names.split())


def main_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return int(end.value.code or 0)
