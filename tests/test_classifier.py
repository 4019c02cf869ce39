from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

import tellapart
from tellapart import TextClassifier, train
from tellapart.errors import DataError, ModelError, RecipeError
from tellapart.fitting.estimator import run_parameters
from tellapart.fitting.fit import fit
from tellapart.recipes import DataRecipe, load_recipe, method_recipe, with_values

# scikit-learn's checks that feed no numbers to fit; check_estimator leaves out text estimators altogether.
CHECKS = [
    estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_estimator_tags_renamed,
    estimator_checks.check_estimators_unfitted,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_mixin_order,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_set_params,
    estimator_checks.check_valid_tag_types,
]


@pytest.fixture(scope="module")
def texts(tickets):
    return [text for text, _ in tickets]


@pytest.fixture(scope="module")
def labels(tickets):
    return np.array([label for _, label in tickets])


@pytest.fixture(scope="module")
def make(tiny_encoder):
    def quick(method="cross-entropy", **parameters):
        quickly = {"encoder": tiny_encoder, "max_length": 24, "epochs": 8, "learning_rate": 0.005}
        return TextClassifier(method, **quickly | parameters)

    return quick


@pytest.fixture(scope="module")
def fitted(make, texts, labels):
    return make().fit(texts, labels)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_scikit_learn_check(check):
    check("TextClassifier", TextClassifier())


def test_it_learns_and_speaks_the_classes_it_was_given(fitted, texts, labels):
    assert fitted.classes_.tolist() == ["expired", "lost", "stolen"]
    assert fitted.score(texts, labels) > 0.8
    probabilities = fitted.predict_proba(texts)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(fitted.classes_[probabilities.argmax(axis=1)], fitted.predict(texts))
    np.testing.assert_array_equal(
        fitted.decision_function(texts).argmax(axis=1), probabilities.argmax(axis=1)
    )


def test_fit_follows_the_conventions(make, texts, labels):
    classifier = make("frozen")
    before, copied = classifier.get_params(), list(texts)
    assert classifier.fit(texts, labels) is classifier
    assert classifier.get_params() == before
    assert texts == copied
    assert not hasattr(classifier, "n_features_in_")
    assert is_classifier(classifier)


def test_the_same_random_state_gives_the_same_model_and_another_one_another(make, texts, labels):
    logits = [
        make(epochs=1, random_state=state).fit(texts, labels).decision_function(texts[:8])
        for state in (1, 1, 2)
    ]
    np.testing.assert_array_equal(logits[0], logits[1])
    assert not np.allclose(logits[0], logits[2])


def test_the_subset_and_the_order_of_the_rows_do_not_change_predictions(fitted, texts):
    whole = fitted.predict_proba(texts)
    np.testing.assert_allclose(fitted.predict_proba(texts[5:8]), whole[5:8], atol=1e-5)
    np.testing.assert_allclose(fitted.predict_proba(texts[::-1]), whole[::-1], atol=1e-5)


@pytest.mark.parametrize("classes", [[3, 1, 2], [True, False, True]])
def test_predictions_have_the_type_of_the_labels(make, texts, labels, classes):
    y = np.array([dict(zip(("lost", "stolen", "expired"), classes, strict=True))[label] for label in labels])
    classifier = make("frozen").fit(texts, y)
    predicted = classifier.predict(texts)
    assert predicted.dtype == y.dtype
    assert classifier.score(texts, y) > 0.5


def test_two_classes_have_one_decision_value_whose_sign_decides(make, texts, labels):
    classifier = make("frozen").fit(texts, labels == "lost")
    values = classifier.decision_function(texts)
    assert values.shape == (len(texts),)
    np.testing.assert_array_equal(values > 0, classifier.predict(texts))


