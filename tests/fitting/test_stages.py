from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, TrainerCallback

from tellapart.encoders.scoring import represent, score
from tellapart.encoders.transformer import final_linear
from tellapart.errors import DataError, ModelError, RecipeError
from tellapart.fitting import fit as fitting
from tellapart.fitting import heads
from tellapart.fitting.fit import fit
from tellapart.fitting.rows import load_data
from tellapart.fitting.tasks import Task
from tellapart.recipes import method_recipe, with_values
from tellapart.runs.train import train


@pytest.fixture
def two_stages(recipe):
    return with_values(
        method_recipe("auxiliary-labels", recipe), ["stages.0.epochs=2", "stages.0.evaluations=2"]
    )


def _encoder(model) -> dict[str, torch.Tensor]:
    head = {id(parameter) for parameter in final_linear(model).parameters()}
    return {name: value.detach().clone() for name, value in model.named_parameters() if id(value) not in head}


def test_the_second_stage_leaves_the_encoder_bit_identical_and_brings_a_fresh_head(
    two_stages, tmp_path, monkeypatch
):
    seen = {}
    original = heads.train_fresh_head

    def watched(stage, objective, model, *rest):
        seen["before"], seen["head"] = _encoder(model), final_linear(model).weight.detach().clone()
        return original(stage, objective, model, *rest)

    monkeypatch.setattr("tellapart.fitting.stages.train_fresh_head", watched)
    fitted = fit(two_stages, load_data(two_stages), tmp_path, quiet=True)
    after = _encoder(fitted.model)
    assert all(torch.equal(value, after[name]) for name, value in seen["before"].items())
    assert not torch.equal(seen["head"], final_linear(fitted.model).weight)
    assert fitted.model.config.num_labels == final_linear(fitted.model).out_features == 3


@pytest.mark.parametrize("solver", ["l-bfgs", "adamw"])
def test_logits_on_kept_vectors_are_those_of_the_model(two_stages, tmp_path, solver):
    chosen = with_values(two_stages, [f"stages.1.solver={solver}", "stages.1.precision=fp32"])
    data = load_data(chosen)
    fitted = fit(chosen, data, tmp_path, quiet=True)
    task = Task.of(data, fitted.tokenizer, fitted.max_length)
    vectors = np.load(tmp_path / "stage-1" / "vectors-0" / "train" / "vectors.npy")
    linear = final_linear(fitted.model)
    kept = vectors @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()
    np.testing.assert_allclose(kept, score(fitted.model, task.train), atol=1e-5)
    np.testing.assert_array_equal(vectors, represent(fitted.model, task.train))


def test_the_better_solver_on_validation_rows_is_kept(two_stages, tmp_path):
    data = load_data(two_stages)
    scores = {}
    for solver in ("l-bfgs", "adamw", "best"):
        chosen = with_values(two_stages, [f"stages.1.solver={solver}"])
        fitted = fit(chosen, data, tmp_path / solver, quiet=True)
        gold = fitted.labels.encode(data.validation.labels)
        scores[solver] = float((fitted.scores(data.validation).argmax(1) == gold).mean())
    assert scores["best"] == max(scores.values())
    assert fitted.recipe.stages[1].solver in ("l-bfgs", "adamw")


def test_without_auxiliary_labels_and_second_stage_it_is_cross_entropy(recipe, tmp_path):
    """The same run to the bit, but for the name of the loss."""
    plain = with_values(recipe, ["stages.0.epochs=2", "stages.0.evaluations=2"])
    single = with_values(plain, ["stages.0.objective={name: auxiliary-labels, total: 3}"])
    data = load_data(plain)
    models = [
        fit(chosen, data, tmp_path / str(number), quiet=True).model.state_dict()
        for number, chosen in enumerate((plain, single))
    ]
    assert all(torch.equal(value, models[1][name]) for name, value in models[0].items())


