"""One model from several: means of weights, distillation, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import pipeline

from tellapart.errors import RecipeError
from tellapart.evaluation.metrics import classification_metrics, probabilities
from tellapart.fitting import merging
from tellapart.fitting.fit import fit
from tellapart.fitting.loading import load_fitted
from tellapart.fitting.merging import fit_merged
from tellapart.fitting.rows import load_data
from tellapart.recipes import method_recipe, with_values
from tellapart.runs.train import train


@pytest.fixture
def quick(recipe):
    settings = ["stages.0.epochs=1", "stages.0.evaluations=1", "stages.0.selection=last", "seed=5"]
    return with_values(recipe, settings)


@pytest.fixture
def fits(monkeypatch):
    """What the merging trained: arguments and copies of the weights."""
    calls = []
    original = merging.fit

    def watched(recipe, data, folder, **options):
        fitted = original(recipe, data, folder, **options)
        weights = {name: value.clone() for name, value in fitted.model.state_dict().items()}
        calls.append(
            {"folder": folder.name, "recipe": recipe, "fitted": fitted, "weights": weights, **options}
        )
        return fitted

    monkeypatch.setattr(merging, "fit", watched)
    return calls


def _close(first, second, atol=1e-6):
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], atol=atol, rtol=1e-5, msg=name)


def test_a_soup_is_the_mean_of_the_weights_of_its_members(quick, tmp_path, fits):
    data = load_data(quick)
    merged = fit_merged(quick, data, tmp_path, members=3, merge="soup", quiet=True)
    assert [call["order_seed"] for call in fits] == [5, 6, 7]
    members = [call["weights"] for call in fits]
    mean = {name: torch.stack([one[name].double() for one in members]).mean(0).float() for name in members[0]}
    _close(merged.fitted.model.state_dict(), mean)
    assert not torch.equal(members[0]["classifier.weight"], members[1]["classifier.weight"])
    gold = merged.fitted.labels.encode(data.validation.labels)
    score = classification_metrics(merged.fitted.labels, gold, merged.fitted.scores(data.validation))[
        "accuracy"
    ]
    assert merged.score == score
    assert len(merged.members) == 3
    assert merged.fitted.remarks[0].startswith("The mean of the weights of 3 models (seeds 5 to 7).")


def test_members_share_everything_but_order_and_dropout(quick, tmp_path, fits):
    """Without a step of size they are equal; the first one is the run without merging."""
    data = load_data(quick)
    still = with_values(
        quick, ["stages.0.learning_rate=1e-12", "stages.0.trainer.max_steps=1", "stages.0.weight_decay=0"]
    )
    fit_merged(still, data, tmp_path / "still", members=2, merge="soup", quiet=True)
    _close(fits[0]["weights"], fits[1]["weights"], atol=1e-9)
    fit_merged(quick, data, tmp_path / "quick", members=2, merge="soup", quiet=True)
    alone = fit(quick, data, tmp_path / "alone", quiet=True)
    _close(fits[2]["weights"], alone.model.state_dict(), atol=0)


def test_distillation_learns_the_mean_of_the_probabilities(quick, tmp_path, fits):
    data = load_data(quick)
    merged = fit_merged(quick, data, tmp_path, members=2, merge="distil", quiet=True)
    *members, last = fits
    assert last["folder"] == "distil"
    labels = merged.fitted.labels
    chances = [probabilities(labels, call["fitted"].scores(data.train)) for call in members]
    np.testing.assert_allclose(last["targets"], np.mean(chances, axis=0), atol=1e-6)
    assert last["recipe"].stages[0].objective.name == "soft-targets"
    assert any("loss_soft_targets" in entry for entry in merged.fitted.history)
    assert (
        merged.fitted.recipe.stages[0].objective.name == "cross-entropy"
    )  # the recipe with which to do it again


@pytest.mark.parametrize(
    ("method", "setting"),
    [("r-drop", "stages.0.views_from_layer=1"), ("supcon", "stages.0.label_text_anchors=true")],
)
def test_settings_of_the_members_objective_are_no_obstacle_to_distillation(
    quick, tmp_path, fits, method, setting
):
    chosen = with_values(method_recipe(method, quick), [setting, "data.label_texts=names"])
    merged = fit_merged(chosen, load_data(chosen), tmp_path, members=2, merge="distil", quiet=True)
    assert any("loss_soft_targets" in entry for entry in merged.fitted.history)
    key = setting.removeprefix("stages.0.").split("=")[0]
    assert getattr(fits[0]["fitted"].recipe.stages[0], key)  # the members have it


@pytest.mark.filterwarnings("ignore:No temperature fits")
@pytest.mark.parametrize(("merge", "method"), [("soup", "auxiliary-labels"), ("distil", "cross-entropy")])
def test_a_run_folder_holds_a_plain_checkpoint(quick, tmp_path, merge, method):
    chosen = with_values(method_recipe(method, quick), ["decision.temperature=fitted"])
    result = train(chosen, tmp_path / "run", trials=2, merge=merge, quiet=True)
    assert not (tmp_path / "run" / "checkpoints").exists()
    told = result.metrics["merge"]
    assert told["merge"] == merge
    assert [member["seed"] for member in told["members"]] == [5, 6]
    assert told["merged"] == result.metrics["validation"]["accuracy"]
    assert any("models (seeds 5 to 6)" in note for note in result.notes)
    assert "models (seeds 5 to 6)" in (tmp_path / "run" / "report.html").read_text()
    data = load_data(chosen)
    fitted = load_fitted(tmp_path / "run")
    classify = pipeline("text-classification", str(tmp_path / "run" / "model"), top_k=None, device="cpu")
    for text, row in zip(data.test.texts[:8], fitted.scores(data.test)[:8], strict=True):
        scores = {one["label"]: one["score"] for one in classify([text])[0]}
        expected = torch.from_numpy(row * fitted.decision.temperature).softmax(0)
        assert [scores[name] for name in fitted.labels.names] == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_merge_resumes_at_the_member_that_was_interrupted(quick, tmp_path, fits):
    data = load_data(quick)
    options = {"members": 2, "merge": "distil", "quiet": True, "resumable": True}
    whole = fit_merged(quick, data, tmp_path / "whole", **options)
    original = merging.fit

    def killed(recipe, data, folder, **own):
        if folder.name == "member-1":
            raise KeyboardInterrupt
        return original(recipe, data, folder, **own)

    merging.fit = killed
    try:
        with pytest.raises(KeyboardInterrupt):
            fit_merged(quick, data, tmp_path / "killed", **options)
    finally:
        merging.fit = original
    marks = tmp_path / "killed" / "member-0" / "stage-0" / "finished"
    before = marks.stat().st_mtime_ns
    resumed = fit_merged(quick, data, tmp_path / "killed", resume=True, **options)
    assert marks.stat().st_mtime_ns == before
    _close(resumed.fitted.model.state_dict(), whole.fitted.model.state_dict(), atol=0)
    assert resumed.members == whole.members


def test_several_labels_and_numbers_can_be_merged(tmp_path, quick, tickets, score_file):
    rows = [{"text": text, "labels": [label, "card"]} for text, label in tickets]
    file = tmp_path / "several.json"
    file.write_text(json.dumps(rows))
    several = with_values(quick, [f"data.source={file}"])
    merged = fit_merged(several, load_data(several), tmp_path / "a", members=2, merge="distil", quiet=True)
    assert merged.fitted.labels.multi_label
    # Steps of the usual size lead away from the start, which is the least squares solution.
    settings = [f"data.source={score_file}", "data.regression=true", "stages.0.learning_rate=1e-4"]
    numbers = with_values(method_recipe("mean-squared-error", quick), settings)
    data = load_data(numbers)
    soup = fit_merged(numbers, data, tmp_path / "b", members=2, merge="soup", quiet=True)
    np.testing.assert_allclose(soup.fitted.scores(data.test)[:, 0], data.test.labels, atol=12.5)
    with pytest.raises(RecipeError, match="distillation needs probabilities"):
        fit_merged(numbers, data, tmp_path / "c", members=2, merge="distil", quiet=True)


@pytest.mark.parametrize(
    ("method", "settings", "options", "message"),
    [
        ("cross-entropy", [], {"trials": 3}, "--merge soup"),
        ("cross-entropy", [], {"trials": 3, "merge": "stew"}, "use soup or distil"),
        ("cross-entropy", [], {"trials": 1, "merge": "soup"}, "--trials 2 or more"),
        ("frozen", [], {"trials": 2, "merge": "soup"}, "no stage trains the encoder"),
        ("tfidf", [], {"trials": 2, "merge": "distil"}, "no stage trains the encoder"),
        (
            "cross-entropy",
            ["data.validation_in_training=true"],
            {"trials": 2, "merge": "soup"},
            "on the validation rows in the end",
        ),
    ],
)
def test_what_cannot_be_merged_is_refused_before_anything_is_written(
    quick, tmp_path, method, settings, options, message
):
    chosen = with_values(method_recipe(method, quick), settings)
    with pytest.raises(RecipeError, match=message):
        train(chosen, tmp_path / "run", quiet=True, **options)
    assert not (tmp_path / "run").exists()


def test_without_labelled_rows_the_label_texts_are_distilled_on(quick, tmp_path, fits):
    chosen = with_values(quick, ["data.few_shot=0", "data.label_texts=names"])
    data = load_data(chosen)
    merged = fit_merged(chosen, data, tmp_path, members=2, merge="distil", quiet=True)
    *members, last = fits
    chances = [probabilities(data.labels, call["fitted"].scores(data.label_texts)) for call in members]
    np.testing.assert_allclose(last["targets"], np.mean(chances, axis=0), atol=1e-6)
    assert len(last["targets"]) == len(data.label_texts) == len(data.labels)
    assert merged.fitted.labels == data.labels


def test_a_stage_that_cannot_be_distilled_is_refused_before_training(quick, tmp_path, fits):
    settings = ["data.few_shot=0", "data.label_texts=names", "stages.0.label_text_weight=0"]
    chosen = with_values(method_recipe("auxiliary-labels", quick), settings)
    with pytest.raises(RecipeError, match="there are no labelled training rows"):
        fit_merged(chosen, load_data(chosen), tmp_path, members=2, merge="distil", quiet=True)
    assert fits == []
