"""Labels as vectors and as columns, and rows that cannot be trained or scored, through the verbs."""

from __future__ import annotations

import json

import pytest

from tellapart import TextClassifier
from tellapart.errors import DataError
from tellapart.runs import evaluate as evaluate_module

WORDS = ["lost", "stolen", "damaged"]
BITS = [[0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 0], [0, 1, 0], [1, 0, 1]]
ROWS = [
    (" ".join(["card", str(number), *(word for word, bit in zip(WORDS, bits, strict=True) if bit)]), bits)
    for number in range(10)
    for bits in BITS
]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def vectors(tmp_path):
    return jsonl(tmp_path / "vectors.jsonl", [{"text": text, "labels": bits} for text, bits in ROWS])


@pytest.fixture
def columns(tmp_path):
    rows = "".join(f"{text},{','.join(map(str, bits))}\n" for text, bits in ROWS)
    (tmp_path / "columns.csv").write_text("text,lost,stolen,damaged\n" + rows)
    return tmp_path / "columns.csv"


def metrics(finished):
    assert finished.code == 0, finished.err
    return json.loads(finished.out)


def test_vectors_and_columns_are_trained_checked_and_evaluated_alike(tellapart, vectors, columns, tmp_path):
    named = ("--label-names", ",".join(WORDS))
    finished = tellapart("train", vectors, *named, "--method", "tfidf", "--output", tmp_path / "run")
    assert finished.code == 0, finished.err
    assert "vectors of 0 and 1 of the labels lost, stolen, damaged" in finished.err
    by_vector = metrics(tellapart("evaluate", tmp_path / "run", vectors, *named, "--json", "--quiet"))
    by_column = metrics(
        tellapart("evaluate", tmp_path / "run", columns, "--label", ",".join(WORDS), "--json", "--quiet")
    )
    assert by_vector == by_column
    assert by_vector["exact_match"] > 0.9
    assert metrics(tellapart("evaluate", tmp_path / "run", vectors, "--json", "--quiet")) == by_vector


def test_check_takes_the_settings_of_a_recipe_and_prints_the_guess(tellapart, tiny_encoder, vectors, columns):
    short = ("--encoder", tiny_encoder)
    report = metrics(tellapart("check", vectors, *short, "--set", "data.label_names=[a, b, c]", "--json"))
    assert report["problem_type"] == "multi_label_classification"
    assert report["classes"]["train"].keys() == {"a", "b", "c"}
    finished = tellapart("check", vectors, *short)
    assert "note: The lists in" in finished.out
    assert "name them with --label-names" in finished.out
    report = metrics(tellapart("check", columns, *short, "--label", "lost,stolen", "--json"))
    assert report["classes"]["train"] == {"lost": 30, "stolen": 30}
    assert 'no key "labl"' in tellapart("check", vectors, *short, "--set", "data.labl=x").err


def test_evaluate_names_the_row_of_an_unknown_label_before_it_scores(tellapart, tmp_path, monkeypatch):
    train = [{"text": f"card {word} {number}", "label": word} for number in range(20) for word in WORDS]
    source = jsonl(tmp_path / "train.jsonl", train)
    assert tellapart("train", source, "--method", "tfidf", "--output", tmp_path / "run").code == 0
    monkeypatch.setattr(evaluate_module, "task_metrics", None)
    monkeypatch.setattr("tellapart.fitting.fitted.Fitted.scores", None)
    test = jsonl(
        tmp_path / "test.jsonl", [*train[:4], {"text": "x", "label": "Lost"}, {"text": "y", "label": "?"}]
    )
    finished = tellapart("evaluate", tmp_path / "run", test)
    assert finished.code == 2
    assert 'have labels that the model\'s classes lack, the first is "Lost" in row 5' in finished.err


@pytest.mark.parametrize("content", ["text,label\n,a\n,b\n", "text,label\n" + "same,a\nsame,b\n" * 9])
@pytest.mark.parametrize(
    "verb", [("train", "--method", "tfidf"), ("train",), ("compare", "--methods", "tfidf,cross-entropy")]
)
def test_rows_that_say_nothing_are_refused_by_every_verb(tellapart, quick, tmp_path, content, verb):
    (tmp_path / "rows.csv").write_text(content)
    name, *options = verb
    encoder = () if "tfidf" in options else quick
    finished = tellapart(name, tmp_path / "rows.csv", *options, *encoder, "--output", tmp_path / "run")
    assert finished.code == 2
    assert "training rows have" in finished.err
    assert finished.err.strip().count("\n") == 0 or "error: all" in finished.err


@pytest.mark.parametrize("X", [["", ""], ["same", "same"], [("a", "b"), ("a", "b")]])
def test_text_classifier_refuses_rows_that_say_nothing(X, tiny_encoder):
    for method in ("tfidf", "cross-entropy"):
        with pytest.raises(DataError, match="all 2 training rows have"):
            TextClassifier(method, encoder=tiny_encoder).fit(X, ["a", "b"])
