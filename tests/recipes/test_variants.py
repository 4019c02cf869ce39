from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellapart.errors import RecipeError
from tellapart.recipes import Recipe, compared_recipes, method_recipe, methods, split_methods, with_values

BASE = with_values(Recipe(), ["data.source=tickets.csv", "stages.0.epochs=7"])
PAIRS = "label-distance-static:stages.0.objective.pairs=[[lost, stolen], [a, b]]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cross-entropy,supcon", ["cross-entropy", "supcon"]),
        (" cross-entropy , ,supcon,", ["cross-entropy", "supcon"]),
        (f"tfidf,{PAIRS},frozen", ["tfidf", PAIRS, "frozen"]),
        ("a:data.text='x, y',b", ["a:data.text='x, y'", "b"]),
        ("""a:data.text='it''s, y',b""", ["a:data.text='it''s, y'", "b"]),
        (r'a:data.text="x \", y",b', [r'a:data.text="x \", y"', "b"]),
        ("o'neil.yaml,b's.yaml", ["o'neil.yaml", "b's.yaml"]),
        ("", []),
    ],
)
def test_commas_separate_methods_except_in_brackets_and_quotes(text, expected):
    assert split_methods(text) == expected


@given(st.lists(st.sampled_from([*methods(), PAIRS, "wide.yaml:stages.0.epochs=3"]), max_size=5))
def test_a_list_of_methods_survives_being_written_and_split(chosen):
    assert split_methods(",".join(chosen)) == chosen


def _names(*variants: str) -> list[str]:
    return list(compared_recipes(BASE, variants))


def test_a_variant_is_named_after_what_it_changes():
    assert _names("cross-entropy", "cross-entropy:data.few_shot=8") == [
        "cross-entropy",
        "cross-entropy few_shot=8",
    ]
    several = "label-distance:stages.0.objective.distance_as=weight:stages.0.objective.temperature=0.2"
    assert _names("frozen", several) == ["frozen", "label-distance distance_as=weight temperature=0.2"]
    assert _names(PAIRS) == ["label-distance-static pairs=[[lost, stolen], [a, b]]"]


def test_keys_that_end_alike_are_named_by_their_whole_path():
    variants = [f"auxiliary-labels:stages.{stage}.learning_rate=0.01:data.few_shot=4" for stage in (0, 1)]
    assert _names(*variants) == [
        f"auxiliary-labels stages.{stage}.learning_rate=0.01 few_shot=4" for stage in (0, 1)
    ]


def test_a_variant_is_its_method_with_other_values():
    variant = "label-distance:stages.0.objective.distance=uniform:stages.0.batch_size=16:encoder.max_length=9"
    plain, changed = compared_recipes(BASE, ["cross-entropy", variant]).values()
    expected = with_values(
        method_recipe("label-distance", BASE),
        ["stages.0.objective.distance=uniform", "stages.0.batch_size=16", "encoder.max_length=9"],
    )
    assert changed == expected.model_copy(update={"method": changed.method})
    assert changed.stages[0].epochs == 7
    assert plain == method_recipe("cross-entropy", BASE)


def test_values_are_yaml_and_may_hold_colons():
    variants = [
        "cross-entropy:data.hierarchy_separator=':'",
        "cross-entropy:stages.0.objective={name: supcon, temperature: 1e-1}:stages.0.epochs=2",
        "cross-entropy:data.label_delimiter='::a=b'",
        "cross-entropy : encoder.name = http://host:80/model",
    ]
    colon, objective, quoted, address = compared_recipes(BASE, variants).values()
    assert colon.data.hierarchy_separator == ":"
    assert (objective.stages[0].objective.temperature, objective.stages[0].epochs) == (0.1, 2)
    assert quoted.data.label_delimiter == "::a=b"
    assert address.encoder.name == "http://host:80/model"


def test_a_recipe_file_has_variants_too(tmp_path):
    file = tmp_path / "wide.yaml"
    file.write_text("stages: [{objective: {name: label-distance, tau: 8}}]\n")
    plain, changed = compared_recipes(
        BASE, [str(file), f"{file}:stages.0.objective.tau=3"], ["stages.0.objective.tau=5"]
    ).items()
    assert (plain[0], plain[1].stages[0].objective.tau) == ("wide", 5)
    assert (changed[0], changed[1].stages[0].objective.tau) == ("wide tau=3", 3)


def test_a_setting_reaches_the_methods_that_have_it_and_a_variant_overrides_it():
    recipes = compared_recipes(
        BASE,
        ["cross-entropy", "supcon", "supcon:stages.0.objective.temperature=0.5"],
        ["stages.0.objective.temperature=0.2"],
    )
    temperatures = [getattr(one.stages[0].objective, "temperature", None) for one in recipes.values()]
    assert temperatures == [None, 0.2, 0.5]


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ([], "not distinct"),
        (["supcon", "supcon"], "not distinct"),
        (["supcon:stages.0.epochs=2", "supcon:stages.0.epochs=2"], "not distinct"),
        (["supcom:stages.0.epochs=2"], 'did you mean "supcon"'),
        (["supcon:stages.0.epochs"], '"stages.0.epochs" changes no value of supcon'),
        (["supcon:"], "changes no value"),
        (["supcon:stages.0.epoch=2"], 'did you mean "epochs"'),
        (["supcon:stages.1.epochs=2"], "there are 1 stages"),
        (["supcon:stages.0.epochs=two"], "epochs cannot be 'two'"),
        (["supcon:stages.0.objective.pairs=[[a"], "pairs"),
        (["supcon:seed=3"], "cannot change the seed"),
        (["supcon:method=tfidf"], "cannot change the name"),
        (["supcon", "supcon:stages.0.epochs=7"], '"supcon" and "supcon epochs=7" have the same settings'),
        (["missing.yaml:stages.0.epochs=2"], "no recipe file missing.yaml"),
    ],
)
def test_what_is_no_comparison_is_refused(variants, message):
    with pytest.raises(RecipeError, match=message.replace("[", r"\[")):
        compared_recipes(BASE, variants)


def test_two_stages_are_auxiliary_labels_without_auxiliary_labels():
    stages, auxiliary = (
        method_recipe("two-stages", BASE).stages,
        method_recipe("auxiliary-labels", BASE).stages,
    )
    assert [stage.model_dump(exclude={"objective"}) for stage in stages] == [
        stage.model_dump(exclude={"objective"}) for stage in auxiliary
    ]
    assert stages[0].objective.name == "cross-entropy"