def test_auxiliary_labels_change_the_run_and_stay_out_of_the_model(two_stages, tmp_path):
    two_stages = with_values(two_stages, ["stages.0.epochs=6"])
    run = train(two_stages, tmp_path / "run", quiet=True)
    assert run.recipe.stages[0].objective.total == 6
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "model")
    assert model.config.id2label == {0: "expired", 1: "lost", 2: "stolen"}
    assert model.classifier.out_features == 3
    other = with_values(two_stages, ["stages.0.objective.total=30"])
    train(other, tmp_path / "other", quiet=True)
    files = [tmp_path / name / "model" / "model.safetensors" for name in ("run", "other")]
    assert files[0].read_bytes() != files[1].read_bytes()
    assert run.metrics["test"]["accuracy"] > 0.6


@pytest.mark.parametrize("objective", ["negative-supervision", "label-distance", "r-drop", "supcon"])
def test_any_objective_can_have_auxiliary_labels(two_stages, tmp_path, objective):
    chosen = with_values(
        two_stages, [f"stages.0.objective={{name: {objective}, total: 5}}", "stages.0.epochs=2"]
    )
    fitted = fit(chosen, load_data(chosen), tmp_path, quiet=True)
    terms = {key for entry in fitted.history for key in entry if key.startswith("loss_")}
    assert "loss_auxiliary_labels" in terms
    assert len(terms) == 2
    assert {entry["stage"] for entry in fitted.history} <= {0, 1}


def test_stages_that_all_train_by_steps_follow_each_other(recipe, tmp_path):
    """A warm-up of the last layer, then everything."""
    content = recipe.model_dump(exclude_unset=True)
    first = content["stages"][0] | {"learns": ["classifier.*"], "start": "random", "epochs": 1}
    two = type(recipe).model_validate(
        content | {"stages": [first, content["stages"][0] | {"start": "random"}]}
    )
    data = load_data(two)
    fitted = fit(two, data, tmp_path, quiet=True)
    assert [stage.epochs for stage in fitted.recipe.stages] == [1, 6]
    accuracy = (fitted.scores(data.train).argmax(1) == fitted.labels.encode(data.train.labels)).mean()
    assert accuracy > 0.8


def test_a_run_that_died_between_the_stages_goes_on_to_the_same_result(two_stages, tmp_path, monkeypatch):
    train(two_stages, tmp_path / "whole", quiet=True)
    original = fitting.run_stage

    def dies(stage, *rest, **options):
        if stage.learns == "head":
            raise KeyboardInterrupt
        return original(stage, *rest, **options)

    monkeypatch.setattr(fitting, "run_stage", dies)
    with pytest.raises(KeyboardInterrupt):
        train(two_stages, tmp_path / "run", quiet=True)
    stage = tmp_path / "run" / "checkpoints" / "stage-0"
    assert [path.name for path in stage.iterdir()] == ["finished"]

    def only_the_head(stage, *rest, **options):
        assert stage.learns == "head"
        return original(stage, *rest, **options)

    monkeypatch.setattr(fitting, "run_stage", only_the_head)
    train(two_stages, tmp_path / "run", quiet=True, resume=True)
    for file in ("model/model.safetensors", "predictions.parquet", "recipe.yaml"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


@pytest.mark.parametrize(
    "settings",
    [
        ["stages.0.epochs=20", "stages.0.evaluations=40", "stages.0.patience=1", "stages.0.selection=best"],
        ["stages.0.epochs=1.5", "stages.0.selection=best"],
        ["stages.0.epochs=1.5", "stages.0.selection=last"],
        ["stages.0.epochs=1.5", "stages.0.selection=average"],
    ],
)
def test_a_run_that_died_after_the_last_checkpoint_of_a_stage_trains_no_further(
    recipe, tmp_path, monkeypatch, settings
):
    """Early stopping had ended it, or the last step is in the middle of an epoch, at a rate that is not 0."""
    constant = "stages.0.trainer.lr_scheduler_type=constant"
    chosen = with_values(recipe, [constant, "stages.0.batch_size=16", *settings])
    data = load_data(chosen)
    whole = fit(chosen, data, tmp_path / "whole", quiet=True, resumable=True)

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    original = fitting.finish_stage
    monkeypatch.setattr(fitting, "finish_stage", dies)
    with pytest.raises(KeyboardInterrupt):
        fit(chosen, data, tmp_path / "killed", quiet=True, resumable=True)
    monkeypatch.setattr(fitting, "finish_stage", original)
    resumed = fit(chosen, data, tmp_path / "killed", quiet=True, resumable=True, resume=True)
    assert resumed.shares == whole.shares
    evaluations = [[entry for entry in fitted.history if "eval_loss" in entry] for fitted in (whole, resumed)]
    assert [entry["step"] for entry in evaluations[0]] == [entry["step"] for entry in evaluations[1]]
    weights = whole.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in resumed.model.state_dict().items())


