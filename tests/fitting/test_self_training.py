from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tellapart.data.examples import TextSplit
from tellapart.errors import RecipeError
from tellapart.fitting import fit as fitting
from tellapart.fitting import self_training
from tellapart.fitting.fit import fit
from tellapart.fitting.rows import load_data
from tellapart.recipes import Recipe, method_recipe, with_values
from tellapart.runs.train import train

FAST = [
    "data.few_shot=4",
    "data.unlabelled=rest",
    "data.test_rows=9",
    "stages.0.epochs=2",
    "stages.0.evaluations=2",
    "self_training.epochs=1",
]


@pytest.fixture
def few(recipe) -> Recipe:
    """A few tickets per class, the others without labels."""
    return with_values(recipe, FAST)


def _weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _equal(first: Any, second: Any) -> bool:
    before, after = _weights(first), _weights(second)
    return before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


@pytest.fixture
def trained(monkeypatch) -> list[tuple[Recipe, TextSplit, np.ndarray | None]]:
    """What each classifier of a run was trained on: its recipe, training rows and targets."""
    calls: list[Any] = []
    original = fitting._again

    def watched(recipe: Recipe, data: Any, folder: Path, **options: Any) -> Any:
        calls.append((recipe, data.train, options.get("targets")))
        return original(recipe, data, folder, **options)

    monkeypatch.setattr(fitting, "_again", watched)
    return calls


def test_each_round_learns_from_the_labelled_rows_and_what_its_teacher_predicts(few, trained, tmp_path):
    data = load_data(few)
    fitted = fit(with_values(few, ["self_training.rounds=2"]), data, tmp_path, quiet=True)
    teacher, *students = trained
    assert teacher[1] == data.train
    assert teacher[2] is None
    assert len(students) == 2
    texts, rows = set(data.unlabelled.texts), len(data.train)
    for (recipe, split, targets), report in zip(students, fitted.self_training["rounds"], strict=True):
        used = split.texts[rows:]
        assert split.select(range(rows)) == data.train
        assert texts.issuperset(used)
        assert len(set(used)) == len(used) == report["used"] == round(0.7 * len(texts))
        assert targets.shape == (len(split), 3)
        assert (targets[:rows].argmax(1) == data.labels.encode(data.train.labels)).all()
        assert (targets[:rows].max(1) == 1).all()
        assert (targets[rows:].argmax(1) == data.labels.encode(split.labels[rows:])).all()
        assert recipe.stages[0].epochs == 1
        counts = [split.labels[rows:].count(name) for name in data.labels.names]
        assert counts == list(report["per_class"].values())
        assert report["mean_confidence"] == pytest.approx(targets[rows:].max(1).mean())
    assert fitted.recipe.encoder.name == few.encoder.name
    assert not any(path.name.startswith("round-0") for path in tmp_path.iterdir())


def test_labels_of_unlabelled_texts_change_nothing_but_the_report(few, tmp_path):
    data = load_data(few)
    known = fit(few, data, tmp_path / "known", quiet=True)
    hidden = dataclasses.replace(data.unlabelled, labels=None)
    unknown = fit(few, dataclasses.replace(data, unlabelled=hidden), tmp_path / "unknown", quiet=True)
    assert _equal(known.model, unknown.model)
    (report,), (without,) = known.self_training["rounds"], unknown.self_training["rounds"]
    measured = report.pop("known_labels")
    assert report == without
    assert measured["rows"] == report["used"]
    assert 1 / 3 < measured["accuracy"] <= 1
    assert any("known labels are not used" in note for note in known.notes)


def test_hard_labels_and_no_rounds(few, trained, tmp_path):
    data = load_data(few)
    fit(with_values(few, ["self_training.soft=false"]), data, tmp_path / "hard", quiet=True)
    assert [targets for _, _, targets in trained] == [None, None]
    none = fit(with_values(few, ["self_training.rounds=0"]), data, tmp_path / "none", quiet=True)
    plain = fit(few, dataclasses.replace(data, unlabelled=None), tmp_path / "plain", quiet=True)
    assert _equal(none.model, plain.model)
    assert none.self_training == {"rounds": []}
    assert plain.self_training is None


class KilledError(Exception):
    """The end of a process."""


