from __future__ import annotations

import pytest

from tellapart.data.examples import LabelSpace
from tellapart.fitting.objectives import build_objective
from tellapart.objectives import Requirements
from tellapart.pretraining.recipe import validated_pretraining
from tellapart.recipes import OBJECTIVES, DataRecipe, EncoderRecipe, method_recipe, with_values
from tellapart.reproduction.table_work import (
    TWO_VIEWS,
    SplitCounts,
    Work,
    choice_work,
    input_tokens,
    pretraining_work,
    split_counts,
    trial_work,
)

ROWS = SplitCounts(train=100, validation=20, test=50)
PARAMETERS = 1000


def recipe(method, *settings):
    common = ["encoder.max_length=10", "stages.0.epochs=3", "stages.0.start=random", "stages.0.evaluations=3"]
    return with_values(method_recipe(method), [*common, *settings])


@pytest.mark.parametrize(
    ("sizes", "settings", "expected"),
    [
        ({"train": 1000, "validation": 10, "test": 20}, {}, (1000, 10, 20)),
        ({"train": 1000, "test": 20}, {"validation_share": 0.2}, (800, 200, 20)),
        ({"train": 1000}, {}, (720, 80, 200)),
        ({"train": 1000, "test": 20}, {"few_shot": 8}, (40, 40, 20)),
        ({"train": 1000, "validation": 10, "test": 20}, {"few_shot": 8}, (40, 10, 20)),
        ({"train": 50, "test": 20}, {"few_shot": 8}, (40, 10, 20)),
        (
            {"train": 1000, "validation": 10, "test": 20},
            {"train_rows": 600, "test_rows": 15},
            (600, 10, 15),
        ),
    ],
)
def test_rows_are_split_off_and_drawn_as_a_run_does_it(sizes, settings, expected):
    counts = split_counts(sizes, classes=5, data=DataRecipe(**settings))
    assert (counts.train, counts.validation, counts.test) == expected


def test_an_epoch_is_six_operations_a_parameter_and_token_and_scoring_two():
    work = trial_work(recipe("cross-entropy"), ROWS, PARAMETERS)
    scored = 3 * 20 + 50  # an evaluation an epoch, and the test rows
    assert work == Work(300, scored, 6 * 300 * 10 * 1000 + 2 * scored * 10 * 1000)


def test_a_choice_is_judged_on_the_validation_rows():
    work = choice_work(recipe("cross-entropy"), ROWS, PARAMETERS)
    assert (work.training_texts, work.scored_texts) == (300, 3 * 20 + 20)


@pytest.mark.parametrize(
    ("method", "settings", "operations"),
    [
        ("label-distance", (), 12),
        ("r-drop", (), 12),
        ("supcon", (), 6),
        ("cross-entropy", ("stages.0.perturbation=fgm",), 12),
        ("cross-entropy", ("stages.0.gradient_cache=8",), 8),
        ("label-distance", ("stages.0.gradient_cache=8",), 16),
    ],
)
def test_two_views_and_second_passes_multiply_the_work_and_not_the_texts(method, settings, operations):
    plain = trial_work(recipe("cross-entropy"), ROWS, PARAMETERS)
    work = trial_work(recipe(method, *settings), ROWS, PARAMETERS)
    assert work.training_texts == plain.training_texts
    assert work.operations - plain.operations == (operations - 6) * 300 * 10 * 1000


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_objectives_of_two_views_are_those_that_ask_for_them(name):
    numbers = name == "mean-squared-error"
    labels = LabelSpace(("score",), "regression") if numbers else LabelSpace(("a", "b"))
    options = {"distance": "uniform"} if name == "label-distance" else {}
    needs: Requirements = build_objective(OBJECTIVES[name](**options), labels).requirements
    assert needs.views == (2 if name in TWO_VIEWS else 1)


def test_a_start_from_a_probe_encodes_at_most_ten_thousand_rows():
    many = SplitCounts(30_000, 20, 50)
    difference = [
        trial_work(recipe("cross-entropy", f"stages.0.start={start}"), rows, PARAMETERS).scored_texts
        for rows in (ROWS, many)
        for start in ("random", "probe")
    ]
    assert (difference[1] - difference[0], difference[3] - difference[2]) == (100, 10_000)


def test_a_stage_that_learns_the_head_encodes_every_text_once():
    frozen = trial_work(with_values(method_recipe("frozen"), ["encoder.max_length=10"]), ROWS, PARAMETERS)
    assert frozen == Work(0, 100 + 20 + 50, 2 * 170 * 10 * 1000)
    one, two = (trial_work(recipe(name), ROWS, PARAMETERS) for name in ("cross-entropy", "auxiliary-labels"))
    assert two.scored_texts - one.scored_texts == 120


def test_what_a_recipe_leaves_open_is_counted_as_the_run_decides_it():
    assert (
        trial_work(recipe("cross-entropy", "stages.0.epochs=null"), ROWS, PARAMETERS).training_texts == 1000
    )
    assert trial_work(
        recipe("cross-entropy", "stages.0.trainer.max_steps=7"), ROWS, PARAMETERS
    ).training_texts == (7 * 32)
    assert trial_work(
        recipe("cross-entropy", "decision.temperature=fitted"), ROWS, PARAMETERS
    ).scored_texts == (3 * 20 + 50 + 20)


def test_no_more_evaluations_are_counted_than_there_are_steps():
    # 100 rows in batches of 32 are 4 steps an epoch
    work = trial_work(recipe("cross-entropy", "stages.0.evaluations=500"), ROWS, PARAMETERS)
    assert work.scored_texts == 12 * 20 + 50


def test_tfidf_passes_no_text_through_an_encoder():
    assert trial_work(method_recipe("tfidf"), ROWS, 0) == Work()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 128),
        ({"name": "han"}, 512),
        ({"max_length": 48}, 48),
        ({"windows": "max", "max_length": 100}, 128),
        # windows of 128 that share 16: 112 new tokens each, so that 240 tokens need two
        ({"windows": "max", "max_length": 240}, 256),
        ({"windows": "max", "max_length": 241}, 384),
        ({"windows": "max", "max_length": 64, "window_length": 32, "window_stride": 0}, 64),
    ],
)
def test_every_text_is_as_long_as_it_may_be(settings, expected):
    assert input_tokens(EncoderRecipe(**settings)) == expected


@pytest.mark.parametrize(
    ("settings", "generator", "a_token"),
    [
        ({"objective": "mlm"}, 0, 6 * 1000),
        ({"objective": "mlm", "correction": "hard"}, 0, 6 * 1000),
        ({"objective": "mlm", "correction": "soft-sentence"}, 0, (6 + 6 + 2) * 1000),
        ({"objective": "electra"}, 250, 6 * 1250),
        ({"objective": "electra", "correction": "soft-sentence"}, 250, 6 * 1250 + 2 * 1000),
    ],
)
def test_pre_training_is_steps_times_batch_times_length(settings, generator, a_token):
    run = {"steps": 20, "batch_size": 4, "gradient_accumulation_steps": 2, "max_length": 16}
    work = pretraining_work(validated_pretraining(run | settings), PARAMETERS, generator)
    assert work == Work(160, 0, 160 * 16 * a_token)


def test_pre_training_with_a_budget_of_tokens_has_so_many_a_batch():
    work = pretraining_work(validated_pretraining({"steps": 3, "batch_tokens": 640, "max_length": 64}), 10)
    assert work == Work(30, 0, 3 * 640 * 60)


def test_pre_training_without_a_number_of_steps_has_no_known_work():
    assert pretraining_work(validated_pretraining({}), 10) is None
