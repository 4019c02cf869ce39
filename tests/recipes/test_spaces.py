from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellapart.errors import RecipeError
from tellapart.recipes import method_recipe
from tellapart.recipes.spaces import SearchSpace, combinations, parse_spaces, with_parameters

RECIPE = method_recipe("label-distance")


def _space(text: str) -> SearchSpace:
    return parse_spaces(RECIPE, [text])[0]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("stages.0.batch_size=2,4,8", (2, 4, 8)),
        ("stages.0.batch_size= 2, 4", (2, 4)),
        ("stages.0.objective.tau=3,5", (3.0, 5.0)),
        ("stages.0.learning_rate=1e-5,1e-3", (1e-5, 1e-3)),
        ("stages.0.patience=null,3", (None, 3)),
        ("stages.0.objective.both_views=true,false", (True, False)),
        ("encoder.pooling=mean,cls", ("mean", "cls")),
        ("encoder.name=a/b,../c", ("a/b", "../c")),
        ("stages.0.objective.order=[a, b],[b, a]", (["a", "b"], ["b", "a"])),
        ("stages.0.objective={name: supcon},{name: r-drop}", ({"name": "supcon"}, {"name": "r-drop"})),
        ("data.train_rows=10,20", (10, 20)),
    ],
)
def test_a_list_has_its_values_as_the_recipe_holds_them(text, values):
    space = _space(text)
    assert space.values == values
    assert [type(value) for value in space.values] == [type(value) for value in values]
    assert space.points() == values
    assert space.size == len(values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stages.0.batch_size=4..40", (4, 40, 1, False)),
        ("stages.0.batch_size=4..41:4", (4, 40, 4, False)),
        ("stages.0.batch_size=4.0..8.0", (4, 8, 1, False)),
        ("encoder.max_length=16..512:log", (16, 512, 1, True)),
        ("stages.0.objective.weight=0..1", (0.0, 1.0, None, False)),
        ("stages.0.objective.weight=0..1:0.3", (0.0, 0.9, 0.3, False)),
        ("stages.0.objective.weight=.25..0.75", (0.25, 0.75, None, False)),
        ("stages.0.learning_rate=1e-5..1e-3:log", (1e-5, 1e-3, None, True)),
        ("stages.0.trainer.max_grad_norm=1..5", (1, 5, 1, False)),
        ("stages.0.trainer.max_grad_norm=1..5.0", (1.0, 5.0, None, False)),
    ],
)
def test_a_range_is_of_whole_numbers_only_where_the_recipe_and_both_ends_are(text, expected):
    space = _space(text)
    assert (space.low, space.high, space.step, space.log) == expected
    assert {type(space.low), type(space.high)} == {type(expected[0])}


def test_the_points_of_a_range_with_steps_are_free_of_binary_fractions():
    assert _space("stages.0.objective.weight=0.1..0.5:0.1").points() == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert math.isinf(_space("stages.0.objective.weight=0..1").size)


@given(st.integers(1, 50), st.integers(1, 60), st.integers(1, 20))
def test_a_range_of_whole_numbers_counts_like_pythons_own(low, length, step):
    text = f"stages.0.batch_size={low}..{low + length}:{step}"
    expected = tuple(range(low, low + length + 1, step))
    if len(expected) == 1:
        with pytest.raises(RecipeError, match="longer than its range"):
            _space(text)
        return
    space = _space(text)
    assert space.points() == expected
    assert (space.size, space.high) == (len(expected), expected[-1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages.0.batch_size", "is no search space"),
        ("=1,2", "is no search space"),
        ("stages.0.batch_size=", "no values of"),
        ("stages.0.batch_size=2,,3", "not readable YAML"),
        ("stages.0.batch_size=2,2", "have 2 twice"),
        ("stages.0.objective.tau=3,3.0", "have 3.0 twice"),
        ("stages.0.objective.tau=1e400,3", "finite number"),
        ("stages.0.objective.tau=1..1e400", "finite number"),
        ("stages.0.bach_size=2,4", 'did you mean "batch_size"'),
        ("stages.1.batch_size=2,4", "numbered from 0"),
        ("stages.0.objective.tau=-0.5,3", "stages.0.objective.tau cannot be -0.5"),
        ("stages.0.batch_size=1.5..4", "stages.0.batch_size cannot be 1.5"),
        ("stages.0.batch_size=0..4", "stages.0.batch_size cannot be 0"),
        ("stages.0.objective.weight=0..2", "stages.0.objective.weight cannot be 2"),
        ("stages.0.batch_size=8..4", "the smaller end first"),
        ("stages.0.batch_size=4..4", "the smaller end first"),
        ("stages.0.batch_size=4..8:0.5", "the step of .* is 0.5: give a whole number above 0"),
        ("stages.0.objective.weight=0..1:0", "the step of .* is 0: give a number above 0"),
        ("stages.0.objective.weight=0..1:log", "has no logarithm"),
        ("stages.0.objective.both_views=0..1", "takes no numbers"),
        ("stages.0.batch_size=1..", "cannot be '1..'"),
        ("stages.0.batch_size=" + "9" * 5_000 + ",2", "64 bits"),
        ("stages.0.batch_size=1.." + "9" * 5_000, "cannot be"),
        ("stages.0.batch_size=" + ",".join(map(str, range(1, 1_002))), "1,001 values"),
        ("stages.0.objective.tau=0.1..0.9:1e-320", "too short for its range"),
        ("stages.0.objective.tau=!!float x,3", "has the tag"),
        ("seed=0,1", "--seeds"),
        ("method=supcon,r-drop", "tellapart compare"),
        ("data.few_shot=4,8", "rows that trials are scored on"),
        ("data.source=a.csv,b.csv", "rows that trials are scored on"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_the_reason(text, message):
    with pytest.raises(RecipeError, match=message):
        _space(text)


def test_nothing_to_search_and_a_key_named_twice_are_refused():
    with pytest.raises(RecipeError, match="nothing is named"):
        parse_spaces(RECIPE, [])
    with pytest.raises(RecipeError, match="searched twice"):
        parse_spaces(RECIPE, ["stages.0.epochs=1,2", "stages.0.epochs=3..4"])


def test_combinations_are_all_pairs_of_values():
    spaces = parse_spaces(RECIPE, ["encoder.pooling=mean,cls", "stages.0.batch_size=8..10"])
    rows = combinations(spaces)
    assert [tuple(row.values()) for row in rows] == [
        (pooling, size) for pooling in ("mean", "cls") for size in (8, 9, 10)
    ]
    assert all(list(row) == ["encoder.pooling", "stages.0.batch_size"] for row in rows)


def test_parameters_reach_their_places_in_the_recipe_with_their_types():
    changed = with_parameters(
        RECIPE,
        {
            "stages.0.learning_rate": 1e-05,
            "stages.0.objective.order": ["ä", "1"],
            "stages.0.patience": None,
            "encoder.name": "1",
        },
    )
    stage = changed.stages[0]
    assert (stage.learning_rate, stage.objective.order, stage.patience) == (1e-05, ["ä", "1"], None)
    assert changed.encoder.name == "1"
    assert stage.objective.distance == "adaptive"


@pytest.mark.parametrize(
    ("text", "numeric"),
    [
        ("stages.0.batch_size=2,4", True),
        ("stages.0.batch_size=2..4", True),
        ("stages.0.patience=null,4", False),
        ("stages.0.objective.both_views=true,false", False),
    ],
)
def test_only_numbers_have_places_on_an_axis(text, numeric):
    assert _space(text).numeric is numeric