def test_checkpoints_have_an_interval_of_their_own_only_without_evaluations(recipe, tmp_path):
    saved = []

    class Saved(TrainerCallback):
        def on_save(self, args, state, control, **_):
            saved.append(state.global_step)

    chosen = with_values(recipe, ["stages.0.trainer.max_steps=7", "stages.0.trainer.save_steps=3"])
    data = load_data(chosen)
    with pytest.raises(RecipeError, match="save_steps has no effect: set evaluations"):
        fit(chosen, data, tmp_path / "a", quiet=True, resumable=True)
    rows = dataclasses.replace(data, validation=None)
    fit(chosen, rows, tmp_path / "b", quiet=True, resumable=True, callbacks=[Saved()])
    assert saved == [3, 6, 7]


def test_vectors_of_another_model_stop_a_resumed_run_before_it_trains(two_stages, tmp_path, monkeypatch):
    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(heads, "fit_linear", dies)
    two_stages = with_values(two_stages, ["stages.0.start=random"])
    with pytest.raises(KeyboardInterrupt):
        train(two_stages, tmp_path / "run", quiet=True)
    cache = tmp_path / "run" / "checkpoints" / "stage-1" / "vectors-0" / "train" / "cache.json"
    cache.write_text(json.dumps({"fingerprint": "another"}))
    with pytest.raises(ModelError, match="delete that folder"):
        train(two_stages, tmp_path / "run", quiet=True, resume=True)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("stages.0.objective.total=2", "the data have 3 classes"),
        ("stages.0.learns=[nothing.*]", "no parameter matches"),
        ("stages.1.perturbation=fgm", "never runs the encoder"),
        ("stages.1.gradient_cache=8", "never runs the encoder"),
        ("stages.0.gradient_cache=32", "would save no memory"),
        ("stages.0.views_from_layer=1", "a single view"),
        ("stages.1.objective.label_smoothing=0.1", "solver=adamw"),
        ("stages.1.metric=mean_average_precision", "no metric"),
        (
            "stages.0={objective: {name: supcon}, batches: balanced, texts_per_class: 5}",
            "cannot hold two or more classes",
        ),
    ],
)
def test_what_a_stage_cannot_do_is_refused_before_the_first_one_runs(
    two_stages, tmp_path, monkeypatch, setting, message
):
    monkeypatch.setattr(fitting, "run_stage", None)
    changed = with_values(two_stages, ["stages.1.solver=l-bfgs", setting])
    with pytest.raises(RecipeError, match=message):
        fit(changed, load_data(changed), tmp_path, quiet=True)


def test_every_stage_can_have_options_of_the_loss_when_it_is_learned_by_epochs(two_stages, tmp_path):
    changed = with_values(two_stages, ["stages.1.objective.class_weight=balanced", "stages.1.epochs=3"])
    fitted = fit(changed, load_data(changed), tmp_path, quiet=True)
    assert fitted.recipe.stages[1].solver == "adamw"
    assert [entry["epoch"] for entry in fitted.history if entry["stage"] == 1] == [1, 2, 3]


