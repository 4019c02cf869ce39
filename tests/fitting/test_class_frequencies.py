from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from transformers import pipeline

from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.encoders.loading import load_encoder
from tellapart.errors import RecipeError
from tellapart.evaluation.calibration import fit_temperature
from tellapart.evaluation.class_frequencies import estimated_frequencies
from tellapart.evaluation.metrics import probabilities
from tellapart.fitting.class_frequencies import check_biases, trained_frequencies
from tellapart.fitting.fit import fit
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.loading import load_fitted
from tellapart.fitting.refit import FitArguments
from tellapart.fitting.rows import load_data
from tellapart.recipes import Recipe, method_recipe, with_values
from tellapart.runs.train import train

ASKED = "self_training.class_frequencies=unlabelled"
TWICE = "data.validation_in_training=true"


@pytest.fixture
def few(recipe) -> Recipe:
    """A few tickets per class, the others without labels."""
    return with_values(recipe, ["data.few_shot=6", "data.unlabelled=rest", "stages.0.epochs=3"])


def _rare(data: TextData, name: str) -> TextData:
    """The data with a tenth of one class's unlabelled texts."""
    assert data.unlabelled is not None
    assert data.unlabelled.labels is not None
    of_class = [row for row, label in enumerate(data.unlabelled.labels) if label == name]
    kept = sorted({*range(len(data.unlabelled))} - {*of_class[len(of_class) // 10 :]})
    return dataclasses.replace(data, unlabelled=data.unlabelled.select(np.array(kept)))


def _moved(plain: Fitted, data: TextData, rows: TextSplit) -> np.ndarray:
    """The logits as the definition has them: temperature, frequencies, Bayes' rule."""
    validation = data.validation
    gold = data.labels.encode(validation.labels)
    temperature = fit_temperature(gold, plain.validation_scores(validation))
    counts = np.bincount(data.labels.encode(rows.labels), minlength=3) + 1
    trained = counts / counts.sum()
    chances = probabilities(data.labels, plain.scores(data.unlabelled) / temperature)
    found = estimated_frequencies(chances, trained)
    return plain.scores(data.test) + temperature * np.log(found / trained)


@pytest.mark.parametrize("settings", [[], ["decision.temperature=fitted"], ["decision.temperature=folded"]])
@pytest.mark.parametrize("method", ["cross-entropy", "tfidf"])
def test_the_last_layer_holds_the_frequencies(few, method, settings, tmp_path):
    chosen = with_values(method_recipe(method, few), ["self_training.rounds=0", *settings])
    data = _rare(load_data(chosen), "lost")
    plain = fit(chosen, data, tmp_path / "plain", quiet=True)
    moved = fit(with_values(chosen, [ASKED]), data, tmp_path / "moved", quiet=True)
    np.testing.assert_allclose(moved.scores(data.test), _moved(plain, data, data.train), rtol=1e-4, atol=1e-4)
    report = moved.self_training["class_frequencies"]
    assert report["texts"] == len(data.unlabelled)
    assert report["training"] == pytest.approx(dict.fromkeys(data.labels.names, 1 / 3))
    assert sum(report["unlabelled"].values()) == pytest.approx(1)
    assert report["known_labels"]["rows"] == len(data.unlabelled)
    known = [data.unlabelled.labels.count(name) / len(data.unlabelled) for name in data.labels.names]
    assert list(report["known_labels"]["frequencies"].values()) == pytest.approx(known)
    np.testing.assert_array_equal(
        moved.validation_scores(data.validation), plain.validation_scores(data.validation)
    )


def test_with_validation_rows_in_training_the_first_training_calibrates(few, tmp_path):
    chosen = with_values(few, ["self_training.rounds=0", TWICE, "stages.0.selection=last"])
    data = _rare(load_data(chosen), "lost")
    plain = fit(chosen, data, tmp_path / "plain", quiet=True)
    both = data.train.joined(data.validation)
    # With validated=False a run skips its first training, unless it is needed for the calibration, as here.
    for validated in (True, False):
        place = tmp_path / f"moved-{validated}"
        moved = fit(with_values(chosen, [ASKED]), data, place, quiet=True, validated=validated)
        np.testing.assert_allclose(moved.scores(data.test), _moved(plain, data, both), rtol=1e-4, atol=1e-4)


def test_a_student_and_its_teacher_expect_the_frequencies(few, tmp_path):
    data = _rare(load_data(few), "lost")
    asked = with_values(few, [ASKED, "self_training.epochs=2", "stages.0.epochs=8"])
    fitted = fit(asked, data, tmp_path, quiet=True)
    (one,) = fitted.self_training["rounds"]
    # 70 % of each predicted class: the rare one is not used down to its least certain text.
    predicted = one["per_class"]
    assert sum(predicted.values()) == one["used"] == round(0.7 * len(data.unlabelled))
    assert predicted["lost"] < min(predicted["stolen"], predicted["expired"])
    trained = fitted.self_training["class_frequencies"]["training"]
    assert trained["lost"] < 1 / 3  # those of labelled rows and pseudo-labels together
    even = fit(with_values(asked, ["self_training.class_frequencies=training"]), data, tmp_path, quiet=True)
    assert even.self_training["rounds"][0]["per_class"]["lost"] >= predicted["lost"]
    assert "class_frequencies" not in even.self_training


def test_a_run_writes_a_plain_checkpoint_and_says_what_it_did(few, tmp_path):
    result = train(with_values(few, ["self_training.rounds=0", ASKED]), tmp_path / "run", quiet=True)
    report = result.metrics["self_training"]["class_frequencies"]
    assert report["temperature"] > 0
    assert "validation_in_training" not in result.metrics
    assert any("expects the class frequencies of the" in note for note in result.notes)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Largest changes" in page
    assert all(f"{100 * share:.1f} %" in page for share in report["unlabelled"].values())
    texts = ["my card was lost", "the debit card has expired", "her credit card got robbed"]
    model = tmp_path / "run" / "model"
    plain = pipeline("text-classification", model=str(model), tokenizer=str(model))(texts, top_k=None)
    ours = load_fitted(str(model))
    chances = probabilities(ours.labels, ours.scores(TextSplit(texts)))
    for row, scores in zip(chances, plain, strict=True):
        by_name = {one["label"]: one["score"] for one in scores}
        np.testing.assert_allclose([by_name[name] for name in ours.labels.names], row, atol=1e-4)


def test_the_frequencies_in_training_count_rows_weights_and_targets():
    labels = LabelSpace(("a", "b"))
    rows = TextSplit(["1", "2", "3"], labels=["a", "a", "b"])
    data = TextData(rows, TextSplit(["4"], labels=["b"]), None, labels)
    once = with_values(method_recipe("cross-entropy"), ["data.validation_in_training=false"])
    twice = with_values(once, [TWICE])
    targets = np.array([[1, 0], [0.5, 0.5], [0, 1]])
    weighted = dataclasses.replace(data, train=dataclasses.replace(rows, weights=[1.0, 2.0, 0.5]))
    expected: list[tuple[FitArguments, list[float]]] = [
        (FitArguments(once, data), [3, 2]),
        (FitArguments(twice, data), [3, 3]),
        (FitArguments(once, data, weights=np.array([1, 2, 4.0])), [4, 5]),
        (FitArguments(once, weighted), [4, 1.5]),
        (FitArguments(once, weighted, weights=np.array([1, 2, 4.0])), [6, 3]),
        (FitArguments(once, data, targets), [2.5, 2.5]),
        (FitArguments(twice, data, targets), [2.5, 3.5]),
        (FitArguments(once, data, targets, np.array([1, 2, 4.0])), [3, 6]),
        (FitArguments(once, dataclasses.replace(data, train=rows.select(np.array([], int)))), [1, 1]),
    ]
    for arguments, counts in expected:
        np.testing.assert_allclose(trained_frequencies(arguments), np.array(counts) / sum(counts))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["decision.conformal=0.9"], "chosen for the class frequencies of the validation rows"),
        (["decision.abstain={precision: 0.9}"], "chosen for the class frequencies of the validation rows"),
        (["stages.0.objective.class_weight=balanced"], "class weights and balanced batches"),
        (["stages.0.batches=balanced", "stages.0.texts_per_class=2"], "class weights and balanced batches"),
    ],
)
def test_what_does_not_go_with_it_is_refused_before_training(few, settings, sentence, tmp_path):
    with pytest.raises(RecipeError, match=sentence):
        fit(with_values(few, [ASKED, *settings]), load_data(few), tmp_path, quiet=True)


