from __future__ import annotations

import shutil

import pytest

from tellapart.data.examples import TextSplit
from tellapart.errors import DataError
from tellapart.fitting.loading import load_fitted
from tellapart.fitting.nearest import nearest_texts
from tellapart.fitting.refit import trained_rows
from tellapart.fitting.rows import load_data
from tellapart.playground.training_texts import NEAREST, training_texts
from tellapart.recipes import load_recipe

ROW = TextSplit(["her card was stolen in town"])


@pytest.mark.parametrize("inside", ["", "model"])
def test_the_nearest_texts_of_a_run_are_those_of_its_report(run, inside):
    fitted = load_fitted(run)
    found = training_texts(str(run / inside), fitted)
    recipe = load_recipe(run / "recipe.yaml")
    fitted.recipe = recipe
    rows = trained_rows(fitted, load_data(recipe))
    assert len(found.rows) == len(rows) < 192  # without the rows that are tested on
    (expected,) = nearest_texts(ROW, [fitted.labels.names], rows, fitted.labels, recipe.encoder.name).by_class
    by_text = {text["text"]: (name, text["similarity"]) for name, near in expected.items() for text in near}
    nearest = found.nearest(ROW)
    assert len(nearest) == NEAREST
    for one in nearest[:3]:
        name, similarity = by_text[one.text]
        assert (one.labels, one.similarity) == ((name,), pytest.approx(similarity, abs=1e-3))
    assert f"Compared with {len(rows)} training texts" in found.note


def test_a_checkpoint_has_none_until_a_file_is_named(checkpoint, ticket_file):
    fitted = load_fitted(checkpoint)
    none = training_texts(str(checkpoint), fitted)
    assert "is no run folder; --data FILE" in none.missing
    named = training_texts(str(checkpoint), fitted, str(ticket_file))
    assert (named.missing, len(named.rows)) == ("", 192)
    assert named.nearest(TextSplit(["my card was lost"]))[0].labels == ("lost",)


def test_data_that_are_gone_are_said_and_can_be_named_again(run, noisy_file, tmp_path):
    moved = shutil.copytree(run, tmp_path / "run")
    recipe = moved / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace(str(noisy_file), "gone.csv"))
    fitted = load_fitted(moved)
    assert "gone.csv" in training_texts(str(moved), fitted).missing
    again = training_texts(str(moved), fitted, str(noisy_file))
    assert again.equals(training_texts(str(run), fitted))
    with pytest.raises(DataError, match=r"nothing\.csv"):
        training_texts(str(moved), fitted, "nothing.csv")