def test_several_labels_a_text_are_predicted_in_the_form_they_were_given(make, texts, labels):
    matrix = np.stack([labels == "lost", labels != "lost"], axis=1).astype(int)
    classifier = make().fit(texts, matrix)
    assert classifier.predict(texts).shape == matrix.shape
    assert classifier.predict_proba(texts).max() <= 1
    assert classifier.score(texts, matrix) > 0.8
    lists = [["lost", "card"] if label == "lost" else ["card"] for label in labels]
    classifier = make().fit(texts, lists)
    assert classifier.classes_.tolist() == ["card", "lost"]
    assert classifier.score(texts, lists) > 0.8
    assert {tuple(row) for row in classifier.predict(texts)} <= {("card",), ("card", "lost"), ("lost",), ()}


def test_pairs_are_learned_from_and_single_texts_then_refused(make, texts, labels):
    frame = pd.DataFrame({"first": texts, "second": texts[::-1]})
    classifier = make("frozen").fit(frame, labels)
    assert len(classifier.predict(frame.to_numpy()[:3])) == 3
    with pytest.raises(DataError, match="give pairs"):
        classifier.predict(texts)


@pytest.mark.parametrize(
    ("paired", "other", "message"),
    [
        (True, "single", "holds single texts: give pairs, as in X"),
        (False, "pairs", "holds pairs of texts: give single texts, as in X"),
    ],
)
@pytest.mark.parametrize("role", ["validation_data", "unlabelled"])
def test_pairs_and_single_texts_are_not_mixed(make, texts, labels, role, paired, other, message):
    forms = {"single": texts, "pairs": list(zip(texts, texts[::-1], strict=True))}
    X, more = forms["pairs" if paired else "single"], forms[other]
    given = {role: (more, labels) if role == "validation_data" else more}
    with pytest.raises(DataError, match=f"{role} {message}"):
        make("tfidf").fit(X, labels, **given)


@pytest.mark.parametrize("given", [(["a"], ["lost"], [1.0]), 3, (["a"],)])
def test_validation_data_that_are_no_pair_are_refused(make, texts, labels, given):
    with pytest.raises(DataError, match=r"validation_data is no pair .* give the tuple \(X, y\)"):
        make("tfidf").fit(texts, labels, validation_data=given)


def test_it_works_in_cross_validation_grid_search_and_a_pipeline(make, texts, labels):
    pipeline = Pipeline(
        [("lower", FunctionTransformer(lambda X: [text.lower() for text in X])), ("classify", make("frozen"))]
    )
    assert cross_val_score(pipeline, texts, labels, cv=2, error_score="raise").mean() > 0.6
    search = GridSearchCV(pipeline, {"classify__max_length": [8, np.int64(16)]}, cv=2, error_score="raise")
    search.fit(pd.Series(texts), pd.Series(labels))
    assert search.best_estimator_["classify"].recipe_.encoder.max_length in (8, 16)


def test_settings_reach_the_recipe_and_win_over_parameters(make, texts, labels):
    classifier = make(
        "label-distance", epochs=1, settings={"stages.0.objective.tau": 3, "encoder.max_length": 16}
    )
    classifier.fit(texts, labels)
    assert classifier.recipe_.stages[0].objective.tau == 3
    assert classifier.recipe_.encoder.max_length == 16
    assert classifier.history_


@pytest.mark.parametrize(("parameter", "setting", "rows"), [(0.25, 0.5, 96), (0, 0.5, 96), (0.25, None, 48)])
def test_the_share_of_validation_rows_that_is_set_wins(
    make, texts, labels, monkeypatch, parameter, setting, rows
):
    seen = []
    monkeypatch.setattr(
        "tellapart.fitting.fit.fit",
        lambda recipe, data, *_, fit=fit, **options: seen.append(data) or fit(recipe, data, *_, **options),
    )
    settings = None if setting is None else {"data.validation_share": setting}
    classifier = make("tfidf", validation_share=parameter, settings=settings).fit(texts, labels)
    assert len(seen[0].validation) == rows
    assert classifier.recipe_.data.validation_share == (setting or parameter)


