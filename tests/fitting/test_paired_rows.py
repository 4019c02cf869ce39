from __future__ import annotations

import json

import pytest

from tellapart.errors import DataError, RecipeError
from tellapart.fitting import paired_rows as module
from tellapart.fitting.paired_rows import PairedRows
from tellapart.fitting.rows import load_data
from tellapart.recipes import with_values


def _variants(recipe, *settings):
    return {"base": recipe} | {one: with_values(recipe, [one]) for one in settings}


def test_recipes_share_rows_that_are_read_once_and_split_once_a_seed(recipe, monkeypatch):
    calls = []

    def counted(function):
        def call(*arguments):
            calls.append(function.__name__)
            return function(*arguments)

        return call

    for function in (module.read_rows, module.split_data):
        monkeypatch.setattr(module, function.__name__, counted(function))
    recipes = _variants(recipe, "stages.0.epochs=1", "encoder.max_length=8")
    rows = PairedRows(recipes, range(2))
    for seed in range(2):
        first, *others = (rows.of(one, seed) for one in recipes.values())
        assert all(one is first for one in others)
        assert first == load_data(recipe.model_copy(update={"seed": seed}))
    assert calls == ["read_rows", "split_data", "split_data"]


def test_recipes_may_differ_in_their_training_and_validation_rows(recipe):
    settings = (
        "data.few_shot=4",
        "data.train_rows=20",
        "data.validation_share=0.3",
        "data.validation_rows=9",
    )
    recipes = _variants(recipe, *settings)
    rows = PairedRows(recipes, range(3))
    sizes = {name: len(rows.of(one, 1).train) for name, one in recipes.items()}
    assert sizes["data.few_shot=4"] == 12
    assert sizes["data.train_rows=20"] == 20
    assert sizes["data.validation_share=0.3"] < sizes["base"]
    assert len({tuple(rows.of(one, 1).test.texts) for one in recipes.values()}) == 1
    assert rows.of(recipes["data.few_shot=4"], 2) == load_data(
        recipes["data.few_shot=4"].model_copy(update={"seed": 2})
    )


@pytest.mark.parametrize(
    "setting", ["data.test_rows=9", "data.test_share=0.3", "data.without_positive=zero", "data.text=id"]
)
def test_other_evaluated_rows_are_refused(recipe, setting):
    with pytest.raises(RecipeError, match=f'"{setting}" would be evaluated on other rows than "base"'):
        PairedRows(_variants(recipe, setting), range(2))


def test_the_same_test_file_beside_other_training_rows_is_allowed(recipe, tickets, tmp_path):
    labelled = [{"text": text, "label": label} for text, label in tickets]
    for name, train in {"all": labelled[::2], "half": labelled[::4]}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.json").write_text(json.dumps(train))
        (tmp_path / name / "test.json").write_text(json.dumps(labelled[1::2]))
    base = with_values(recipe, [f"data.source={tmp_path / 'all'}"])
    other = f"data.source={tmp_path / 'half'}"
    rows = PairedRows(_variants(base, other), range(1))
    assert len(rows.of(with_values(base, [other]), 0).train) < len(rows.of(base, 0).train)


def test_ids_of_the_rows_are_no_labels(recipe, tmp_path):
    file = tmp_path / "data.csv"
    file.write_text("id,text\n" + "".join(f"{row},text {row}\n" for row in range(21)))
    given = with_values(recipe, [f"data.source={file}", "data.label=id"])
    with pytest.raises(DataError, match='a label of its own in column "id"'):
        PairedRows(_variants(given), range(1)).of(given, 0)
    few = with_values(given, ["data.few_shot=1"])
    assert len(PairedRows(_variants(few), range(1)).of(few, 0).train) == 21