TWO_ROUNDS = ["self_training.rounds=2"]
ONCE_MORE = ["data.validation_in_training=true", "stages.0.selection=last"]


@pytest.mark.parametrize(
    ("settings", "kept", "missing"),
    [
        (TWO_ROUNDS, 1, ["round-1", "round-2"]),
        (TWO_ROUNDS, 2, ["round-2"]),
        # The teacher and the student without the validation rows, the teacher with them.
        (ONCE_MORE, 4, ["round-1", "round-1/refit"]),
    ],
)
def test_a_killed_run_resumes_to_the_same_model(few, settings, kept, missing, monkeypatch, tmp_path):
    rounds = with_values(few, settings)
    whole = train(rounds, tmp_path / "whole", quiet=True)
    original, calls = fitting._again, []

    def killed(*arguments: Any, **options: Any) -> Any:
        if len(calls) == kept:
            raise KilledError
        calls.append(arguments)
        return original(*arguments, **options)

    monkeypatch.setattr(fitting, "_again", killed)
    with pytest.raises(KilledError):
        train(rounds, tmp_path / "run", quiet=True)
    seen: list[Path] = []

    def counted(recipe: Recipe, data: Any, folder: Path, **options: Any) -> Any:
        seen.append(folder)
        return original(recipe, data, folder, **options)

    monkeypatch.setattr(fitting, "_again", counted)
    resumed = train(rounds, tmp_path / "run", resume=True, quiet=True)
    assert [folder.relative_to(tmp_path / "run" / "checkpoints").as_posix() for folder in seen] == missing
    assert resumed.metrics["self_training"] == whole.metrics["self_training"]
    assert resumed.metrics["test"] == whole.metrics["test"]
    models = [tmp_path / name / "model" / "model.safetensors" for name in ("whole", "run")]
    assert models[0].read_bytes() == models[1].read_bytes()
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_run_killed_in_the_middle_of_a_teacher_resumes_to_the_same_model(few, monkeypatch, tmp_path):
    whole = train(few, tmp_path / "whole", quiet=True)
    from tellapart.training.trainer import Trainer

    original = Trainer.training_step
    steps: list[int] = []

    def killed(self: Any, *arguments: Any, **options: Any) -> Any:
        steps.append(1)
        if len(steps) == 2:
            raise KilledError
        return original(self, *arguments, **options)

    monkeypatch.setattr(Trainer, "training_step", killed)
    with pytest.raises(KilledError):
        train(few, tmp_path / "run", quiet=True)
    monkeypatch.setattr(Trainer, "training_step", original)
    resumed = train(few, tmp_path / "run", resume=True, quiet=True)
    assert resumed.metrics["self_training"] == whole.metrics["self_training"]
    models = [tmp_path / name / "model" / "model.safetensors" for name in ("whole", "run")]
    assert models[0].read_bytes() == models[1].read_bytes()


@pytest.mark.parametrize("method", ["tfidf", "frozen", "auxiliary-labels", "label-distance"])
def test_every_kind_of_method_takes_unlabelled_texts(few, method, tmp_path):
    chosen = method_recipe(method, few)
    fitted = fit(chosen, load_data(chosen), tmp_path, quiet=True)
    (report,) = fitted.self_training["rounds"]
    assert sum(report["per_class"].values()) == report["used"] > 0
    assert list(report["teacher_validation"]) == ["accuracy"]


def test_several_labels_a_text(few, tmp_path):
    data = load_data(few)

    def several(split: TextSplit) -> TextSplit:
        labels = [
            [name, "today"] if "today" in text else [name]
            for text, name in zip(split.texts, split.labels, strict=True)
        ]
        return dataclasses.replace(split, labels=labels)

    from tellapart.data.reading.rows import label_space

    train_rows = several(data.train)
    tagged = dataclasses.replace(
        data,
        train=train_rows,
        validation=several(data.validation),
        test=None,
        unlabelled=several(data.unlabelled),
        labels=label_space(train_rows, multi_label=True),
    )
    fitted = fit(few, tagged, tmp_path, quiet=True)
    (report,) = fitted.self_training["rounds"]
    assert list(report["per_class"]) == ["expired", "lost", "stolen", "today"]
    assert 0 <= report["known_labels"]["accuracy"] <= 1