def test_questions_without_a_right_answer_are_refused_before_training(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "run_stage", None)
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = {
        "question_id": [str(number // 4) for number in range(40)],
        "text": ["my card was lost"] * 40,
        "text_pair": [f"answer {number}" for number in range(40)],
        "label": [str(int(number % 4 == 0)) for number in range(40)],
    }
    folder = tmp_path / "data"
    folder.mkdir()
    pq.write_table(pa.table(rows), folder / "train.parquet")
    pq.write_table(pa.table(rows | {"label": ["0"] * 40}), folder / "test.parquet")
    ranking = with_values(recipe, [f"data.source={folder}"])
    with pytest.raises(DataError, match="question"):
        fit(ranking, load_data(ranking), tmp_path / "run", quiet=True)


def test_a_ranking_set_is_chosen_and_reported_by_its_ranking(recipe, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    subjects = ["my card", "the debit card", "our company card", "her credit card"]
    answers = ["was lost", "was stolen", "has expired", "needs renewal"]
    rows = [
        (f"{group} {subject} {word}", f"{subject} {word}", f"{subject} {answer}", str(int(answer == word)))
        for group in range(3)
        for subject in subjects
        for word in answers
        for answer in answers
    ]
    table = dict(
        zip(("question_id", "text", "text_pair", "label"), map(list, zip(*rows, strict=True)), strict=True)
    )
    file = tmp_path / "answers.parquet"
    pq.write_table(pa.table(table), file)
    ranking = with_values(recipe, [f"data.source={file}", "stages.0.epochs=2"])
    result = train(ranking, tmp_path / "run", quiet=True)
    assert result.recipe.stages[0].metric == "mean_average_precision"
    assert {"precision_at_1", "mean_reciprocal_rank"} <= result.metrics["test"].keys()
    assert any('labelled "1"' in note for note in result.notes)


def test_an_encoder_without_dropout_gets_some_for_the_stage_and_keeps_its_config(
    recipe, tiny_encoder, tmp_path
):
    folder = tmp_path / "encoder"
    shutil.copytree(tiny_encoder, folder)
    config = json.loads((folder / "config.json").read_text())
    rates = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config | rates))
    quiet = with_values(method_recipe("r-drop", recipe), [f"encoder.name={folder}"])
    with pytest.raises(ModelError, match=r"no dropout.*views_dropout=0\.1"):
        fit(quiet, load_data(quiet), tmp_path / "a", quiet=True)
    given = with_values(quiet, ["stages.0.views_dropout=0.1", "stages.0.epochs=1"])
    fitted = fit(given, load_data(given), tmp_path / "b", quiet=True)
    assert any(entry.get("loss_r_drop", 0) > 1e-6 for entry in fitted.history)
    fitted.save(tmp_path / "model")
    saved = json.loads((tmp_path / "model" / "config.json").read_text())
    assert {name: saved[name] for name in rates} == rates


@pytest.mark.parametrize("settings", [[], ["stages.0.gradient_cache=8"]])
@pytest.mark.parametrize("method", ["r-drop", "label-distance"])
def test_views_that_part_late_train_as_others_where_dropout_is_rare(recipe, tmp_path, method, settings):
    never = "stages.0.views_dropout=0.0000001"  # so rare that all masks are equal
    chosen = with_values(
        method_recipe(method, recipe), [never, "stages.0.batch_size=16", "stages.0.epochs=1"]
    )
    data = load_data(chosen)
    losses = []
    for layer in (0, 1):
        part = with_values(chosen, [f"stages.0.views_from_layer={layer}", *settings])
        fitted = fit(part, data, tmp_path / str(layer), quiet=True)
        losses.append([entry["loss"] for entry in fitted.history if "loss" in entry])
    np.testing.assert_allclose(*losses, rtol=1e-2)  # rounding grows with the steps
