from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import transformers

from tellapart import TextClassifier
from tellapart.data.examples import LabelSpace
from tellapart.encoders.loading import load_encoder
from tellapart.errors import RecipeError, TellapartWarning
from tellapart.evaluation.abstention import Abstention, confidence_scores, precision_threshold
from tellapart.evaluation.calibration import fit_temperature
from tellapart.evaluation.decision import tuned_thresholds
from tellapart.evaluation.metrics import predicted_ids, probabilities
from tellapart.fitting.fit import fit
from tellapart.fitting.loading import load_fitted
from tellapart.fitting.rows import load_data
from tellapart.objectives.relations import with_relations
from tellapart.recipes import method_recipe, with_values
from tellapart.runs.compare import compare
from tellapart.runs.evaluate import evaluate
from tellapart.runs.predict import predict
from tellapart.runs.train import train


@pytest.fixture(scope="module")
def tagged_file(tickets, tmp_path_factory):
    """Tickets with one to three labels, one of them rare, and with noise: some tags are wrong."""
    random = np.random.default_rng(0)
    tags = []
    for text, label in tickets:
        its = {label, "card"} if "card" in text else {label}
        its |= {"vip"} if "our company" in text and random.random() < 0.7 else set()
        tags.append(sorted(its - ({label} if random.random() < 0.15 else set())))
    path = tmp_path_factory.mktemp("data") / "tagged.parquet"
    pq.write_table(pa.table({"text": [text for text, _ in tickets], "labels": tags}), path)
    return path


@pytest.fixture
def tagged(recipe, tagged_file):
    """Rows to validate on are many: thresholds and temperatures are fitted on them."""
    return with_values(
        recipe, [f"data.source={tagged_file}", "data.validation_share=0.4", "stages.0.epochs=2"]
    )


def test_tuned_thresholds_are_stored_and_used_by_every_verb(tagged, tagged_file, tmp_path):
    tuned = with_values(tagged, ["decision.thresholds=tuned"])
    run = tmp_path / "run"
    metrics = train(tuned, run, quiet=True).metrics
    data, fitted = load_data(tuned), load_fitted(run)
    validation = data.validation
    gold, logits = data.labels.encode(validation.labels), fitted.scores(validation)
    expected = tuned_thresholds(gold, probabilities(data.labels, logits))
    stored = json.loads((run / "model" / "tellapart.json").read_text())["thresholds"]
    assert stored == pytest.approx(dict(zip(data.labels.names, expected, strict=True)), abs=1e-5)
    assert set(stored.values()) != {0.5}
    assert metrics["decision"]["thresholds"] == stored
    assert metrics["validation"]["macro_f1"] > metrics["decision"]["before"]["validation"]["macro_f1"]

    thresholds = np.array([stored[name] for name in data.labels.names])
    test_ids = predicted_ids(data.labels, fitted.scores(data.test), thresholds)
    wanted = [[name for name, hit in zip(data.labels.names, row, strict=True) if hit] for row in test_ids]
    assert pq.read_table(run / "predictions.parquet").to_pydict()["predicted_label"] == wanted
    measured = evaluate(run, {"text": data.test.texts, "labels": data.test.labels})
    assert measured == pytest.approx({"rows": len(data.test)} | metrics["test"], abs=1e-6)
    pq.write_table(pa.table({"text": data.test.texts}), tmp_path / "in.parquet")
    predict(run, tmp_path / "in.parquet", tmp_path / "out.parquet", precision="fp32", quiet=True)
    assert pq.read_table(tmp_path / "out.parquet").to_pydict()["predicted_label"] == wanted
    assert "threshold (%)" in (run / "report.html").read_text()