def test_the_encoder_is_pre_trained_first_and_named_as_given(few, trained, tiny_encoder, tmp_path):
    given: dict[str, Any] = {}

    def pretrainer(encoder: str, texts: list[str], folder: Path, **options: Any) -> str:
        given.update(encoder=encoder, texts=texts, folder=folder, **options)
        return f"{encoder}/"

    data = load_data(few)
    chosen = with_values(few, ["self_training.pretrain=hard", "self_training.pretrain_steps=7", "seed=3"])
    fitted = fit(chosen, data, tmp_path, quiet=True, pretrainer=pretrainer)
    assert given.pop("texts") == [*data.unlabelled.texts, *data.train.texts]
    assert given == {
        "encoder": tiny_encoder,
        "folder": tmp_path / "pretraining",
        "steps": 7,
        "max_length": 24,
        "seed": 3,
        "resume": False,
        "quiet": True,
    }
    assert {recipe.encoder.name for recipe, _, _ in trained} == {f"{tiny_encoder}/"}
    assert fitted.recipe.encoder.name == tiny_encoder
    assert fitted.self_training["pretraining"] == {"correction": "hard", "texts": len(data.unlabelled) + 12}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["encoder.name=textcnn"], "textcnn has no pre-trained encoder"),
        (["encoder.name=tfidf"], "tfidf has no pre-trained encoder"),
        (["encoder.second=minilm"], "two fused encoders cannot be pre-trained"),
        ([], "needs the function that pre-trains"),
    ],
)
def test_what_cannot_be_pre_trained_is_refused(few, settings, sentence, tmp_path):
    chosen = with_values(few, ["self_training.pretrain=hard", *settings])
    with pytest.raises(RecipeError, match=sentence):
        fit(chosen, load_data(few), tmp_path, quiet=True)


def test_numeric_labels_are_refused(recipe, scored, tmp_path):
    from tellapart.data.examples import TextData
    from tellapart.data.reading.rows import score_space

    rows = TextSplit([text for text, _ in scored], labels=[score for _, score in scored])
    data = TextData(rows, None, None, score_space(rows), unlabelled=TextSplit(["a card"]))
    with pytest.raises(RecipeError, match="numeric targets"):
        fit(method_recipe("mean-squared-error", recipe), data, tmp_path, quiet=True)


