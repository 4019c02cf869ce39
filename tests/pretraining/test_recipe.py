from __future__ import annotations

import pytest

from tellapart.errors import RecipeError
from tellapart.pretraining.recipe import (
    PretrainRecipe,
    load_pretraining_recipe,
    validated_pretraining,
    with_pretraining_values,
)


def test_a_file_gives_the_recipe_that_was_written(tmp_path):
    recipe = validated_pretraining({"texts": "a.txt", "correction": "hard+soft", "steps": 5})
    (tmp_path / "r.yaml").write_text(recipe.to_yaml())
    assert load_pretraining_recipe(tmp_path / "r.yaml") == recipe


def test_a_neutral_loss_temperature_is_not_written_so_that_older_runs_stay_the_same(tmp_path):
    assert "loss_temperature" not in PretrainRecipe().to_yaml()
    warmer = with_pretraining_values(PretrainRecipe(), ["loss_temperature=2"])
    (tmp_path / "r.yaml").write_text(warmer.to_yaml())
    assert load_pretraining_recipe(tmp_path / "r.yaml").loss_temperature == 2
    with pytest.raises(RecipeError, match="loss_temperature"):
        with_pretraining_values(PretrainRecipe(), ["loss_temperature=0"])


def test_a_share_of_a_run_is_its_nearest_step_and_at_least_the_first():
    recipe = PretrainRecipe(steps=12)
    assert [recipe.step_at(share) for share in (0.001, 0.0625, 0.125, 0.25, 0.5, 0.8, 1)] == [
        1,
        1,
        2,
        3,
        6,
        10,
        12,
    ]


def test_values_are_changed_by_key():
    recipe = with_pretraining_values(
        PretrainRecipe(),
        ["mask_share=0.3", "learning_rate=1e-3", "trainer.optim=sgd", "trainer.adam_beta2=0.98"],
    )
    assert (recipe.mask_share, recipe.learning_rate) == (0.3, 1e-3)
    assert recipe.trainer == {"optim": "sgd", "adam_beta2": 0.98}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"corection": "hard"}, 'unknown key "corection" .did you mean "correction"'),
        ({"correction": "softly"}, "the recipe's correction cannot be 'softly'"),
        ({"mask_share": 1.5}, "mask_share cannot be 1.5"),
        ({"layers": 2}, "layers applies to a new model, but the encoder is minilm"),
        ({"encoder": "new", "hidden_size": 30, "heads": 4}, "30 is not divisible by 4 heads"),
        ({"encoder": "new", "objective": "electra", "family": "bert"}, "needs the family electra"),
        ({"generator": "x"}, "applies only to existing ELECTRA"),
        ({"save_at": [0.5, 1.5]}, "save_at.1 cannot be 1.5"),
        ({"save_at": [0.5], "save_every": 3}, "save_every and save_at exclude"),
    ],
)
def test_a_mistake_is_one_sentence(content, sentence):
    with pytest.raises(RecipeError, match=sentence) as caught:
        validated_pretraining(content)
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("assignment", ["steps", "=3", "stepz=3", "steps=[", "trainer=x"])
def test_an_assignment_that_changes_nothing_is_refused(assignment):
    with pytest.raises(RecipeError):
        with_pretraining_values(PretrainRecipe(), [assignment])
