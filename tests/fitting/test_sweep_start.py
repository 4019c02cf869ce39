"""The checks before the first trial of a sweep."""

from __future__ import annotations

import pytest

from tellapart.errors import RecipeError
from tellapart.fitting.sweep_start import check_sweep
from tellapart.fitting.sweep_trials import SweepRows
from tellapart.recipes import with_values
from tellapart.recipes.spaces import SearchSpace

_SCHEDULES = (
    SearchSpace("stages.0.epochs", tuple(range(1, 13))),
    SearchSpace("stages.0.batch_size", tuple(range(8, 20))),
)


def test_a_sweep_starts_if_any_of_many_combinations_can(recipe):
    lengths = SearchSpace("encoder.max_length", (999, 24))
    check_sweep(recipe, None, [lengths, *_SCHEDULES], SweepRows(recipe))
    with pytest.raises(RecipeError, match="reads at most 64 tokens"):
        check_sweep(recipe, None, [SearchSpace("encoder.max_length", (999, 998))], SweepRows(recipe))


def test_more_combinations_than_an_integer_holds_are_drawn_from(recipe):
    weights = [SearchSpace(f"data.{key}", tuple(range(1000))) for key in "abcdefgh"]
    with pytest.raises(RecipeError, match="data"):
        check_sweep(recipe, None, weights, SweepRows(recipe))


def test_a_sweep_may_pre_train_on_unlabelled_texts(recipe):
    settings = ["data.few_shot=4", "data.unlabelled=rest", "self_training.pretrain=hard"]
    pretraining = with_values(recipe, settings)
    rows = SweepRows(pretraining)
    epochs = [SearchSpace("stages.0.epochs", (1, 2))]
    check_sweep(pretraining, None, epochs, rows, pretrainer=lambda *_, **__: pytest.fail("pre-trained"))
    with pytest.raises(RecipeError, match="needs the function that pre-trains"):
        check_sweep(pretraining, None, epochs, rows)
