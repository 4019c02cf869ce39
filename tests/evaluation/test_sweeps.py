from __future__ import annotations

import json

import pytest

from tellapart.evaluation.sweeps import (
    SweepBaseline,
    SweepResult,
    SweepTrial,
    best_so_far,
    parameters_text,
    shown_trials,
    space_names,
    summary,
    sweep_rows,
    sweep_sentences,
    value_text,
)
from tellapart.recipes.spaces import SearchSpace

TAU, WEIGHT = "stages.0.objective.tau", "stages.0.objective.weight"


def _trial(number, parameters, scores, state="complete", error=None) -> SweepTrial:
    return SweepTrial(
        **summary(dict(enumerate(scores)), 12.34, 0.95),
        number=number,
        parameters=parameters,
        state=state,
        error=error,
    )


def _result(spaces, trials, metric="accuracy", baseline=(0.7, 0.8)) -> SweepResult:
    held = SweepBaseline(**summary(dict(enumerate(baseline or ())), 5.0, 0.95), method="cross-entropy")
    return SweepResult(
        source="mails.csv",
        split_sizes={"train": 9, "validation": 3},
        encoder="minilm",
        method="label-distance",
        metric=metric,
        confidence=0.95,
        seeds=(0, 1),
        spaces=tuple(spaces),
        trials=tuple(trials),
        baseline=held if baseline else None,
        environment={"torch": "2"},
    )


def _one_space(**options) -> SweepResult:
    trials = [
        _trial(0, {TAU: 9.0}, (0.6, 0.8)),
        _trial(1, {TAU: 1.0}, (0.8, 0.9)),
        _trial(2, {TAU: 3.0}, (0.95,), state="pruned"),
        _trial(3, {TAU: 5.0}, (), state="failed", error="it broke: mend it."),
        _trial(4, {TAU: 2.0}, (0.9, 0.76)),
    ]
    return _result([SearchSpace(TAU, values=(1.0, 2.0, 3.0, 5.0, 9.0))], trials, **options)


def test_the_best_is_the_first_of_the_complete_trials_with_the_best_mean():
    assert _one_space().best.parameters == {TAU: 1.0}
    assert _one_space(metric="log_loss").best.parameters == {TAU: 9.0}


def test_trials_of_one_key_are_shown_in_the_order_of_its_values():
    header, *rows = sweep_rows(_one_space())
    assert header == ["tau", "accuracy (%)", "95 % interval", "vs cross-entropy", "state", "seconds"]
    assert [row[0] for row in rows] == ["1", "2", "3", "5", "9"]
    assert rows[0][1] == "85.00"
    assert rows[0][3:] == ["+10.00", "best", "12.3"]
    assert rows[1][3:5] == ["+8.00", "complete"]
    assert rows[2][1:5] == ["95.00", "", "", "pruned"]  # of one seed: not to be held against two
    assert rows[3][1:5] == ["", "", "", "failed"]


def test_a_tie_is_called_a_tie_and_the_first_trial_counts_as_the_best():
    """Five of six trials tie, two of them up to a rounding error."""
    scores = [(0.7, 0.9), (0.8, 0.8), (0.1 + 0.7, 0.8), (0.9, 0.7), (0.8, 0.8), (0.5, 0.5)]
    trials = [_trial(number, {TAU: 1.0 + number}, each) for number, each in enumerate(scores)]
    result = _result([SearchSpace(TAU, values=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0))], trials)
    assert result.best.number == 0
    assert [trial.number for trial in result.tied] == [0, 1, 2, 3, 4]
    assert sweep_sentences(result)[0] == (
        "no single best: 5 of 6 complete trials tie at accuracy (%) 80.00 on the validation rows, 2 seeds: tau=1; "
        "tau=2; tau=3; tau=4; tau=5; the recipe has the first of them, tau=1"
    )
    assert [row[4] for row in sweep_rows(result)[1:]] == ["tied best"] * 5 + ["complete"]
    assert result.to_dict()["best"]["tied"] == [1, 2, 3, 4]
    many = [_trial(number, {TAU: float(number)}, (0.5,)) for number in range(20)]
    sentence = sweep_sentences(_result([SearchSpace(TAU, low=0.0, high=20.0)], many))[0]
    assert "20 of 20" in sentence
    assert "tau=7; and 12 more; the recipe" in sentence