def test_the_estimator_tunes_stores_and_uses_thresholds(tickets, tiny_encoder, tmp_path):
    texts = [text for text, _ in tickets]
    random = np.random.default_rng(0)
    marks = np.array([[label == "lost", "card" in text] for text, label in tickets], dtype=int)
    marks[:, 0] &= random.random(len(texts)) < 0.6
    classifier = TextClassifier(
        encoder=tiny_encoder,
        max_length=24,
        epochs=1,
        validation_share=0.4,
        settings={"decision.thresholds": "tuned", "decision.temperature": "fitted"},
    ).fit(texts, marks)
    thresholds = classifier._fitted.decision.applied_thresholds
    assert not np.allclose(thresholds, 0.5)
    np.testing.assert_array_equal(classifier.predict(texts), classifier.predict_proba(texts) >= thresholds)
    classifier.save(tmp_path)
    loaded = TextClassifier.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(texts), classifier.predict(texts))
    np.testing.assert_allclose(loaded.predict_proba(texts), classifier.predict_proba(texts), atol=1e-5)
    plain = TextClassifier("frozen", encoder=tiny_encoder, max_length=24).fit(texts, marks)
    plain.save(tmp_path)
    assert not (tmp_path / "tellapart.json").exists()


@pytest.mark.parametrize("temperature", ["fitted", "folded"])
@pytest.mark.parametrize("method", ["cross-entropy", "tfidf"])
def test_a_temperature_calibrates_the_probabilities_and_changes_no_prediction(
    recipe, tmp_path, temperature, method
):
    plain = with_values(
        method_recipe(method, recipe),
        ["data.validation_share=0.4", "data.train_rows=12", "stages.0.trainer.max_steps=8"],
    )
    calibrated = with_values(plain, [f"decision.temperature={temperature}"])
    data = load_data(plain)
    before = fit(plain, data, tmp_path / "a", quiet=True)
    after = fit(calibrated, data, tmp_path / "b", quiet=True)
    gold = data.labels.encode(data.validation.labels)
    expected = fit_temperature(gold, before.scores(data.validation))
    assert expected != pytest.approx(1, abs=0.02)
    assert after.decision.temperature == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(after.scores(data.test), before.scores(data.test) / expected, atol=1e-4)
    assert (after.scores(data.test).argmax(1) == before.scores(data.test).argmax(1)).all()
    after.save(tmp_path / "model")
    loaded = load_fitted(tmp_path / "model")
    assert loaded.decision == after.decision
    np.testing.assert_allclose(loaded.scores(data.test), after.scores(data.test), atol=1e-4)


def test_a_folded_temperature_is_in_what_any_pipeline_gives(recipe, tmp_path):
    folded = with_values(
        recipe,
        ["decision.temperature=folded", "data.validation_share=0.4", "stages.0.trainer.max_steps=8"],
    )
    run = tmp_path / "run"
    metrics = train(folded, run, quiet=True).metrics
    fitted, data = load_fitted(run), load_data(folded)
    classify = transformers.pipeline("text-classification", str(run / "model"), top_k=None)
    served = [{entry["label"]: entry["score"] for entry in row} for row in classify(data.test.texts)]
    chances = probabilities(fitted.labels, fitted.scores(data.test))
    for row, chance in zip(served, chances, strict=True):
        np.testing.assert_allclose([row[name] for name in fitted.labels.names], chance, atol=1e-5)
    assert metrics["decision"]["temperature_folded"] is True
    assert metrics["decision"]["before"]["test"]["accuracy"] == metrics["test"]["accuracy"]
    assert metrics["decision"]["before"]["validation"]["log_loss"] > metrics["validation"]["log_loss"]
    page = (run / "report.html").read_text()
    assert "with a temperature of" in page
    assert "as trained" in page


def test_given_thresholds_decide_and_others_stay_at_one_half(tagged, tmp_path):
    given = with_values(tagged, ["decision.thresholds={card: 0.9}"])
    fitted = fit(given, load_data(given), tmp_path, quiet=True)
    assert dict(zip(fitted.labels.names, fitted.decision.thresholds, strict=True)) == {
        "card": 0.9,
        "expired": 0.5,
        "lost": 0.5,
        "stolen": 0.5,
        "vip": 0.5,
    }