def test_given_validation_rows_are_used_instead_of_a_share(make, texts, labels):
    with pytest.raises(DataError, match="do not occur in the training rows"):
        make().fit(texts, labels, validation_data=(["a text"], ["unknown"]))


def test_a_saved_estimator_comes_back_with_the_same_predictions(fitted, texts, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    fitted.save(tmp_path)
    loaded = TextClassifier.load(tmp_path)
    np.testing.assert_allclose(loaded.predict_proba(texts), fitted.predict_proba(texts), atol=1e-5)
    assert loaded.classes_.dtype == fitted.classes_.dtype
    assert loaded.get_params() == fitted.get_params()
    assert loaded.recipe_ == fitted.recipe_
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".safetensors", ".txt", ".md"}
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "kinds", [("tfidf", "frozen"), ("frozen", "tfidf"), ("fused", "frozen"), ("frozen", "fused")]
)
def test_a_saved_estimator_replaces_one_of_another_kind(make, texts, labels, tmp_path, tiny_encoder, kinds):
    parameters = {"fused": {"method": "frozen", "settings": {"encoder.second": tiny_encoder}}}
    earlier, later = (
        make(epochs=1, **parameters.get(kind, {"method": kind})).fit(texts, labels) for kind in kinds
    )
    earlier.save(tmp_path / "twice")
    (tmp_path / "twice" / "notes.txt").write_text("mine")
    later.save(tmp_path / "twice")
    later.save(tmp_path / "twice")
    later.save(tmp_path / "once")
    names = {path.name for path in (tmp_path / "twice").iterdir()}
    assert names == {"notes.txt", *(path.name for path in (tmp_path / "once").iterdir())}
    loaded = TextClassifier.load(tmp_path / "twice")
    assert type(loaded._fitted.scorer) is type(later._fitted.scorer)
    np.testing.assert_allclose(loaded.decision_function(texts), later.decision_function(texts), atol=1e-5)


def test_an_estimator_saved_into_a_run_folder_is_not_taken_for_its_model(make, texts, labels, tmp_path):
    make("tfidf").fit(texts, labels).save(tmp_path / "model")
    (tmp_path / "model" / "tellapart.json").write_text('{"temperature": 9.0}')
    later = make("frozen", epochs=1).fit(texts, labels)
    later.save(tmp_path)
    loaded = TextClassifier.load(tmp_path)
    np.testing.assert_allclose(loaded.decision_function(texts), later.decision_function(texts), atol=1e-5)


def test_a_saved_estimator_is_a_plain_checkpoint(fitted, texts, tmp_path):
    import transformers

    fitted.save(tmp_path)
    pipeline = transformers.pipeline("text-classification", str(tmp_path), top_k=None)
    scores = {one["label"]: one["score"] for one in pipeline([texts[0]])[0]}
    np.testing.assert_allclose(
        [scores[name] for name in fitted.classes_], fitted.predict_proba(texts[:1])[0], atol=1e-5
    )


def test_a_pickled_estimator_comes_back_with_the_same_predictions(fitted, texts):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_allclose(again.predict_proba(texts), fitted.predict_proba(texts), atol=1e-5)


def test_a_pickled_estimator_of_two_encoders_comes_back(make, texts, labels, tiny_encoder):
    fused = make("frozen", epochs=1, settings={"encoder.second": tiny_encoder}).fit(texts, labels)
    again = pickle.loads(pickle.dumps(fused))
    np.testing.assert_allclose(again.predict_proba(texts), fused.predict_proba(texts), atol=1e-5)


def test_a_clone_is_not_fitted(fitted, texts):
    with pytest.raises(NotFittedError):
        clone(fitted).predict(texts)


