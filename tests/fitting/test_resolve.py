from __future__ import annotations

import dataclasses

import pytest

from tellapart.errors import RecipeError, UserError
from tellapart.fitting.resolve import resolve
from tellapart.fitting.rows import load_data
from tellapart.recipes import method_recipe, with_values


def test_class_relations_and_objectives_are_resolved_once_for_all_stages(recipe):
    chosen = method_recipe("auxiliary-labels", with_values(recipe, ["data.order=[lost, expired, stolen]"]))
    run = resolve(chosen, load_data(recipe))
    assert run.data.labels.order == ("lost", "expired", "stolen")
    assert len(run.objectives) == len(run.recipe.stages) == 2


def test_an_encoder_from_scratch_starts_with_a_random_classifier(recipe):
    scratch = with_values(recipe, ["encoder.name=textcnn", "encoder.max_length=64"])
    assert resolve(scratch, load_data(recipe)).recipe.stages[0].start == "random"
    assert resolve(recipe, load_data(recipe)).recipe.stages == recipe.stages


def test_tfidf_keeps_its_last_stage_and_reads_neither_windows_nor_a_second_encoder(recipe):
    data = load_data(recipe)
    tfidf = with_values(recipe, ["encoder.name=tfidf"])
    assert resolve(tfidf, data).objectives == ()
    for setting in ("encoder.windows=max", "encoder.second=minilm"):
        with pytest.raises(RecipeError, match="TF-IDF"):
            resolve(with_values(tfidf, [setting]), data)


def test_unlabelled_training_rows_are_refused(recipe):
    data = load_data(recipe)
    unlabelled = dataclasses.replace(data, train=dataclasses.replace(data.train, labels=None))
    with pytest.raises(UserError, match="no labels"):
        resolve(recipe, unlabelled)