def test_a_list_is_shown_in_the_order_in_which_it_was_given():
    space = SearchSpace("encoder.pooling", values=("stock", "mean"))
    trials = [
        _trial(0, {space.path: "mean"}, (0.5, 0.5)),
        _trial(1, {space.path: "stock"}, (0.4, 0.4)),
    ]
    result = _result([space], trials, baseline=None)
    assert [row[0] for row in sweep_rows(result)] == ["pooling", "stock", "mean"]
    assert not any("vs" in cell for cell in sweep_rows(result)[0])


def test_trials_of_several_keys_are_shown_with_the_best_first():
    spaces = [SearchSpace(TAU, low=1.0, high=9.0), SearchSpace(WEIGHT, low=0.0, high=1.0)]
    trials = [
        _trial(number, {TAU: 1.0 + number, WEIGHT: 0.5}, (score, score), state=state)
        for number, (score, state) in enumerate([(0.9, "pruned"), (0.5, "complete"), (0.8, "complete")])
    ]
    result = _result(spaces, trials)
    assert [trial.number for trial in shown_trials(result)] == [2, 1, 0]
    assert parameters_text(result, result.best) == "tau=3, weight=0.5"


def test_the_best_so_far_never_gets_worse_and_leaves_out_what_did_not_end():
    points = best_so_far(_one_space())
    assert [number for number, _ in points] == [0, 1, 4]
    assert [score for _, score in points] == pytest.approx([0.7, 0.85, 0.85])
    losses = best_so_far(_one_space(metric="log_loss"))
    assert [score for _, score in losses] == pytest.approx([0.7, 0.7, 0.7])


def test_the_sentences_say_what_was_found_beside_what_and_what_did_not_end():
    best, baseline, pruned, failed = sweep_sentences(_one_space())
    assert best == "best: tau=1: accuracy (%) 85.00 on the validation rows, 2 seeds"
    assert baseline == "cross-entropy: 75.00; the best differs from it by +10.00"
    assert pruned == "1 of 5 trials stopped early, below the median of the others"
    assert failed == "1 of 5 trials failed"
    assert sweep_sentences(_one_space(baseline=None))[1] == pruned


def test_the_json_form_has_every_trial_and_the_best():
    content = json.loads(json.dumps(_one_space().to_dict()))
    assert content["schema_version"] == 1
    assert content["best"] == {
        "number": 1,
        "parameters": {TAU: 1.0},
        "mean": pytest.approx(0.85),
        "tied": [],
    }
    assert content["spaces"][0]["values"] == [1, 2, 3, 5, 9]
    assert content["trials"][2]["scores"] == {"0": 0.95}
    assert [trial["state"] for trial in content["trials"]] == [
        "complete",
        "complete",
        "pruned",
        "failed",
        "complete",
    ]
    assert content["trials"][3]["error"] == "it broke: mend it."
    assert content["baseline"]["scores"] == {"0": 0.7, "1": 0.8}


def test_keys_that_end_alike_are_named_in_full():
    paths = ["stages.0.epochs", "stages.1.epochs", WEIGHT]
    names = space_names([SearchSpace(path, low=0.0, high=1.0) for path in paths])
    assert list(names.values()) == ["stages.0.epochs", "stages.1.epochs", "weight"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.871e-05, "2.871e-05"),
        (3.0, "3"),
        (16, "16"),
        ("mean", "mean"),
        (None, "null"),
        (True, "true"),
        (["ä", 1], '["ä", 1]'),
    ],
)
def test_a_value_is_shown_as_it_would_be_written(value, text):
    assert value_text(value) == text