@pytest.fixture(scope="module")
def ticket_run(ticket_file, tiny_encoder, tmp_path_factory):
    values = [f"data.source={ticket_file}", f"encoder.name={tiny_encoder}", "encoder.max_length=24"]
    values += ["stages.0.epochs=2", "stages.0.learning_rate=0.005", "data.train_rows=90", "seed=3"]
    folder = tmp_path_factory.mktemp("runs") / "tickets"
    train(with_values(method_recipe("contrast"), values), folder, quiet=True)
    return folder


@pytest.mark.parametrize("part", ["", "model"])
def test_the_model_of_a_run_predicts_in_python_what_the_command_predicts(
    ticket_run, ticket_file, texts, tmp_path, part
):
    loaded = TextClassifier.load(ticket_run / part)
    tellapart.predict(ticket_run, ticket_file, tmp_path / "labelled.csv", quiet=True)
    written = pd.read_csv(tmp_path / "labelled.csv")["predicted_label"]
    assert loaded.predict(texts).tolist() == written.tolist()
    assert loaded.predict_proba(texts).shape == (len(texts), len(loaded.classes_))
    assert loaded.classes_.tolist() == sorted(set(written))


def test_a_clone_of_a_loaded_run_trains_on_other_rows_as_the_run_did(ticket_run, texts, labels):
    loaded = TextClassifier.load(ticket_run)
    again = clone(loaded).fit(texts, labels)
    rows = {"data": DataRecipe()}
    before, after = (each.recipe_.model_copy(update=rows) for each in (loaded, again))
    assert after == before
    assert again.recipe_.seed == 3
    assert again.recipe_.data.validation_in_training == loaded.recipe_.data.validation_in_training


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("contrast", ["stages.0.evaluations=10", "data.label_texts=none", "stages.0.objective.weight=0.9"]),
        ("auxiliary-labels", ["stages.1.solver=l-bfgs", "encoder.pooling=cls", "data.few_shot=4"]),
        ("label-distance", []),
    ],
)
def test_the_parameters_of_a_run_are_its_values_also_where_they_are_usual_defaults(method, changes):
    recipe = with_values(method_recipe(method), [*changes, "seed=5"])
    again = TextClassifier(**run_parameters(recipe))._recipe()
    rows = {"data": again.data, "method": again.method}
    assert again == recipe.model_copy(update=rows)
    assert again.data.label_texts == recipe.data.label_texts
    assert again.method == recipe.method


def test_stages_of_a_recipe_file_are_kept_as_settings(tmp_path):
    (tmp_path / "mine.yaml").write_text("stages:\n  - objective: {name: label-distance}\n  - learns: head\n")
    recipe = load_recipe(tmp_path / "mine.yaml")
    assert TextClassifier(**run_parameters(recipe))._recipe().stages == recipe.stages


def test_a_loaded_run_is_saved_as_an_estimator(ticket_run, texts, tmp_path):
    loaded = TextClassifier.load(ticket_run)
    loaded.save(tmp_path / "saved")
    np.testing.assert_allclose(
        TextClassifier.load(tmp_path / "saved").predict_proba(texts), loaded.predict_proba(texts), atol=1e-6
    )


def test_a_run_with_several_labels_predicts_lists(tiny_encoder, texts, tmp_path):
    rows = "\n".join(f'{{"text": "{text}", "label": ["a", "b"]}}' for text in texts[:20])
    rows += "\n" + "\n".join(f'{{"text": "{text}", "label": ["a"]}}' for text in texts[20:40])
    (tmp_path / "rows.jsonl").write_text(rows)
    recipe = with_values(method_recipe("frozen"), [f"data.source={tmp_path / 'rows.jsonl'}"])
    train(
        with_values(recipe, [f"encoder.name={tiny_encoder}", "encoder.max_length=24"]),
        tmp_path / "run",
        quiet=True,
    )
    found = TextClassifier.load(tmp_path / "run").predict(texts[:3])
    assert all(set(names) <= {"a", "b"} for names in found)


