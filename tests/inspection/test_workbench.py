from __future__ import annotations

import json

import numpy as np
import pytest

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.inspection import workbench as module
from tellapart.inspection.compared_texts import ComparedTexts, compared_data
from tellapart.inspection.confusion import most_confused_pairs
from tellapart.inspection.workbench import (
    confused_classes,
    is_suspect,
    named_answers,
    pair_name,
    run_verdict,
    suspect_counts,
    workbench_data,
    write_errors,
)

MATRIX = np.array([[5, 3], [1, 7]])


def _error(gold=("a",), predicted=("b",), probability=0.9, near=(0.2, 0.9)):
    answer = {
        "predicted": list(predicted),
        "probability": probability,
        "second": None,
        "second_probability": None,
    }
    nearest = {name: [{"text": "t", "similarity": one}] for name, one in zip("ab", near, strict=True)}
    return {"text": "t", "gold": list(gold), "answers": [answer], "nearest": nearest}


@pytest.mark.parametrize(
    ("changes", "suspect"),
    [
        ({}, True),
        ({"probability": 0.69}, False),  # unsure
        ({"near": (0.8, 0.85)}, False),  # hardly nearer
        ({"gold": ("a", "c"), "predicted": ("b", "c")}, True),  # one label in place of another
        ({"gold": ("a", "c")}, False),
        ({"predicted": ()}, False),
    ],
)
def test_a_label_is_suspect_if_a_confident_prediction_has_much_nearer_texts(changes, suspect):
    assert is_suspect(_error(**changes)) == suspect


def test_the_classes_of_an_error_are_those_that_were_missed_or_added():
    assert confused_classes(_error(gold=("a", "c"), predicted=("b", "c"))) == ["a", "b"]


def test_what_exceeds_the_size_is_cut_and_said(monkeypatch, tmp_path):
    errors = [_error() | {"text": "x" * 9000, "row": row} for row in range(10)]
    monkeypatch.setattr(module, "DATA_BYTES", 12_000)
    data = workbench_data(errors, classes=["a", "b"], matrices={"": MATRIX})
    assert [error["row"] for error in data["errors"]] == [0, 1]
    assert "This page holds 2 of 10 wrong texts" in data["notes"][0]
    assert len(data["errors"][0]["text"]) == module.TEXT_LENGTH
    assert data["total"] == 10
    assert len(errors[0]["text"]) == 9000  # the caller's own are as they were
    write_errors(tmp_path / "errors.json", data | {"notes": ["\ud800"]})
    assert json.loads((tmp_path / "errors.json").read_text(encoding="utf-8"))["notes"] == ["?"]


def test_the_data_hold_the_counts_and_the_pairs_by_their_errors():
    data = workbench_data([], classes=["a", "b"], matrices={"x": MATRIX, "y": MATRIX.T}, baseline="x")
    assert data["matrices"]["x"] == [[0, 0, 5], [0, 1, 3], [1, 0, 1], [1, 1, 7]]
    assert data["pairs"] == [["a", "b"]]
    assert data["methods"] == ["x", "y"]


def test_ordered_classes_are_listed_in_their_order():
    ranks = np.array([1, 0])
    data = workbench_data([], classes=["a", "b"], matrices={"": MATRIX}, ranks=ranks)
    assert data["classes"] == ["b", "a"]
    assert data["matrices"][""] == [[0, 0, 7], [0, 1, 1], [1, 0, 3], [1, 1, 5]]


def test_the_verdict_names_the_worst_pair_and_the_suspect_labels():
    errors = [_error() | {"suspect": True}, _error()]
    data = workbench_data(errors, classes=["a", "b"], matrices={"": MATRIX})
    (worst,) = most_confused_pairs(MATRIX, ["a", "b"])
    said = run_verdict(worst, 4, data, "accuracy 75.00 %", 16)
    assert said == [
        "2 of 16 texts are predicted wrongly (accuracy 75.00 %).",
        "The most confused classes are a and b: 4 of 4 confusions (100 %).",
        "1 wrong text has a suspect label: check the label before the model.",
    ]
    assert suspect_counts(errors) == {frozenset("ab"): 1}
    assert module.SUSPECT_RULE in data["notes"]


def test_the_verdict_keeps_class_names_and_counts_the_confusions_of_all_pairs():
    (worst,) = most_confused_pairs(MATRIX, ["100% new", "b"])
    data = workbench_data([_error()], classes=["100% new", "b"], matrices={"": MATRIX})
    said = run_verdict(worst, 40, data, "accuracy 75.00 %", 160)
    assert said[1] == "The most confused classes are 100% new and b: 4 of 40 confusions (10 %)."


def test_the_name_of_a_pair_is_encoded():
    assert pair_name("a|b", "c d%&") == "#pair=a%7Cb%7Cc%20d%25%26"


def _wrong(rows, predicted, probability=0.8):
    return {
        "rows": rows,
        "predicted": predicted,
        "probability": [probability] * len(rows),
        "second": [None] * len(rows),
        "second_probability": [None] * len(rows),
    }


def test_answers_carry_the_names_of_the_classes():
    [(row, answer)] = named_answers(_wrong([3], [[0, 1]]) | {"second": [2]}, ["a", "b", "c"])
    assert (row, answer["predicted"], answer["second"]) == (3, ["a", "b"], "c")


def test_equal_texts_of_several_seeds_are_one_and_equal_answers_are_joined():
    texts = ComparedTexts(["a", "b", "c"])
    split = TextSplit(["one", "two", "one"], labels=["a", "b", "a"])
    ids = np.array([0, 1, 0])
    texts.add(0, split, ids, {"x": _wrong([0, 2], [[1], [1]], 0.6), "y": _wrong([1], [[2]])})
    other = split.select([1, 0])  # another seed has other test rows
    texts.add(1, other, np.array([1, 0]), {"x": _wrong([1], [[1]], 0.8), "y": _wrong([], [])})
    first, second = texts.errors()
    assert (first["text"], first["evaluated"]) == ("one", 2)
    [answer] = first["answers"]
    assert (answer["method"], answer["seeds"], answer["probability"]) == ("x", [0, 1], 0.7)
    assert (second["text"], second["answers"][0]["seeds"]) == ("two", [0])


def test_trials_without_predictions_show_no_texts_and_say_so():
    texts = ComparedTexts(["a", "b"])
    texts.add(0, TextSplit(["t"], labels=["a"]), np.array([0]), {"x": _wrong([0], [[1]]), "y": None})
    data = compared_data(
        texts.errors(), LabelSpace(("a", "b")), {"x": MATRIX, "y": MATRIX}, "n", texts.complete
    )
    assert data["errors"] == []
    assert "older version" in data["notes"][0]
