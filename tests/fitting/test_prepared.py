"""The model and the rows are loaded and checked before the first stage of a training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tellapart.errors import DataError, RecipeError
from tellapart.fitting import models
from tellapart.fitting.prepared import check_start, prepare
from tellapart.fitting.resolve import resolve
from tellapart.fitting.rows import load_data
from tellapart.fitting.tasks import row_weights
from tellapart.recipes import with_values


def test_the_rows_are_tokenised_to_the_input_length(recipe):
    short = with_values(recipe, ["encoder.max_length=6"])
    data = load_data(short)
    prepared = prepare(resolve(short, data))
    assert prepared.max_length == 6
    assert len(prepared.task.train) == len(data.train)
    assert int(prepared.task.train.lengths.max()) == 6
    assert any("are longer than 6 tokens and were cut" in note for note in prepared.notes)


def test_weights_of_a_split_and_further_ones_are_multiplied(recipe):
    train = load_data(recipe).train
    further = np.linspace(0.5, 2, len(train))
    own = np.linspace(1, 3, len(train))
    weighted = replace(train, weights=own.tolist())
    assert row_weights(train, None) is None
    np.testing.assert_allclose(row_weights(train, further), further)
    np.testing.assert_allclose(row_weights(weighted, None), own)
    np.testing.assert_allclose(row_weights(weighted, further), own * further)


def test_a_start_is_refused_for_what_only_the_model_tells(recipe):
    data = load_data(recipe)
    long = with_values(recipe, ["encoder.max_length=999"])
    resolve(long, data)
    with pytest.raises(RecipeError, match="reads at most 64 tokens"):
        check_start(long, data)
    pairs = replace(data, train=replace(data.train, text_pairs=list(data.train.texts)))
    windowed = with_values(recipe, ["encoder.windows=max", "encoder.window_length=12"])
    with pytest.raises(DataError, match="windows of single texts"):
        check_start(windowed, pairs)


def test_a_start_trains_no_word_vectors(recipe, monkeypatch):
    monkeypatch.setattr(models, "build_encoder", lambda *_, **__: pytest.fail("built"))
    scratch = with_values(recipe, ["encoder.name=textcnn", "encoder.embeddings=cbow"])
    assert check_start(scratch, load_data(recipe)).recipe.stages[0].start == "random"
