"""Training on the validation rows in the end: for as long as was chosen, and without pretending otherwise."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from tellapart.data.examples import TextSplit
from tellapart.errors import RecipeError
from tellapart.evaluation.metrics import classification_metrics
from tellapart.fitting import fit as fitting
from tellapart.fitting.abstaining import abstention_reports
from tellapart.fitting.fit import fit
from tellapart.fitting.refit import refit_note, refit_recipe, trained_rows, with_validation_rows
from tellapart.fitting.resolve import resolve
from tellapart.fitting.rows import load_data
from tellapart.fitting.trials import run_trial
from tellapart.recipes import method_recipe, with_values
from tellapart.runs.sweep import sweep
from tellapart.runs.train import train


@pytest.fixture
def refit(recipe):
    settings = ["data.validation_in_training=true", "data.few_shot=10", "stages.0.batch_size=8"]
    return with_values(recipe, [*settings, "stages.0.epochs=3", "stages.0.evaluations=4"])


@pytest.fixture
def seen(monkeypatch):
    """The arguments with which stages were run."""
    calls = []
    original = fitting.run_stage

    def watched(stage, objective, model, tokenizer, task, **options):
        result = original(stage, objective, model, tokenizer, task, **options)
        label_rows = 0 if task.label_rows is None else len(task.label_rows)
        rows = {"rows": len(task.train), "label_rows": label_rows, "validation": task.validation}
        calls.append({**rows, **options, "result": result})
        return result

    monkeypatch.setattr(fitting, "run_stage", watched)
    return calls


def _without(recipe):
    return with_values(recipe, ["data.validation_in_training=false"])


def _weights(fitted):
    return {name: value.clone() for name, value in fitted.model.state_dict().items()}


def test_the_second_training_has_all_rows_and_stops_where_the_first_was_best(refit, tmp_path, seen):
    data = load_data(refit)
    longer = with_values(refit, ["stages.0.epochs=6", "stages.0.evaluations=10"])
    fitted = fit(longer, data, tmp_path, quiet=True)
    first, second = seen
    assert second["rows"] == len(data.train) + len(data.validation) == first["rows"] + len(data.validation)
    assert second["validation"] is None
    log = first["result"].history
    scores = [entry for entry in log if "eval_accuracy" in entry]
    best = max(scores, key=lambda entry: (entry["eval_accuracy"], -entry["eval_loss"], entry["step"]))
    share = best["step"] / scores[-1]["step"]
    assert fitted.shares == pytest.approx((share,)) == (second["until"],)
    steps = 6 * -(-second["rows"] // 8)
    assert second["result"].history[-1]["step"] == round(share * steps)


def test_validation_scores_and_decision_are_those_of_the_first_training(refit, tmp_path):
    chosen = with_values(refit, ["decision.temperature=fitted"])
    data = load_data(chosen)
    fitted = fit(chosen, data, tmp_path / "refit", quiet=True)
    plain = fit(_without(chosen), data, tmp_path / "plain", quiet=True)
    assert fitted.decision == plain.decision
    np.testing.assert_array_equal(fitted.validation_scores(data.validation), plain.scores(data.validation))
    assert not np.array_equal(fitted.scores(data.test), plain.scores(data.test))
    assert fitted.history == plain.history or len(fitted.history) == len(plain.history)
    assert fitted.recipe.data.validation_in_training
    assert "has not seen the validation rows" in fitted.remarks[0]


def test_abstention_is_chosen_and_measured_by_the_first_training_alone(refit, tmp_path):
    chosen = with_values(method_recipe("tfidf", refit), ["decision.abstain.precision=0.8"])
    data = load_data(chosen)
    outside = {"validation": TextSplit(["the weather", "two cats"]), "test": TextSplit(["a train"])}
    data = dataclasses.replace(data, out_of_scope=outside)
    fitted = fit(chosen, data, tmp_path / "refit", quiet=True)
    plain = fit(_without(chosen), data, tmp_path / "plain", quiet=True)
    assert fitted.decision == plain.decision
    np.testing.assert_array_equal(
        fitted.outside_scores(outside["validation"], "validation"), plain.scores(outside["validation"])
    )
    np.testing.assert_array_equal(
        fitted.outside_scores(outside["test"], "test"), fitted.scores(outside["test"])
    )
    assert not np.array_equal(fitted.scores(outside["validation"]), plain.scores(outside["validation"]))
    reports = []
    for model in (fitted, plain):
        logits = {"validation": model.validation_scores(data.validation)}
        reports.append(abstention_reports(model, data, logits)["validation"])
    assert reports[0] == reports[1]


def test_it_is_the_training_of_a_user_who_joins_the_rows_by_hand(refit, tmp_path):
    data = load_data(refit)
    fitted = fit(with_values(refit, ["stages.0.selection=last"]), data, tmp_path / "refit", quiet=True)
    epochs = fitted.recipe.stages[0].epochs
    by_hand = with_values(_without(refit), [f"stages.0.epochs={epochs}"])
    other = fit(by_hand, with_validation_rows(data), tmp_path / "hand", quiet=True)
    assert all(torch.equal(value, _weights(other)[name]) for name, value in _weights(fitted).items())


def test_a_folded_temperature_is_folded_into_the_final_model(refit, tmp_path):
    data = load_data(refit)
    plain = fit(refit, data, tmp_path / "plain", quiet=True)
    folded = fit(with_values(refit, ["decision.temperature=folded"]), data, tmp_path / "folded", quiet=True)
    expected = plain.scores(data.test) / folded.decision.temperature
    np.testing.assert_allclose(folded.scores(data.test), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["frozen", "auxiliary-labels", "tfidf"])
def test_every_kind_of_stage_can_be_fitted_again(refit, tmp_path, method):
    chosen = method_recipe(method, refit)
    data = load_data(chosen)
    fitted = fit(chosen, data, tmp_path / "refit", quiet=True)
    plain = fit(_without(chosen), data, tmp_path / "plain", quiet=True)
    np.testing.assert_array_equal(fitted.validation_logits, plain.scores(data.validation))
    assert not np.array_equal(fitted.scores(data.test), plain.scores(data.test))


@pytest.mark.parametrize("selection", ["best", "average"])
def test_label_texts_without_other_rows_are_trained_on_once(refit, tmp_path, seen, selection):
    settings = ["data.few_shot=0", "data.label_texts=names", f"stages.0.selection={selection}"]
    chosen = with_values(refit, settings)
    drawn = load_data(refit)
    data = dataclasses.replace(drawn, train=drawn.train.select([]))
    fitted = fit(chosen, data, tmp_path / "twice", quiet=True)
    fit(chosen, data, tmp_path / "once", quiet=True, validated=False)
    names, validation = len(data.labels), len(data.validation)
    firsts = [] if selection == "average" else [(names, 0)]
    both = (names + validation, 0)
    assert [(call["rows"], call["label_rows"]) for call in seen] == [(names, 0), both, *firsts, both]
    assert fitted.recipe.data.label_texts == "names"


@pytest.mark.parametrize(("rows", "expected"), [(4, False), (5, True), (20, True), (21, False)])
def test_auto_takes_the_validation_rows_where_they_are_a_large_part(refit, rows, expected):
    data = load_data(refit)
    train, validation = data.train.select(range(20)), data.train.select(range(rows))
    auto = with_values(refit, ["data.validation_in_training=auto"])
    run = resolve(auto, dataclasses.replace(data, train=train, validation=validation))
    assert run.recipe.data.validation_in_training is expected


def test_auto_trains_once_where_a_second_training_is_not_possible(refit):
    data = load_data(refit)
    auto = with_values(method_recipe("label-distance", refit), ["data.validation_in_training=auto"])
    assert resolve(auto, data).recipe.data.validation_in_training is False
    nothing = resolve(
        with_values(refit, ["data.validation_in_training=auto"]), dataclasses.replace(data, validation=None)
    )
    assert nothing.recipe.data.validation_in_training is False


def test_a_comparison_says_which_methods_saw_the_validation_rows(refit):
    once = with_values(refit, ["data.validation_in_training=false"])
    assert refit_note({"a": once, "b": once}) == refit_note({"a": refit}) == []
    (note,) = refit_note({"a": once, "b": refit})
    assert note.startswith("In the end b trained on the validation rows too, and a did not")


def test_a_run_folder_says_what_the_model_has_seen(refit, tmp_path):
    result = train(refit, tmp_path / "run", quiet=True)
    plain = train(_without(refit), tmp_path / "plain", quiet=True)
    assert result.metrics["validation"] == plain.metrics["validation"]
    assert result.metrics["rows"] == plain.metrics["rows"]
    told = result.metrics["validation_in_training"]
    assert told["rows"] == plain.metrics["rows"]["train"] + plain.metrics["rows"]["validation"]
    assert len(told["shares"]) == 1
    assert "validation_in_training" not in plain.metrics
    assert any("has not seen the validation rows" in note for note in result.notes)
    assert "has not seen the validation rows" in (tmp_path / "run" / "report.html").read_text()
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("run", "plain")]
    assert weights[0] != weights[1]


def test_an_interrupted_second_training_resumes_to_the_same_bits(refit, tmp_path, monkeypatch):
    chosen = with_values(refit, ["stages.0.selection=average"])
    data = load_data(chosen)
    whole = fit(chosen, data, tmp_path / "whole", quiet=True, resumable=True)
    from transformers import TrainerCallback

    class Kill(TrainerCallback):
        def on_save(self, args, state, control, **_):
            if "refit" in args.output_dir and state.global_step > 10:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(chosen, data, tmp_path / "killed", quiet=True, resumable=True, callbacks=[Kill()])
    resumed = fit(chosen, data, tmp_path / "killed", quiet=True, resumable=True, resume=True)
    assert all(torch.equal(value, _weights(whole)[name]) for name, value in _weights(resumed).items())
    np.testing.assert_array_equal(resumed.validation_logits, whole.validation_logits)


def test_test_rows_that_are_validation_rows_count_as_seen(refit, tickets, tmp_path):
    source = tmp_path / "leaky"
    source.mkdir()
    rows = [{"text": text, "label": label} for text, label in tickets]
    for name, part in {"train": rows[::4], "validation": rows[1::4], "test": rows[1::8] + rows[2::4]}.items():
        (source / f"{name}.json").write_text(json.dumps(part))
    leaky = with_values(refit, [f"data.source={source}", "data.few_shot=null", "encoder.name=tfidf"])
    result = train(leaky, tmp_path / "run", quiet=True)
    assert result.metrics["test_unseen"]["rows"] == len(rows[2::4])
    assert "test_unseen" not in train(_without(leaky), tmp_path / "plain", quiet=True).metrics


@pytest.mark.parametrize("method", ["contrast", "r-drop", "negative-supervision-am"])
def test_a_first_training_that_selects_nothing_can_be_left_out(refit, tmp_path, seen, method):
    settings = ["data.few_shot=4", "stages.0.selection=average", "stages.0.epochs=null"]
    chosen = with_values(method_recipe(method, refit), settings)
    data = load_data(chosen)
    whole = fit(chosen, data, tmp_path / "whole", quiet=True)
    before = len(seen)
    once = fit(chosen, data, tmp_path / "once", quiet=True, validated=False)
    assert (before, len(seen)) == (2, 3)
    assert all(torch.equal(value, _weights(whole)[name]) for name, value in _weights(once).items())
    assert once.recipe.data == whole.recipe.data
    assert trained_rows(once, data).texts == trained_rows(whole, data).texts
    assert once.validation_logits is None


@pytest.mark.parametrize("setting", ["stages.0.selection=best", "decision.temperature=fitted"])
def test_a_first_training_that_selects_something_is_never_left_out(refit, tmp_path, seen, setting):
    chosen = with_values(refit, ["stages.0.selection=average", setting])
    fit(chosen, load_data(chosen), tmp_path, quiet=True, validated=False)
    assert len(seen) == 2


def test_trials_leave_it_out_where_there_are_test_rows(refit, tmp_path, seen):
    chosen = with_values(refit, ["stages.0.selection=average", "stages.0.epochs=1"])
    data = load_data(chosen)
    run_trial(chosen, data, tmp_path / "test", "accuracy", True)
    assert len(seen) == 1
    run_trial(chosen, dataclasses.replace(data, test=None), tmp_path / "validation", "accuracy", True)
    assert len(seen) == 3


def test_trials_without_test_rows_score_the_first_training(refit, tmp_path):
    chosen = with_values(refit, ["encoder.name=tfidf"])
    data = dataclasses.replace(load_data(chosen), test=None)
    trial = run_trial(chosen, data, tmp_path, "accuracy", True)
    plain = fit(_without(chosen), data, tmp_path / "plain", quiet=True)
    gold = plain.labels.encode(data.validation.labels)
    expected = classification_metrics(plain.labels, gold, plain.scores(data.validation))
    assert trial["score"] == expected["accuracy"]
    assert trial["unseen"] is None


def test_a_sweep_never_trains_on_the_rows_that_score_it(refit, tmp_path, seen):
    chosen = with_values(refit, ["stages.0.epochs=1"])
    sweep(chosen, ["stages.0.learning_rate=0.001,0.005"], tmp_path / "sweep", baseline="none", quiet=True)
    assert len(seen) == 2
    assert all(call["validation"] is not None for call in seen)
    assert "validation_in_training: true" in (tmp_path / "sweep" / "best.yaml").read_text()


def test_without_validation_rows_and_with_an_adaptive_distance_it_is_refused(refit, tmp_path):
    data = dataclasses.replace(load_data(refit), validation=None)
    with pytest.raises(RecipeError, match="there are none"):
        fit(refit, data, tmp_path, quiet=True)
    with pytest.raises(RecipeError, match="adaptive label distance counts the confusions"):
        fit(method_recipe("label-distance", refit), load_data(refit), tmp_path, quiet=True)


def test_the_recipe_of_the_second_training_selects_nothing(refit):
    first = with_values(
        refit, ["stages.0.selection=best", "stages.0.patience=3", "decision.temperature=fitted"]
    )
    second = refit_recipe(first)
    assert second.stages[0].selection == "last"
    assert second.stages[0].patience is None
    assert second.decision.temperature == "none"
    assert not second.data.validation_in_training
    assert refit_recipe(with_values(refit, ["stages.0.selection=average"])).stages[0].selection == "average"
