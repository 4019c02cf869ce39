"""Which weights a stage keeps: best, last or average, by the recipe and by default."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import load_file

from tellapart.errors import RecipeError
from tellapart.evaluation.metrics import classification_metrics
from tellapart.fitting import stages
from tellapart.fitting.fit import fit
from tellapart.fitting.rows import load_data
from tellapart.fitting.trials import _fingerprint
from tellapart.recipes import Recipe, method_recipe, with_values
from tellapart.runs.train import train
from tellapart.training.defaults import default_selection


@pytest.fixture
def recipe(recipe) -> Recipe:
    return with_values(recipe, ["stages.0.epochs=3", "stages.0.evaluations=3"])


def _fit(recipe, folder, *settings, data=None):
    chosen = with_values(recipe, list(settings))
    return fit(chosen, load_data(chosen) if data is None else data, folder, quiet=True)


def _accuracy(fitted, split) -> float:
    gold = fitted.labels.encode(split.labels)
    return classification_metrics(fitted.labels, gold, fitted.scores(split))["accuracy"]


def _weights(fitted) -> dict[str, torch.Tensor]:
    return fitted.model.state_dict()


def _same(first, second) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


def _assert_close(first, second) -> None:
    """But for the rounding of embeddings that no text uses, whose weight decay is applied at each evaluation."""
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, atol=1e-6, rtol=1e-5, msg=name)


def test_last_keeps_the_weights_of_a_run_without_validation_rows(recipe, tmp_path):
    data = load_data(recipe)
    last = _fit(recipe, tmp_path / "last", "stages.0.selection=last")
    without = fit(recipe, dataclasses.replace(data, validation=None), tmp_path / "without", quiet=True)
    _assert_close(_weights(last), _weights(without))
    assert without.recipe.stages[0].selection == "last"
    evaluated = [entry for entry in last.history if "eval_accuracy" in entry]
    assert len(evaluated) == 3
    assert _accuracy(last, data.validation) == pytest.approx(evaluated[-1]["eval_accuracy"])


def test_average_is_evaluated_and_kept_with_and_without_validation_rows(recipe, tmp_path):
    data = load_data(recipe)
    average = _fit(recipe, tmp_path / "average", "stages.0.selection=average")
    last = _fit(recipe, tmp_path / "last", "stages.0.selection=last")
    assert not _same(_weights(average), _weights(last))
    evaluated = [entry for entry in average.history if "eval_accuracy" in entry]
    assert _accuracy(average, data.validation) == pytest.approx(evaluated[-1]["eval_accuracy"])
    without = _fit(
        recipe,
        tmp_path / "without",
        "stages.0.selection=average",
        data=dataclasses.replace(data, validation=None),
    )
    _assert_close(_weights(without), _weights(average))
    assert without.recipe.stages[0].selection == "average"


def test_the_default_is_recorded_and_patience_asks_for_the_best(recipe, tmp_path, monkeypatch):
    plain = _fit(recipe, tmp_path / "plain", "stages.0.epochs=1")
    assert plain.recipe.stages[0].selection == default_selection(10) == "best"
    assert default_selection(0) == "last"
    monkeypatch.setattr(stages, "default_selection", lambda rows: "average")
    other = _fit(recipe, tmp_path / "other", "stages.0.epochs=1")
    assert other.recipe.stages[0].selection == "average"
    patient = _fit(recipe, tmp_path / "patient", "stages.0.epochs=1", "stages.0.patience=2")
    assert patient.recipe.stages[0].selection == "best"


@pytest.mark.parametrize("selection", ["last", "average"])
def test_patience_needs_the_best_evaluation(recipe, tmp_path, selection):
    with pytest.raises(RecipeError, match="patience stops at the best evaluation"):
        _fit(recipe, tmp_path, f"stages.0.selection={selection}", "stages.0.patience=2")


def test_a_stage_that_learns_only_the_head_refuses_to_average(recipe, tmp_path):
    for method, number in (("frozen", 0), ("auxiliary-labels", 1)):
        chosen = method_recipe(method, recipe)
        with pytest.raises(RecipeError, match="only the head has no weights to average"):
            _fit(chosen, tmp_path, f"stages.{number}.selection=average")


def test_settings_of_the_trainer_cannot_contradict_the_selection(recipe, tmp_path):
    with pytest.raises(RecipeError, match="set selection instead"):
        _fit(recipe, tmp_path, "stages.0.trainer.averaging=0.5")


def test_the_average_of_a_first_stage_goes_into_the_second(recipe, tmp_path):
    two = method_recipe("auxiliary-labels", recipe)
    average = _fit(two, tmp_path / "average", "stages.0.selection=average")
    best = _fit(two, tmp_path / "best")
    assert [stage.selection for stage in average.recipe.stages] == ["average", None]
    assert not _same(_weights(average), _weights(best))


def test_a_run_folder_has_a_plain_checkpoint_of_the_average(recipe, tmp_path):
    average = with_values(recipe, ["stages.0.selection=average"])
    fitted = fit(average, load_data(average), tmp_path / "fit", quiet=True)
    fitted.save(tmp_path / "model")
    train(average, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "checkpoints").exists()
    files = [load_file(tmp_path / name / "model.safetensors") for name in ("model", "run/model")]
    assert _same(*files)
    assert "selection: average" in (tmp_path / "run" / "recipe.yaml").read_text()


def test_trials_of_an_older_version_stay_valid():
    """Their fingerprint knows none of the keys."""
    recipe = Recipe()
    fingerprint = _fingerprint(recipe, "source")
    changed = with_values(recipe, ["stages.0.selection=last"])
    assert _fingerprint(changed, "source") != fingerprint
    assert _fingerprint(with_values(changed, ["stages.0.selection=null"]), "source") == fingerprint