def test_what_a_teacher_predicted_is_kept_without_pickle(tmp_path):
    for thresholds in (0.5, np.array([0.25, 0.75])):
        scored = self_training._Scored(np.eye(2, dtype=np.float32), thresholds, {"micro_f1": 0.5})
        (tmp_path / "stage-0").mkdir()
        self_training._keep(scored, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["scored"]
        again = self_training._read(tmp_path)
        assert np.array_equal(again.logits, scored.logits)
        assert np.array_equal(again.thresholds, thresholds)
        assert again.validation == scored.validation
    assert self_training._read(tmp_path / "nothing") is None


def test_pseudo_labelled_rows_have_their_weight(few, monkeypatch, tmp_path):
    data, seen = load_data(few), []
    original = fitting._again

    def watched(*arguments: Any, **options: Any) -> Any:
        seen.append(options.get("weights"))
        return original(*arguments, **options)

    monkeypatch.setattr(fitting, "_again", watched)
    light = fit(with_values(few, ["self_training.weight=0.1"]), data, tmp_path / "light", quiet=True)
    used = light.self_training["rounds"][0]["used"]
    assert seen[0] is None
    assert seen[1].tolist() == [1.0] * 12 + [0.1] * used
    assert not _equal(light.model, fit(few, data, tmp_path / "full", quiet=True).model)
    assert seen[3] is None
    sparse = with_values(method_recipe("tfidf", few), ["self_training.weight=0.1"])
    assert fit(sparse, data, tmp_path / "sparse", quiet=True).self_training


def test_label_texts_are_rows_of_every_classifier(few, tmp_path):
    named = with_values(few, ["data.label_texts=names", "stages.0.label_text_weight=0.5"])
    data = load_data(named)
    fitted = fit(named, data, tmp_path, quiet=True)
    assert len(data.label_texts) == 3
    assert fitted.self_training["rounds"][0]["used"] > 0


@pytest.mark.parametrize("settings", [[], ["encoder.name=tfidf"]])
def test_label_texts_and_unlabelled_texts_need_no_labelled_row(few, settings, trained, tmp_path):
    none = with_values(few, ["data.few_shot=0", "data.label_texts=names", *settings])
    result = train(none, tmp_path / "run", quiet=True)
    assert result.metrics["rows"]["train"] == 0
    teacher, student = trained
    assert len(teacher[1]) == 0
    report = result.metrics["self_training"]["rounds"][0]
    assert len(student[1]) == report["used"] > 0
    assert result.metrics["test"]["accuracy"] >= 0


def test_without_labelled_rows_the_label_texts_are_the_training_rows(few, tmp_path):
    none = with_values(few, ["data.few_shot=0", "data.label_texts=names", "data.unlabelled=null"])
    data = load_data(none)
    fitted = fit(none, data, tmp_path / "none", quiet=True)
    alone = dataclasses.replace(data, train=data.label_texts, label_texts=None)
    given = fit(with_values(none, ["data.label_texts=none"]), alone, tmp_path / "alone", quiet=True)
    assert _equal(fitted.model, given.model)
    with pytest.raises(RecipeError, match="no labelled training rows"):
        fit(with_values(none, ["data.label_texts=none"]), data, tmp_path, quiet=True)


def _texts(split: TextSplit, *others: TextSplit) -> list[str]:
    return [text for each in (split, *others) for text in each.texts]


def test_the_rounds_run_again_with_the_validation_rows(few, trained, tmp_path):
    """Thresholds and validation metrics come from classifiers that have not seen the validation rows."""
    chosen = with_values(few, ["data.validation_in_training=true", "self_training.weight=0.5"])
    data = load_data(chosen)
    fitted = fit(chosen, data, tmp_path, quiet=True)
    # The second teacher is a fit of its own, with a first and a second training.
    teacher, student, second_teacher, _, refit_teacher, refit_student = trained
    for _, split, _ in (teacher, student, second_teacher):
        assert not set(split.texts) & set(data.validation.texts)
    assert [each[0].data.validation_in_training for each in trained] == [False, False, True, *[False] * 3]
    assert refit_teacher[1].texts == _texts(data.train, data.validation)
    (before,), (report,) = fitted.self_training["rounds_before_refit"], fitted.self_training["rounds"]
    assert len(student[1]) == len(data.train) + before["used"]
    rows = len(data.train) + report["used"]
    assert refit_student[1].texts[: len(data.train)] == data.train.texts
    assert set(refit_student[1].texts[len(data.train) : rows]) < set(data.unlabelled.texts)
    assert refit_student[1].texts[rows:] == data.validation.texts
    assert len(refit_student[2]) == len(refit_student[1])
    assert "teacher_validation" in before
    assert "teacher_validation" not in report  # it has seen these rows
    alone = fit(with_values(chosen, ["data.validation_in_training=false"]), data, tmp_path, quiet=True)
    assert np.array_equal(fitted.validation_logits, alone.scores(data.validation))
    assert not _equal(fitted.model, alone.model)
    assert fitted.self_training["rounds_before_refit"] == alone.self_training["rounds"]


def test_where_nothing_is_selected_the_rounds_with_the_validation_rows_are_enough(few, trained, tmp_path):
    chosen = with_values(few, ["data.validation_in_training=true", "stages.0.selection=average"])
    data = load_data(chosen)
    whole = fit(chosen, data, tmp_path / "whole", quiet=True)
    assert len(trained) == 5  # without the first training of the second teacher
    trained.clear()
    quick = fit(chosen, data, tmp_path / "quick", quiet=True, validated=False)
    assert [set(data.validation.texts) <= set(split.texts) for _, split, _ in trained] == [False, True] * 2
    assert _equal(whole.model, quick.model)
    assert quick.validation_logits is None
    assert quick.self_training["rounds"] == whole.self_training["rounds"]
    assert "rounds_before_refit" not in quick.self_training


def test_runs_with_unlabelled_texts_are_not_merged(few, tmp_path):
    with pytest.raises(RecipeError, match="not merged"):
        train(few, tmp_path / "run", trials=2, merge="soup", quiet=True)
