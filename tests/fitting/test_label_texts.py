"""Label texts in runs: they are learned from, and never count anywhere else."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tellapart.data.examples import SCORE, LabelSpace, TextData, TextSplit
from tellapart.errors import DataError, RecipeError
from tellapart.evaluation.metrics import main_metric
from tellapart.fitting.fit import fit
from tellapart.fitting.resolve import resolve
from tellapart.fitting.rows import split_data, with_label_texts
from tellapart.fitting.trials import _fingerprint, trial_content
from tellapart.recipes import Recipe, method_recipe, with_values

NAMES = ("card_expired", "cardLost", "card.stolen")


def _recipe(method: str, *values: str, texts: str = "names") -> Recipe:
    return with_values(method_recipe(method), [f"data.label_texts={texts}", *values])


@st.composite
def _tasks(draw) -> TextData:
    multi_label = draw(st.booleans())
    count = draw(st.integers(9, 30))
    labels = [NAMES[number % 3] for number in range(count)]
    kind = "multi_label_classification" if multi_label else "single_label_classification"
    # Some rows have the very text of a class.
    texts = [
        "card lost" if draw(st.integers(0, 9)) == 0 else f"text {draw(st.integers(0, 99))}"
        for _ in range(count)
    ]
    split = TextSplit(texts, labels=[[name] for name in labels] if multi_label else labels)
    return TextData(split, None, None, LabelSpace(NAMES, kind))


@given(
    data=_tasks(),
    seed=st.integers(0, 9),
    few_shot=st.sampled_from(["null", "1", "3"]),
    train_rows=st.sampled_from(["null", "6"]),
)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_label_texts_change_no_split_no_count_and_no_scored_row(data, seed, few_shot, train_rows):
    values = [f"seed={seed}", f"data.few_shot={few_shot}", f"data.train_rows={train_rows}"]
    recipes = [_recipe("tfidf", *values, texts=texts) for texts in ("none", "names")]
    without, named = (split_data(recipe, with_label_texts(data, recipe)) for recipe in recipes)
    assert without.splits == named.splits
    assert without.notes == named.notes
    assert without.labels == named.labels
    assert named.label_texts.texts == ["card expired", "card lost", "card stolen"]
    assert without.label_texts is None
    recipe = _recipe("tfidf", *values)
    fitted = fit(recipe, named, "unused", quiet=True)
    scored = named.test or named.validation
    if scored is not None:
        logits = fitted.scores(scored)
        assert logits.shape == (len(scored), 3)
        metric = main_metric(data.labels)
        content = trial_content(recipe, named, fitted.labels, logits, metric, start=0.0)
        assert np.sum(content["confusion"]) == len(scored) or data.labels.multi_label
        assert (
            content["unseen"]
            == trial_content(recipe, without, fitted.labels, logits, metric, start=0.0)["unseen"]
        )


@pytest.fixture
def task(tickets) -> TextData:
    rows = tickets[::4]
    split = TextSplit([text for text, _ in rows], labels=[label for _, label in rows])
    return TextData(split, split, None, LabelSpace(("expired", "lost", "stolen")))


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("cross-entropy", ["stages.0.label_text_weight=0.5"]),
        ("supcon", ["stages.0.label_text_anchors=true", "stages.0.batches=balanced"]),
        ("auxiliary-labels", ["stages.1.label_text_weight=2.0"]),
        ("cross-entropy", ["encoder.windows=max", "encoder.window_length=8", "encoder.window_stride=2"]),
        ("cross-entropy", ["encoder.second=TINY"]),
        ("cross-entropy", ["encoder.name=textcnn"]),
        ("cross-entropy", ["encoder.name=han"]),
    ],
)
def test_every_kind_of_run_learns_from_label_texts(task, tiny_encoder, tmp_path, method, values):
    base = [f"encoder.name={tiny_encoder}", "encoder.max_length=24", "stages.0.epochs=1"]
    values = [value.replace("TINY", tiny_encoder) for value in values]
    fitted = fit(_recipe(method, *base, *values), task, tmp_path, quiet=True)
    scores = fitted.scores(task.validation)
    off = [value for value in values if "label_text" not in value]
    plain = fit(_recipe(method, *base, *off, texts="none"), task, tmp_path / "none", quiet=True)
    assert not np.array_equal(scores, plain.scores(task.validation))


def test_a_weight_of_0_is_training_without_to_the_bit(task, tiny_encoder, tmp_path):
    base = [f"encoder.name={tiny_encoder}", "encoder.max_length=24", "stages.0.epochs=1"]
    recipes = [
        _recipe("cross-entropy", *base, "stages.0.label_text_weight=0"),
        _recipe("cross-entropy", *base, texts="none"),
    ]
    one, other = (
        fit(recipe, task, tmp_path / str(number), quiet=True).scores(task.validation)
        for number, recipe in enumerate(recipes)
    )
    np.testing.assert_array_equal(one, other)


def test_pairs_and_sets_of_labels_have_label_texts(task, tiny_encoder, tmp_path):
    pairs = replace(task.train, text_pairs=task.train.texts)
    sets = replace(task.train, labels=[[label] for label in task.train.labels])
    several = LabelSpace(task.labels.names, "multi_label_classification")
    values = [f"encoder.name={tiny_encoder}", "encoder.max_length=24", "stages.0.epochs=1"]
    for name, split, labels in (("pairs", pairs, task.labels), ("sets", sets, several)):
        data = TextData(split, split, None, labels)
        recipe = _recipe("supcon", *values, "stages.0.label_text_anchors=true")
        fitted = fit(recipe, data, tmp_path / name, quiet=True)
        assert np.isfinite(fitted.scores(split)).all()


def test_auto_is_decided_in_the_recipe_of_the_run(task):
    assert resolve(_recipe("cross-entropy", texts="auto"), task).recipe.data.label_texts == "names"
    numbered = replace(
        task,
        labels=LabelSpace(("0", "1", "2")),
        train=replace(task.train, labels=["0", "1", "2"] * 16),
        validation=None,
    )
    run = resolve(_recipe("cross-entropy", texts="auto"), numbered)
    assert (run.recipe.data.label_texts, run.data.label_texts) == ("none", None)


def test_what_has_no_effect_is_refused(task):
    with pytest.raises(RecipeError, match="compares texts of different classes"):
        resolve(_recipe("cross-entropy", "stages.0.label_text_anchors=true"), task)
    with pytest.raises(RecipeError, match="trains only the head"):
        resolve(_recipe("frozen", "stages.0.label_text_anchors=true"), task)


def test_a_label_text_of_a_ranking_is_a_pair_without_a_second_text_and_auto_takes_none():
    ranking = TextData(
        TextSplit(["a", "b"], ["c", "d"], ["no", "yes"], ["q", "q"]), None, None, LabelSpace(("no", "yes"))
    )
    texts = resolve(_recipe("cross-entropy"), ranking).data.label_texts
    assert (texts.texts, texts.text_pairs, texts.question_ids) == (["no", "yes"], ["", ""], None)
    assert resolve(_recipe("cross-entropy", texts="auto"), ranking).data.label_texts is None


def test_auto_takes_none_for_numeric_targets():
    numbers = TextData(
        TextSplit(["a", "b"], None, [0.5, 1.0]), None, None, LabelSpace((SCORE,), "regression")
    )
    assert resolve(_recipe("mean-squared-error", texts="auto"), numbers).data.label_texts is None
    with pytest.raises(DataError, match="numeric targets have no label texts"):
        resolve(_recipe("mean-squared-error"), numbers)


def test_fingerprints_of_trials_stay_without_label_texts_and_differ_with_them():
    plain = Recipe()
    content = json.loads(plain.model_dump_json())
    assert "label_texts" in content["data"]
    assert _fingerprint(plain, "x") != _fingerprint(_recipe("cross-entropy"), "x")
    assert _fingerprint(plain, "x") != _fingerprint(
        with_values(plain, ["stages.0.label_text_weight=0.5"]), "x"
    )
