from __future__ import annotations

from pathlib import Path

import pytest

from tellapart.errors import RecipeError
from tellapart.recipes import (
    RECOMMENDED_METHOD,
    Recipe,
    load_recipe,
    method_recipe,
    methods,
    validated,
    with_values,
)

FILES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


def test_there_is_a_recipe_file_for_every_method():
    assert {file.stem for file in FILES} == set(methods())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_recipe_file_says_what_it_is_and_describes_the_method_that_it_is_named_after(file):
    assert file.read_text().startswith("# ")
    recipe, of_method = load_recipe(file), method_recipe(file.stem)
    assert recipe.method == file.stem
    assert recipe.encoder == of_method.encoder
    for stage, expected in zip(recipe.stages, of_method.stages, strict=True):
        assert (type(stage.objective), stage.learns) == (type(expected.objective), expected.learns)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_recipe_survives_being_written_and_read(file, tmp_path):
    recipe = load_recipe(file)
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    assert load_recipe(tmp_path / "recipe.yaml") == recipe


def test_a_file_that_names_only_a_method_gets_the_stages_of_that_method(tmp_path):
    (tmp_path / "short.yaml").write_text("method: r-drop\nseed: 4\n")
    recipe = load_recipe(tmp_path / "short.yaml")
    assert (recipe.stages[0].objective.name, recipe.seed) == ("r-drop", 4)


def test_a_method_takes_over_the_schedule_and_the_data_of_another_recipe():
    base = validated(
        {"data": {"source": "x.csv"}, "stages": [{"epochs": 3, "objective": {"name": "supcon"}}]}
    )
    recipe = method_recipe("label-distance-static", base)
    assert (recipe.data.source, recipe.stages[0].epochs) == ("x.csv", 3)
    assert recipe.stages[0].objective.distance == "static"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("stages.0.epoch=3", 'did you mean "epochs"'),
        ("stages.1.epochs=3", "numbered from 0"),
        ("stages.0.epochs", "is no assignment"),
        ("stages.0.objective.tau=-1", "stages.0.objective.tau cannot be -1"),
        ("stages.0.objective.warm_up=2", "stages.0.objective.warm_up"),
        ("stages.0.objective.distance=statik", 'did you mean "static"'),
        ("encoder.pooling=max", "encoder.pooling"),
        ("data.text=[", "not readable YAML"),
        ("data.text=!!timestamp 2001-99-99", "has the tag"),
        ('data.regression=!!bool "x"', "has the tag"),
        ("data.text=" + "[" * 1_000 + "]" * 1_000, "levels deep|not readable YAML"),
        ("seed=" + "9" * 5_000, "64 bits"),
        ("seed=-1", "greater than or equal to 0"),
        ("seed=4294967296", "less than or equal to 2147483647"),
        ("seed=2001-99-99", "seed cannot be"),
        ("stages.0.epochs=.inf", "stages.0.epochs cannot be inf"),
        ("stages.0.epochs=1e300", "less than or equal to 100000"),
        ("stages.0.learning_rate=.inf", "finite number"),
        ("stages.0.objective.tau=.nan", "stages.0.objective.tau"),
        ("self_training.pretrain_steps=100000000", "pretrain_steps"),
    ],
)
def test_a_wrong_assignment_is_named(assignment, message):
    with pytest.raises(RecipeError, match=message):
        with_values(method_recipe("label-distance"), [assignment])


def test_an_assignment_changes_one_value_and_leaves_the_recipe_that_it_starts_from():
    before = method_recipe("label-distance")
    after = with_values(before, ["stages.0.objective.tau=3", "stages.0.trainer.max_grad_norm=0.5"])
    assert (before.stages[0].objective.tau, after.stages[0].objective.tau) == (5.0, 3.0)
    assert after.stages[0].trainer == {"max_grad_norm": 0.5}
    assert after.stages[0].objective.distance == before.stages[0].objective.distance


@pytest.mark.parametrize(
    "content",
    [
        *(
            "- a list",
            "text",
            "method: [",
            "method: cross-entropy\nsede: 3",
            "method: {a: 1}",
            "method: [r-drop]",
        ),
        *("1: 2", "~: 2", "data: {yes: 2}", "? [a, b]\n: c", "seed: 1\nseed: 2", "stages: &a [*a]"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path, content):
    (tmp_path / "recipe.yaml").write_text(content)
    with pytest.raises(RecipeError):
        load_recipe(tmp_path / "recipe.yaml")


@pytest.mark.parametrize("name", ["none.yaml", "x" * 300 + ".yaml", "no\0name.yaml", "."])
def test_a_recipe_file_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(RecipeError, match="there is no recipe file"):
        load_recipe(tmp_path / name)


def test_a_message_shows_only_the_beginning_of_a_long_value():
    with pytest.raises(RecipeError) as caught:
        with_values(Recipe(), ["encoder.pooling=" + "x" * 10_000])
    assert len(str(caught.value)) < 300


def test_the_defaults_are_a_recipe_of_their_own():
    assert Recipe() == method_recipe("cross-entropy")


@pytest.mark.parametrize("bare", ["no", "1", "1.5"])
def test_a_class_that_yaml_takes_for_something_else_is_to_be_quoted(bare):
    recipe = method_recipe("label-distance-static")
    with pytest.raises(RecipeError, match=r"write names in quotes"):
        with_values(recipe, [f"stages.0.objective.pairs=[[{bare}, yours]]"])
    quoted = with_values(recipe, [f'stages.0.objective.pairs=[["{bare}", yours]]'])
    assert quoted.stages[0].objective.pairs == [(bare, "yours")]


def test_values_of_the_recommended_method_beside_its_objective_give_way_to_those_of_a_recipe():
    assert method_recipe(RECOMMENDED_METHOD).data.label_texts == "auto"
    assert method_recipe(RECOMMENDED_METHOD).stages[0].selection == "average"
    base = validated({"data": {"label_texts": "none"}, "stages": [{"selection": "last", "epochs": 2}]})
    recipe = method_recipe(RECOMMENDED_METHOD, base)
    assert (recipe.data.label_texts, recipe.stages[0].selection, recipe.stages[0].epochs) == (
        "none",
        "last",
        2,
    )
    assert recipe.stages[0].objective.name == "supcon"
    assert method_recipe("cross-entropy", base).data.label_texts == "none"
