from __future__ import annotations

import pytest
import torch

from tellapart.data.examples import LabelSpace
from tellapart.errors import RecipeError
from tellapart.fitting.objectives import build_objective
from tellapart.fitting.trials import _fingerprint
from tellapart.objectives import EncodedBatch, RunFacts
from tellapart.recipes import method_recipe, methods, with_values

LABELS = LabelSpace(("comp.mac", "comp.pc", "rec.autos"))


def _built(method: str, *settings: str, labels: LabelSpace = LABELS):
    recipe = with_values(method_recipe(method), [f"stages.0.objective.{setting}" for setting in settings])
    objective = build_objective(recipe.stages[0].objective, labels)
    objective.prepare(
        RunFacts(
            num_labels=3,
            hidden_size=4,
            class_counts=torch.tensor([6.0, 3.0, 3.0]),
            total_evaluations=10,
            num_rows=12,
        )
    )
    return objective


def _batch() -> EncodedBatch:
    torch.manual_seed(0)
    labels = torch.tensor([0, 1, 2, 0, 1, 2]).repeat(2)
    return EncodedBatch(torch.randn(12, 3), torch.randn(12, 4), labels, torch.arange(2).repeat_interleave(6))


def _part(objective, name: str):
    return next(part for _, part in objective.parts if part.name == name)


_OF_THEIR_OWN = ("label-distance-static", "mean-squared-error")  # needs pairs; needs numbers


@pytest.mark.parametrize("method", [name for name in methods() if name not in _OF_THEIR_OWN])
def test_every_method_builds_an_objective_with_a_finite_loss(method):
    objective = _built(method, labels=LABELS.in_order(["comp.pc", "comp.mac", "rec.autos"]))
    terms = objective(_batch())
    assert torch.isfinite(objective.total(terms))
    assert tuple(terms) == objective.term_names


@pytest.mark.parametrize(
    ("method", "terms"),
    [("mean-squared-error", ("mean_squared_error",)), ("r-drop", ("mean_squared_error", "r_drop"))],
)
def test_methods_for_numbers_build_an_objective_over_one_output(method, terms):
    objective = _built(method, labels=LabelSpace(("score",), "regression"))
    batch = EncodedBatch(
        torch.randn(4, 1), torch.randn(4, 3), torch.randn(2).repeat(2), torch.tensor([0, 0, 1, 1])
    )
    assert tuple(objective(batch)) == objective.term_names == terms
    assert torch.isfinite(objective.total(objective(batch)))


def test_the_weight_of_a_recipe_is_the_weight_of_the_term():
    objective = _built("label-distance", "weight=0.3", "distance=uniform")
    terms = objective(_batch())
    expected = 0.7 * terms["cross_entropy"] + 0.3 * terms["label_distance"]
    torch.testing.assert_close(objective.total(terms), expected)


def test_class_names_become_class_ids():
    objective = _built("cross-entropy", "class_weight={rec.autos: 3}")
    assert objective.class_weights.tolist() == [1.0, 1.0, 3.0]
    static = _built("label-distance-static", "pairs=[[comp.mac, comp.pc]]", "tau=4")
    distances = _part(static, "label_distance").distances
    assert distances.tolist() == [[1, 4, 1], [4, 1, 1], [1, 1, 1]]


def test_an_order_and_a_hierarchy_give_prior_distances():
    ordered = _built("label-distance", "distance=prior", "order=[comp.mac, rec.autos, comp.pc]")
    nested = _built("label-distance", "distance=prior", "hierarchy_separator=.")
    matrices = [_part(built, "label_distance").distances for built in (ordered, nested)]
    assert matrices[0][0, 1] > matrices[0][0, 2]
    assert matrices[1][0, 2] > matrices[1][0, 1]


def test_what_the_data_say_of_the_classes_is_the_prior_unless_the_objective_says_otherwise():
    ordered = LABELS.in_order(["comp.pc", "comp.mac", "rec.autos"])
    nested = LABELS.in_hierarchy(".")
    by_data = _part(_built("label-distance-prior", labels=ordered), "label_distance").distances
    assert by_data.tolist() == [[1, 3, 3], [3, 1, 5], [3, 5, 1]]
    own = _part(_built("label-distance-prior", "hierarchy_separator=.", labels=ordered), "label_distance")
    tree = _part(_built("label-distance-prior", labels=nested), "label_distance")
    assert own.distances.tolist() == tree.distances.tolist() == [[1, 3, 5], [3, 1, 5], [5, 5, 1]]


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("negative-supervision", "negative_supervision"),
        ("negative-supervision-am", "negative_supervision_margin"),
        ("negative-supervision-ace", "negative_supervision_cross_entropy"),
    ],
)
def test_relations_weigh_negatives_by_how_far_their_class_is(method, name):
    ordered = LABELS.in_order(["comp.pc", "comp.mac", "rec.autos"])
    assert _part(_built(method, labels=ordered), name).label_distance is None
    weights = _part(_built(method, "relations=prior", labels=ordered), name).label_distance
    assert weights.tolist() == [[0, 0.5, 0.5], [0.5, 0, 1], [0.5, 1, 0]]
    nested = _part(_built(method, "relations=prior", labels=LABELS.in_hierarchy(".")), name)
    assert nested.label_distance.tolist() == [[0, 0.5, 1], [0.5, 0, 1], [1, 1, 0]]


def test_the_plain_method_stays_plain_on_the_recipe_of_the_related_one():
    related = method_recipe("negative-supervision-prior")
    assert method_recipe("negative-supervision", related).stages[0].objective.relations == "none"
    assert related.stages[0].objective.relations == "prior"


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("label-distance-static", [], "needs the pairs"),
        ("label-distance-static", ["pairs=[[comp.mac, comp.cp]]"], 'did you mean "comp.pc"'),
        ("label-distance", ["distance=prior"], "how they are related"),
        ("negative-supervision-ace", ["relations=prior"], "how they are related"),
        ("label-distance-prior", ["order=[comp.mac, comp.pc]"], "lacks rec.autos"),
        ("label-distance-prior", ["order=[comp.mac, comp.pc, autos]"], "which does not occur in the data"),
        ("cross-entropy", ["class_weight={autos: 2}"], "which the data do not have"),
    ],
)
def test_options_that_do_not_fit_the_classes_are_one_sentence(method, settings, message):
    with pytest.raises(RecipeError, match=message):
        _built(method, *settings)


def test_the_warm_up_of_a_recipe_reaches_the_objective_and_a_default_one_leaves_fingerprints_alone():
    built = _built("label-distance", "warm_up=0.5")
    assert _part(built, "label_distance").warm_up == 0.5
    recipe = method_recipe("label-distance")
    given = {share: with_values(recipe, [f"stages.0.objective.warm_up={share}"]) for share in (0.2, 0.5)}
    assert _fingerprint(given[0.2], "x") == _fingerprint(recipe, "x") != _fingerprint(given[0.5], "x")
    # Of the same recipe before there was the key.
    assert _fingerprint(recipe, "x").startswith("a7967e5ca578322a")