@pytest.mark.parametrize(
    ("several", "settings", "message"),
    [
        (True, ["decision.thresholds={crad: 0.2}"], 'did you mean "card"'),
        (False, ["decision.thresholds=tuned"], "one class each"),
        (False, ["decision.thresholds=0.3"], "one class each"),
    ],
)
def test_thresholds_that_fit_nothing_are_refused_before_training(
    recipe, tagged, tmp_path, several, settings, message, monkeypatch
):
    monkeypatch.setattr("tellapart.fitting.prepared.load_model", None)  # nothing is loaded, let alone trained
    chosen = with_values(tagged if several else recipe, settings)
    with pytest.raises(RecipeError, match=message):
        fit(chosen, load_data(chosen), tmp_path, quiet=True)


@pytest.mark.parametrize("setting", ["decision.abstain.precision=0.9", "decision.conformal=0.9"])
def test_no_abstention_is_chosen_without_validation_rows(recipe, tmp_path, setting):
    chosen = with_values(recipe, [setting])
    data = dataclasses.replace(load_data(chosen), validation=None)
    with pytest.raises(RecipeError, match=r"on validation rows, and there are none.*validation_share"):
        fit(chosen, data, tmp_path, quiet=True)


def test_out_of_scope_validation_rows_are_wrong_wherever_they_are_accepted(recipe, tmp_path):
    chosen = with_values(recipe, ["decision.abstain.precision=0.95", "data.validation_share=0.4"])
    data = load_data(chosen)
    outside = data.train.select(range(0, 100, 20))  # texts that the model is sure of
    fitted = fit(
        chosen, dataclasses.replace(data, out_of_scope={"validation": outside}), tmp_path, quiet=True
    )
    logits, gold = fitted.scores(data.validation), data.labels.encode(data.validation.labels)
    scores = [confidence_scores(one, "probability") for one in (logits, fitted.scores(outside))]
    right = np.append(logits.argmax(1) == gold, np.zeros(len(outside), dtype=bool))
    expected, reached = precision_threshold(np.concatenate(scores), right, 0.95)
    assert reached >= 0.95
    assert fitted.decision.abstention == Abstention("probability", pytest.approx(expected, abs=1e-6))
    assert precision_threshold(scores[0], right[: len(gold)], 0.95)[0] != pytest.approx(expected, abs=1e-6)


def test_a_precision_out_of_reach_names_the_highest_and_keeps_the_model(recipe, tmp_path):
    settings = ["decision.abstain.precision=0.75", "decision.abstain_by=energy", "data.validation_share=0.4"]
    chosen = with_values(recipe, settings)
    data = load_data(chosen)
    outside = {"validation": data.validation}  # no threshold tells them from themselves
    with pytest.warns(
        TellapartWarning, match=r"no threshold has a precision of 75.0% .*the highest, \d\d.\d%"
    ):
        fitted = fit(chosen, dataclasses.replace(data, out_of_scope=outside), tmp_path, quiet=True)
    assert fitted.decision.abstention.by == "energy"
    accepted = fitted.decision.abstention.accepts(fitted.scores(data.validation))
    assert 0 < accepted.mean() <= 1


def test_the_estimator_says_which_texts_it_accepts_and_keeps_that(tickets, tiny_encoder, tmp_path):
    texts, labels = [text for text, _ in tickets], [label for _, label in tickets]
    options = {"encoder": tiny_encoder, "max_length": 24, "validation_share": 0.4}
    plain = TextClassifier("frozen", **options).fit(texts, labels)
    assert plain.accepts(texts).all()
    careful = TextClassifier("frozen", settings={"decision.abstain.coverage": 0.5}, **options).fit(
        texts, labels
    )
    accepted = careful.accepts(texts)
    assert 0.3 < accepted.mean() < 0.7
    confidence = careful.predict_proba(texts).max(axis=1)
    assert confidence[accepted].min() > confidence[~accepted].max()
    careful.save(tmp_path)
    np.testing.assert_array_equal(TextClassifier.load(tmp_path).accepts(texts), accepted)