def test_a_run_of_numbers_is_refused(tiny_encoder, texts, tmp_path):
    rows = "".join(f"{text},{number / 4}\n" for number, text in enumerate(texts[:60]))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows)
    values = [f"data.source={tmp_path / 'rows.csv'}", f"encoder.name={tiny_encoder}"]
    values += ["encoder.max_length=24", "data.regression=true"]
    train(with_values(method_recipe("frozen"), values), tmp_path / "run", quiet=True)
    with pytest.raises(ModelError, match="predicts numbers"):
        TextClassifier.load(tmp_path / "run")


def test_a_folder_without_an_estimator_is_refused(tmp_path):
    with pytest.raises(ModelError, match="holds no saved TextClassifier"):
        TextClassifier.load(tmp_path)


def test_a_misspelt_parameter_is_named_with_the_closest_one():
    with pytest.raises(RecipeError, match='did you mean "epochs"'):
        TextClassifier().set_params(epoch=3)
    with pytest.raises(RecipeError, match='did you mean "label-distance"'):
        TextClassifier("label-distanse").fit(["a", "b"], [0, 1])


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([], [], "is empty"),
        (["a", "b", "c"], ["x", "y"], "X has 3 rows and y has 2"),
        (["a", "b"], ["x", "x"], "one class only"),
        (["a", None], ["x", "y"], "row 1 of X is not a text"),
        (["a", "b"], ["x", float("nan")], "label 1 of y is missing"),
    ],
)
def test_data_that_cannot_be_learned_from_are_a_value_error(X, y, message):
    with pytest.raises(ValueError, match=message):
        TextClassifier().fit(X, y)


def test_unlabelled_texts_are_used_by_self_training_and_kept_in_its_report(tickets, tiny_encoder, tmp_path):
    texts, labels = map(list, zip(*tickets[::8], strict=True))
    more = [text for text, _ in tickets[1::4]]
    classifier = TextClassifier(
        encoder=tiny_encoder,
        max_length=24,
        epochs=2,
        learning_rate=0.005,
        validation_share=None,
        settings={"self_training.share": 0.5, "self_training.epochs": 1, "stages.0.evaluations": 1},
    )
    classifier.fit(texts, labels, unlabelled=[*more, *texts, ""])
    (report,) = classifier.self_training_["rounds"]
    assert report["texts"] == len(more)
    assert report["used"] == sum(report["per_class"].values()) == len(more) // 2
    classifier.save(tmp_path)
    assert TextClassifier.load(tmp_path).self_training_ == classifier.self_training_
    with pytest.raises(DataError, match="no text of the unlabelled texts can be used"):
        classifier.fit(texts, labels, unlabelled=texts)
    with pytest.raises(RecipeError, match="pre-trains"):
        classifier.set_params(settings={"self_training.pretrain": "hard"}).fit(texts, labels, unlabelled=more)


def test_a_method_brings_its_label_texts_unless_they_are_given():
    assert TextClassifier()._recipe().data.label_texts == "none"
    assert TextClassifier("contrast")._recipe().data.label_texts == "auto"
    assert TextClassifier("contrast", label_texts="none")._recipe().data.label_texts == "none"


def test_label_texts_are_given_by_class_or_as_names(make, texts):
    numbers = [len(text) % 2 for text in texts]
    given = {0: "an even number of letters", 1: ["an odd number", "not even"]}
    classifier = make("frozen", label_texts=given).fit(texts, numbers)
    assert classifier.recipe_.data.label_texts == {
        "0": "an even number of letters",
        "1": ["an odd number", "not even"],
    }
    plain = make("frozen").fit(texts, numbers)
    assert not np.array_equal(classifier.decision_function(texts), plain.decision_function(texts))
    with pytest.raises(DataError, match='no text for the class "1"'):
        make("frozen", label_texts={0: "even"}).fit(texts, numbers)
    with pytest.raises(DataError, match="which is no file"):
        make("frozen", label_texts="nams").fit(texts, numbers)


