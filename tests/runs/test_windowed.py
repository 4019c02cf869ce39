"""Long texts through whole runs: what stands behind the encoder's limit is read."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import yaml

from tellapart import TextClassifier
from tellapart.data.examples import TextSplit
from tellapart.errors import DataError, ModelError, RecipeError
from tellapart.fitting.fit import fit
from tellapart.fitting.loading import load_fitted
from tellapart.fitting.models import input_length, load_model
from tellapart.fitting.rows import load_data
from tellapart.recipes import method_recipe, with_values
from tellapart.runs.evaluate import evaluate
from tellapart.runs.predict import predict
from tellapart.runs.train import train

WINDOWS = (
    "encoder.windows=max",
    "encoder.window_length=16",
    "encoder.window_stride=4",
    "encoder.max_length=160",
)


@pytest.fixture(scope="module")
def documents(tickets, tmp_path_factory):
    """Tickets behind some ninety words that all classes have: more than the tiny encoder reads at once."""
    draw = random.Random(0)
    words = ["my", "your", "our", "the", "her", "card", "debit", "company", "in", "town", "since", "monday"]
    path = tmp_path_factory.mktemp("data") / "documents.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for text, label in tickets:
            preface = " ".join(draw.choices(words, k=draw.randint(80, 100)))
            file.write(json.dumps({"text": f"{preface} {text}", "label": label}) + "\n")
    return path


@pytest.fixture
def long_recipe(recipe, documents):
    return with_values(recipe, [f"data.source={documents}", "stages.0.epochs=16", *WINDOWS])


def test_a_word_behind_the_encoders_limit_is_learned_with_windows_and_not_without(long_recipe, tmp_path):
    result = train(long_recipe, tmp_path / "windows", quiet=True)
    assert result.metrics["test"]["accuracy"] > 0.8
    assert result.metrics["cut"] == {"max_length": 160, "train": 0.0, "validation": 0.0, "test": 0.0}
    assert any("are longer than a window of 16 tokens" in note for note in result.notes)
    assert not any("were cut" in note for note in result.notes)
    without = ["encoder.windows=none", "encoder.max_length=64"]
    keys = ["encoder.window_length=null", "encoder.window_stride=null"]
    blind = train(with_values(long_recipe, [*without, *keys]), tmp_path / "without", quiet=True)
    assert blind.metrics["test"]["accuracy"] < 0.6
    assert blind.metrics["cut"]["test"] == 1.0


def test_every_verb_serves_a_model_of_two_stages(long_recipe, documents, tmp_path):
    recipe = with_values(
        method_recipe("auxiliary-labels-adversarial", long_recipe),
        ["encoder.windows=learned", "encoder.window_stride=null", "stages.0.epochs=4"],
    )
    result = train(recipe, tmp_path / "run", quiet=True)
    written = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())["encoder"]
    assert {key: written[key] for key in ("windows", "window_length", "window_stride", "pooling")} == {
        "windows": "learned",
        "window_length": 16,
        "window_stride": 2,
        "pooling": "mean",
    }
    fitted = load_fitted(tmp_path / "run")
    assert fitted.max_length == 160
    test = load_data(recipe).test
    saved = result.metrics["test"]["accuracy"]
    assert np.mean(fitted.scores(test).argmax(1) == fitted.labels.encode(test.labels)) == pytest.approx(saved)
    assert evaluate(tmp_path / "run", str(documents), quiet=True)["rows"] == 192
    assert predict(tmp_path / "run", documents, tmp_path / "out.csv", quiet=True) == 192
    again = fit(
        with_values(method_recipe("frozen"), [f"encoder.name={tmp_path / 'run'}", "encoder.max_length=100"]),
        load_data(recipe),
        tmp_path / "again",
        quiet=True,
    )
    assert again.model.config.windows == "learned"
    assert again.recipe.encoder.windows == "none"  # the folder says it, as it says all else about the encoder


@pytest.mark.parametrize("method", ["label-distance", "r-drop", "supcon", "negative-supervision"])
def test_objectives_see_the_pooled_vector(long_recipe, method, tmp_path):
    recipe = with_values(method_recipe(method, long_recipe), ["stages.0.epochs=1", "encoder.windows=mean"])
    data = load_data(recipe)
    fitted = fit(recipe, data, tmp_path, quiet=True)
    assert np.isfinite([entry["loss"] for entry in fitted.history if "loss" in entry]).all()
    assert fitted.objective is not None
    assert np.isfinite(fitted.scores(data.test)).all()


def test_activations_that_are_computed_again_change_nothing(long_recipe, tmp_path):
    recipe = with_values(long_recipe, ["stages.0.epochs=1", "stages.0.precision=fp32"])
    again = with_values(recipe, ["stages.0.trainer={gradient_checkpointing: true}"])
    data = load_data(recipe)
    kept, computed = (
        fit(one, data, tmp_path / name, quiet=True).scores(data.test)
        for name, one in (("kept", recipe), ("again", again))
    )
    np.testing.assert_allclose(computed, kept, atol=1e-4)


def test_the_estimator_keeps_its_windows(tickets, tiny_encoder, tmp_path):
    texts = [f"{text} " * 4 for text, _ in tickets[::6]]
    classifier = TextClassifier(
        "frozen",
        encoder=tiny_encoder,
        max_length=80,
        settings={"encoder.windows": "learned", "encoder.window_length": 12},
    ).fit(texts, [label for _, label in tickets[::6]])
    classifier.save(tmp_path / "model")
    np.testing.assert_array_equal(
        TextClassifier.load(tmp_path / "model").predict_proba(texts), classifier.predict_proba(texts)
    )


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (["encoder.name=han"], RecipeError, "han reads texts of any length without windows"),
        (["encoder.second=minilm"], RecipeError, "leave out --windows or --second-encoder"),
        (["encoder.max_length=16"], RecipeError, "cut to 16 tokens, which fit into one window of 16"),
        (["encoder.window_length=65"], ModelError, "use a window_length of 64 or less"),
        (["encoder.windows=none"], RecipeError, "encoder.window_length has no effect without windows"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_training(
    long_recipe, settings, error, message, tmp_path
):
    recipe = with_values(long_recipe, settings)
    with pytest.raises(error, match=message):
        fit(recipe, load_data(recipe), tmp_path, quiet=True)


def test_the_length_is_the_texts_and_not_what_the_encoder_reads_at_once(long_recipe):
    encoder = with_values(long_recipe, ["encoder.max_length=null"]).encoder
    model = load_model(encoder, load_data(long_recipe), seed=0).model
    assert input_length(encoder, model) == 512
    assert input_length(encoder.model_copy(update={"max_length": 5000}), model) == 5000


def test_pairs_are_refused_in_training_and_later(long_recipe, tmp_path):
    data = load_data(long_recipe)
    pairs = TextSplit(data.train.texts, data.train.texts, data.train.labels)
    paired = type(data)(pairs, None, None, data.labels)
    with pytest.raises(DataError, match=r"the rows are pairs.*join the two texts"):
        fit(long_recipe, paired, tmp_path, quiet=True)
    recipe = with_values(method_recipe("frozen", long_recipe), ["encoder.windows=max"])
    fitted = fit(recipe, data, tmp_path, quiet=True)
    with pytest.raises(DataError, match="the rows are pairs"):
        fitted.scores(pairs)


def test_tfidf_has_no_windows_but_may_be_compared_with_them(long_recipe, tmp_path):
    assert method_recipe("tfidf", long_recipe).encoder.windows == "none"
    tfidf = with_values(method_recipe("tfidf", long_recipe), ["encoder.windows=max"])
    with pytest.raises(RecipeError, match="TF-IDF reads whole texts"):
        fit(tfidf, load_data(tfidf), tmp_path, quiet=True)