@pytest.mark.parametrize("setting", ["decision.thresholds=tuned", "decision.temperature=fitted"])
def test_nothing_is_fitted_without_validation_rows(tagged, tmp_path, setting):
    chosen = with_values(tagged, [setting])
    data = dataclasses.replace(load_data(chosen), validation=None)
    with pytest.raises(RecipeError, match=r"on validation rows, and there are none.*validation_share"):
        fit(chosen, data, tmp_path, quiet=True)


def test_a_recipe_file_can_set_a_decision_against_another(tagged, tmp_path):
    (tmp_path / "tuned.yaml").write_text("decision: {thresholds: tuned}\n")
    comparison = compare(
        with_values(tagged, ["stages.0.metric=macro_f1"]),
        ["frozen", str(tmp_path / "tuned.yaml")],
        tmp_path / "comparison",
        trials=1,
        quiet=True,
    )
    assert set(comparison.methods) == {"frozen", "tuned"}
    trial = json.loads((tmp_path / "comparison" / "trials" / "tuned-seed0.json").read_text())
    confusion = np.array(trial["confusion"])
    data = load_data(tagged)
    gold = data.labels.encode(data.test.labels)
    recall = np.diag(confusion).sum() / gold.sum()
    assert recall == pytest.approx(
        trial["metrics"]["micro_recall"]
    )  # the figures are those of the thresholds


def test_an_order_is_kept_beside_the_model_and_measured_by(recipe, tmp_path):
    ordered = with_values(
        method_recipe("tfidf", recipe),
        ["data.order=[lost, stolen, expired]", "stages.0.metric=quadratic_kappa"],
    )
    run = tmp_path / "run"
    metrics = train(ordered, run, quiet=True).metrics
    assert {"quadratic_kappa", "mean_absolute_error"} <= metrics["test"].keys()
    split = load_data(ordered).test
    rows = {"text": split.texts, "label": split.labels}
    assert evaluate(run, rows)["quadratic_kappa"] == pytest.approx(metrics["test"]["quadratic_kappa"])
    other = evaluate(run, rows, order=["stolen", "lost", "expired"])
    ranks = {"stolen": 0, "lost": 1, "expired": 2}
    predicted = pq.read_table(run / "predictions.parquet").to_pydict()["predicted_label"]
    errors = [abs(ranks[a] - ranks[b]) for a, b in zip(predicted, split.labels, strict=True)]
    assert other["mean_absolute_error"] == pytest.approx(np.mean(errors))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["data.order=[lost, stolen]"], "lacks expired"),
        (["data.order=[lost, stolen, expird]"], 'did you mean "expired"'),
        (["data.hierarchy_separator=."], 'no class name contains the separator "."'),
        (["data.order=[lost, stolen, expired]", "data.hierarchy_separator=."], "not both"),
    ],
)
def test_relations_that_do_not_fit_the_classes_are_one_sentence(recipe, settings, message):
    with pytest.raises(RecipeError, match=message):
        load_data(with_values(recipe, settings))


def test_a_layer_without_bias_can_be_folded_into_too(tiny_encoder):
    from tellapart.fitting.fitted import TransformersScorer

    model = load_encoder(tiny_encoder, LabelSpace(("a", "b")), pooling="stock")
    model.classifier = torch.nn.Linear(32, 2, bias=False)
    before = model.classifier.weight.clone()
    TransformersScorer(model, None, 16).divide_by_temperature(4.0)
    torch.testing.assert_close(model.classifier.weight, before / 4)


def test_relations_are_taken_from_the_recipe(recipe):
    labels = LabelSpace(("a.b", "a.c"))
    nested = with_values(recipe, ["data.hierarchy_separator=."]).data
    assert with_relations(labels, nested).hierarchy_separator == "."
    assert with_relations(labels, recipe.data) is labels