@pytest.mark.parametrize(
    "setting",
    [
        {"data.out_of_scope": "lost"},
        {"data.unlabelled": "rest"},
        {"data.few_shot": 2},
        {"data.label": "queue"},
    ],
)
def test_settings_of_rows_that_an_estimator_does_not_read_are_refused(make, texts, labels, setting):
    (name,) = setting
    with pytest.raises(
        RecipeError, match=f"does not use {name}, since its rows are those of X and y: leave it"
    ):
        make("tfidf", settings=setting).fit(texts, labels)


@pytest.mark.parametrize("kind", [np.int64, bool])
def test_label_texts_by_class_and_paths_are_saved(texts, tiny_encoder, tmp_path, kind):
    y = [kind(len(text) % 2) for text in texts]
    parameters = {"encoder": Path(tiny_encoder), "max_length": 24, "epochs": 1}
    given = {kind(0): "even", kind(1): ["odd", "not even"]}
    classifier = TextClassifier("frozen", label_texts=given, **parameters).fit(texts, y)
    classifier.save(tmp_path / "saved")
    loaded = TextClassifier.load(tmp_path / "saved")
    assert loaded.encoder == tiny_encoder
    np.testing.assert_array_equal(loaded.predict(texts), classifier.predict(texts))
    assert loaded.fit(texts, y).recipe_ == classifier.recipe_


def test_an_estimator_with_label_texts_comes_back_from_disk(make, texts, labels, tmp_path):
    classifier = make("frozen", label_texts="names").fit(texts, labels)
    classifier.save(tmp_path / "saved")
    loaded = TextClassifier.load(tmp_path / "saved")
    assert loaded.label_texts == "names"
    np.testing.assert_allclose(
        loaded.decision_function(texts), classifier.decision_function(texts), atol=1e-5
    )


@pytest.mark.parametrize("method", ["tfidf", "frozen", "cross-entropy"])
def test_rows_of_weight_zero_teach_nothing(make, method):
    texts = [f"card {word} {number}" for number in range(16) for word in ("lost", "stolen")]
    labels = ["lost", "stolen"] * 16
    wrong = [*labels, *(["stolen", "lost"] * 16)]
    weights = [1.0] * 32 + [0.0] * 32
    classifier = make(method, validation_share=0).fit([*texts, *texts], wrong, sample_weight=weights)
    assert classifier.score(texts, labels) == 1
    reverse = make(method, validation_share=0).fit([*texts, *texts], wrong, sample_weight=weights[::-1])
    assert reverse.score(texts, labels) == 0


def test_weights_follow_their_rows_when_validation_rows_are_split_off(make):
    texts = [f"card {word} {number}" for number in range(16) for word in ("lost", "stolen")]
    labels = ["lost", "stolen"] * 16
    rows = [
        (text, each) for text, label in zip(texts, labels, strict=True) for each in (label, "lost", "stolen")
    ]
    weights = [1.0, 0.0, 0.0] * 32  # only the first of three rows is right
    classifier = make("tfidf", validation_share=0.25)
    classifier.fit([text for text, _ in rows], [label for _, label in rows], sample_weight=weights)
    assert classifier.score(texts, labels) == 1
    with pytest.raises(DataError, match='all training rows of the class "stolen" have weight 0'):
        classifier.fit(texts, labels, sample_weight=[1.0, 0.0] * 16)


@pytest.mark.parametrize(
    ("weights", "fault"),
    [
        ([1.0], "has the shape"),
        ([[1.0]] * 8, "has the shape"),
        ([-1.0] * 8, "negative or infinite"),
        ([np.nan] * 8, "negative or infinite"),
        ([0.0] * 8, "zeros only"),
        (["x"] * 8, "no numbers"),
    ],
)
def test_weights_that_do_not_fit_the_rows_are_refused(make, weights, fault):
    texts = [f"card {number}" for number in range(8)]
    with pytest.raises(DataError, match=fault):
        make("tfidf").fit(texts, ["lost", "stolen"] * 4, sample_weight=weights)