def test_there_must_be_labelled_validation_rows(few, tmp_path):
    data = load_data(few)
    hidden = dataclasses.replace(data.validation, labels=None)
    for validation in (None, hidden):
        with pytest.raises(RecipeError, match="calibrated on validation rows, and there are none"):
            fit(
                with_values(few, [ASKED]),
                dataclasses.replace(data, validation=validation),
                tmp_path,
                quiet=True,
            )


def test_any_number_of_labels_is_refused(few, tmp_path):
    data = load_data(few)
    several: dict[str, Any] = {
        name: dataclasses.replace(split, labels=[[label] for label in split.labels])
        for name, split in data.splits.items()
    }
    tagged = dataclasses.replace(
        data, **several, labels=LabelSpace(data.labels.names, "multi_label_classification")
    )
    with pytest.raises(RecipeError, match="any number of labels"):
        fit(with_values(few, [ASKED]), tagged, tmp_path, quiet=True)


def test_a_last_layer_without_biases_is_refused(few, tiny_encoder):
    model = load_encoder(tiny_encoder, LabelSpace(("a", "b")), pooling="stock")
    asked = with_values(few, [ASKED])
    check_biases(asked, model)
    model.classifier = torch.nn.Linear(32, 2, bias=False)
    check_biases(few, model)
    with pytest.raises(RecipeError, match="has no biases"):
        check_biases(asked, model)
