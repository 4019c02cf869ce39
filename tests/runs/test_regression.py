"""Numbers to predict, from the recipe to the saved checkpoint."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.linear_model import RidgeCV
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback, pipeline

from tellapart.encoders.scoring import represent
from tellapart.encoders.transformer import final_linear, labels_of
from tellapart.errors import ModelError, RecipeError
from tellapart.evaluation.comparison import Comparison
from tellapart.fitting.fit import fit
from tellapart.fitting.loading import load_fitted
from tellapart.fitting.resolve import resolve_method
from tellapart.fitting.rows import load_data
from tellapart.recipes import Recipe, load_recipe, method_recipe, methods, regression_recipe, with_values
from tellapart.runs.compare import compare
from tellapart.runs.evaluate import evaluate
from tellapart.runs.predict import predict
from tellapart.runs.robustness import robustness
from tellapart.runs.sweep import sweep
from tellapart.runs.train import train
from tellapart.training.scale import TargetScale

CLASS_METHODS = sorted(set(methods()) - {"mean-squared-error", "r-drop", "frozen", "tfidf"})


@pytest.fixture(scope="module")
def scores_recipe(score_file, tiny_encoder):
    settings = [
        f"data.source={score_file}",
        "data.regression=true",
        f"encoder.name={tiny_encoder}",
        "encoder.max_length=24",
        "stages.0.epochs=6",
        "stages.0.learning_rate=0.005",
    ]
    return with_values(Recipe(), settings)


@pytest.fixture(scope="module")
def run(scores_recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scores") / "run"
    return folder, train(with_values(scores_recipe, ["stages.0.epochs=12"]), folder, quiet=True)


def _file(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "score"), *rows])
    return path


def test_scores_are_learned_and_given_in_their_own_unit(run, scored):
    folder, result = run
    test = result.metrics["test"]
    assert list(test)[:2] == ["pearson_correlation", "spearman_correlation"]
    assert test["pearson_correlation"] > 0.75
    assert test["mean_absolute_error"] < np.std([score for _, score in scored])
    table = pq.read_table(folder / "predictions.parquet")
    assert table.column_names == ["text", "label", "predicted_score"]
    columns = table.to_pydict()
    errors = np.abs(np.subtract(columns["label"], columns["predicted_score"]))
    assert errors.mean() == pytest.approx(test["mean_absolute_error"], rel=1e-4)
    assert "Largest errors" in (folder / "report.html").read_text(encoding="utf-8")
    recipe = load_recipe(folder / "recipe.yaml")
    assert (recipe.method, recipe.stages[0].objective.name) == ("mean-squared-error", "mean-squared-error")
    assert recipe.stages[0].metric == "pearson_correlation"
    stored = json.loads((folder / "model" / "tellapart.json").read_text())
    assert stored == {"columns": {"text": "text", "label": "score"}}


def test_the_checkpoint_gives_raw_scores_without_tellapart(run, scored, tmp_path):
    folder, _ = run
    predict(folder, _file(tmp_path / "rows.csv", scored[:40]), tmp_path / "out.parquet", quiet=True)
    predicted = pq.read_table(tmp_path / "out.parquet")
    assert predicted.column_names == ["text", "score", "predicted_score"]
    expected = predicted["predicted_score"].to_pylist()
    model = AutoModelForSequenceClassification.from_pretrained(folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    assert (model.config.num_labels, model.config.problem_type) == (1, "regression")
    texts = [text for text, _ in scored[:40]]
    with torch.inference_mode():
        plain = model(**tokenizer(texts, padding=True, truncation=True, return_tensors="pt")).logits
    assert plain[:, 0].tolist() == pytest.approx(expected, rel=1e-4)
    served = pipeline("text-classification", str(folder / "model"))(texts[:5], function_to_apply="none")
    assert [(one["label"], one["score"]) for one in served] == [
        ("score", pytest.approx(score, rel=1e-4)) for score in expected[:5]
    ]


def test_a_saved_model_is_measured_as_it_was(run, scores_recipe):
    folder, result = run
    test = load_data(scores_recipe).test
    measured = evaluate(folder, {"text": test.texts, "score": test.labels}, quiet=True)
    assert measured == pytest.approx({"rows": len(test), **result.metrics["test"]}, rel=1e-4)


def test_the_unit_of_the_scores_changes_nothing_but_the_unit(scores_recipe, scored, tmp_path):
    # powers of two, so that nothing is rounded
    _file(tmp_path / "large.csv", [(text, 8 * score - 1024) for text, score in scored])
    short = with_values(scores_recipe, ["stages.0.epochs=2"])
    large = with_values(short, [f"data.source={tmp_path / 'large.csv'}"])
    fits = [fit(recipe, load_data(recipe), tmp_path / "scratch", quiet=True) for recipe in (short, large)]
    test = load_data(short).test
    before, after = (fitted.scores(test) for fitted in fits)
    assert after == pytest.approx(8 * before - 1024, rel=1e-3)


def test_accumulated_batches_step_like_one(scores_recipe, tiny_encoder, tmp_path):
    steady = shutil.copytree(tiny_encoder, tmp_path / "steady")  # a dropout so rare that nothing is dropped
    config = json.loads((steady / "config.json").read_text())
    config |= {"hidden_dropout_prob": 1e-7, "attention_probs_dropout_prob": 1e-7}
    (steady / "config.json").write_text(json.dumps(config))
    scores = []
    for batch_size, accumulation, window in ((32, 1, 8), (8, 4, 32)):
        settings = [
            f"encoder.name={steady}",
            "encoder.classifier_dropout=0",
            "stages.0.epochs=2",
            "stages.0.learning_rate=0.001",
            "stages.0.precision=fp32",
            f"stages.0.batch_size={batch_size}",
            f"stages.0.gradient_accumulation_steps={accumulation}",
            f"stages.0.trainer.bucket_window={window}",
        ]
        recipe = with_values(scores_recipe, settings)
        data = load_data(recipe)
        scores.append(fit(recipe, data, tmp_path / str(batch_size), quiet=True).scores(data.test))
    assert scores[1] == pytest.approx(scores[0], rel=1e-4)


class _Killed(TrainerCallback):
    def on_save(self, args, state, control, **_):
        if state.global_step >= state.max_steps // 2:
            raise KeyboardInterrupt


def test_a_killed_run_goes_on_to_the_same_scores(scores_recipe, tmp_path):
    recipe = with_values(scores_recipe, ["stages.0.epochs=3"])
    data = load_data(recipe)
    whole = fit(recipe, data, tmp_path / "whole", resumable=True, quiet=True)
    with pytest.raises(KeyboardInterrupt):
        fit(recipe, data, tmp_path / "killed", resumable=True, quiet=True, callbacks=[_Killed()])
    resumed = fit(recipe, data, tmp_path / "killed", resume=True, resumable=True, quiet=True)
    assert np.array_equal(resumed.scores(data.test), whole.scores(data.test))


def test_frozen_is_a_ridge_regression_on_the_vectors(scores_recipe, tmp_path):
    recipe = with_values(method_recipe("frozen", scores_recipe), ["stages.0.precision=fp32"])
    data = load_data(recipe)
    fitted = fit(recipe, data, tmp_path, quiet=True)
    vectors = represent(fitted.model, fitted.tokenised(data.train))
    held = represent(fitted.model, fitted.tokenised(data.test))
    scale, scores = np.sqrt((vectors**2).sum(1).mean()), TargetScale.of(data.train)
    penalties = np.logspace(-4, 3, 15)
    ridge = RidgeCV(alphas=penalties).fit(vectors / scale, scores.standardised(data.train).labels)
    expected = scores.restored(ridge.predict(held / scale))
    assert fitted.scores(data.test)[:, 0] == pytest.approx(expected, rel=1e-3)
    assert fitted.recipe.stages[0].objective.name == "mean-squared-error"


def test_a_head_can_be_learned_by_epochs_too(scores_recipe, tmp_path):
    recipe = with_values(method_recipe("frozen", scores_recipe), ["stages.0.solver=adamw"])
    data = load_data(recipe)
    fitted = fit(recipe, data, tmp_path, quiet=True)
    assert {"loss", "eval_pearson_correlation"} <= fitted.history[-1].keys()
    linear = final_linear(fitted.model)
    assert (linear.out_features, fitted.scores(data.test).shape) == (1, (len(data.test), 1))


def test_tfidf_is_a_ridge_regression_that_comes_back(scores_recipe, tmp_path):
    recipe = method_recipe("tfidf", scores_recipe)
    result = train(recipe, tmp_path / "run", quiet=True)
    assert result.metrics["test"]["pearson_correlation"] > 0.8
    again = load_fitted(tmp_path / "run")
    assert again.labels.regression
    test = load_data(recipe).test
    assert evaluate(tmp_path / "run", {"text": test.texts, "score": test.labels}) == pytest.approx(
        {"rows": len(test), **result.metrics["test"]}
    )


def test_r_drop_holds_two_passes_together_by_their_squared_difference(scores_recipe, tmp_path):
    recipe = with_values(method_recipe("r-drop", scores_recipe), ["stages.0.epochs=1"])
    fitted = fit(recipe, load_data(recipe), tmp_path, quiet=True)
    assert {"loss_mean_squared_error", "loss_r_drop"} <= set().union(*fitted.history)


@pytest.mark.parametrize("method", CLASS_METHODS)
def test_methods_over_classes_are_refused_before_anything_is_loaded(scores_recipe, tmp_path, method):
    recipe = with_values(method_recipe(method, scores_recipe), ["encoder.name=/nowhere"])
    with pytest.raises(RecipeError, match="needs classes, but the labels are numbers"):
        fit(recipe, load_data(recipe), tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["data.few_shot=4"], "few-shot sampling"),
        (["data.order=[a, b]"], "no order of classes"),
        (["data.hierarchy_separator=."], "no hierarchy of classes"),
        (["decision.temperature=fitted"], "a temperature calibrates"),
        (["decision.thresholds=0.3"], "the rows have numeric targets"),
        (["decision.thresholds=tuned"], "the rows have numeric targets"),
        (["stages.0.metric=accuracy"], "pearson_correlation"),
        (["stages.0.batches=balanced"], "these rows have numeric targets"),
        (["stages.0.objective={name: r-drop, class_weight: balanced}"], "class_weight applies to classes"),
    ],
)
def test_what_is_about_classes_is_refused(scores_recipe, tmp_path, settings, message):
    recipe = with_values(scores_recipe, settings)
    with pytest.raises(RecipeError, match=message):
        train(recipe, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "model").exists()


def test_squared_errors_of_classes_are_refused(recipe, tmp_path):
    with pytest.raises(RecipeError, match=r"labels are classes: add --regression"):
        fit(method_recipe("mean-squared-error", recipe), load_data(recipe), tmp_path, quiet=True)


def test_methods_are_compared_by_correlation_without_anything_of_classes(scores_recipe, tmp_path):
    recipe = with_values(scores_recipe, ["stages.0.epochs=2"])
    found = compare(recipe, ["tfidf", "mean-squared-error", "frozen"], tmp_path / "out", trials=2, quiet=True)
    assert found.metric == "pearson_correlation"
    assert (found.confusable_pairs, found.pairs[0].flips) == ((), None)
    for name in ("tfidf", "mean-squared-error", "frozen"):
        for trial in found.methods[name].trials:
            assert trial.score == trial.metrics["pearson_correlation"]
    before, after = (found.methods[name].scores for name in ("tfidf", "frozen"))
    assert found.pair("frozen").difference == pytest.approx(
        np.mean([after[seed] - before[seed] for seed in (0, 1)])
    )
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert Comparison.from_dict(written) == found
    assert (tmp_path / "out" / "comparison.html").is_file()
    assert not list((tmp_path / "out").glob("confusion-*"))


def test_a_comparison_refuses_a_method_over_classes_before_it_trains_another(scores_recipe, tmp_path):
    with pytest.raises(RecipeError, match="supcon needs classes"):
        compare(scores_recipe, ["mean-squared-error", "supcon"], tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


def test_a_sweep_is_held_against_squared_error(scores_recipe, tmp_path):
    recipe = method_recipe("frozen", with_values(scores_recipe, ["stages.0.epochs=1"]))
    found = sweep(recipe, ["stages.0.solver=l-bfgs,adamw"], tmp_path / "out", quiet=True)
    assert (found.baseline.method, found.metric) == ("mean-squared-error", "pearson_correlation")
    assert [trial.state for trial in found.trials] == ["complete", "complete"]


def test_a_model_of_scores_has_no_labels_to_attack(run, score_file, tiny_wordnet, tmp_path):
    with pytest.raises(ModelError, match="predicts numbers"):
        robustness(run[0], score_file, tmp_path / "out", wordnet=tiny_wordnet, quiet=True)


def test_only_what_is_left_open_becomes_squared_error():
    assert resolve_method(Recipe()) == Recipe()
    assert resolve_method(with_values(Recipe(), ["data.source=stsb"])).method == "mean-squared-error"
    assert (
        resolve_method(with_values(Recipe(), ["data.source=stsb", "data.regression=false"])).method
        == "cross-entropy"
    )
    frozen = regression_recipe(method_recipe("frozen"))
    assert (frozen.method, frozen.stages[0].learns) == ("frozen", "head")
    assert frozen.stages[0].objective.name == "mean-squared-error"
    named = method_recipe("cross-entropy")
    assert regression_recipe(named) == named


def test_a_single_output_without_a_problem_type_is_a_number_and_several_numbers_are_refused(run):
    model = AutoModelForSequenceClassification.from_pretrained(run[0] / "model")
    model.config.problem_type = None
    assert labels_of(model).regression
    model.config.num_labels, model.config.problem_type = 2, "regression"
    with pytest.raises(ModelError, match="2 numbers"):
        labels_of(model)
