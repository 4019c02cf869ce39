from __future__ import annotations

import json


def test_spans_train_predict_and_evaluate(tellapart, squad_file, tiny_encoder, tmp_path):
    quick = ("--max-length", 32, "--stride", 8, "--epochs", 8, "--learning-rate", 0.01, "--quiet")
    run = tmp_path / "run"
    trained = tellapart(
        *("spans", "train", squad_file, "--encoder", tiny_encoder, "--validation", squad_file),
        *(*quick, "--output", run),
    )
    assert trained.code == 0, trained.err
    assert "exact match (%)" in trained.out
    assert (
        trained.out.splitlines()[-1] == f"next: tellapart spans predict {run} FILE --output predictions.json"
    )
    answers = tmp_path / "answers.json"
    predicted = tellapart("spans", "predict", run, squad_file, "--output", answers, "--quiet")
    assert predicted.out == f"192 answers written to {answers}\n"
    by_model = json.loads(tellapart("spans", "evaluate", run, squad_file, "--json", "--quiet").out)
    by_file = json.loads(tellapart("spans", "evaluate", answers, squad_file, "--json").out)
    assert by_model == by_file == json.loads((run / "metrics.json").read_text())["validation"]
    shown = tellapart("spans", "evaluate", answers, squad_file).out
    assert "192 questions" in shown
    assert f"{100 * by_file['f1']:.2f}" in shown


def test_missing_predictions_are_named(tellapart, squad_file, tmp_path):
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"q1": "today"}))
    assert (
        "192 questions, 191 without a prediction" in tellapart("spans", "evaluate", answers, squad_file).out
    )


def test_spans_train_with_json_prints_nothing_else(tellapart, squad_file, tiny_encoder, tmp_path):
    finished = tellapart(
        *("spans", "train", squad_file, "--encoder", tiny_encoder, "--max-length", 32, "--stride", 8),
        *("--epochs", 0.1, "--json", "--output", tmp_path / "run"),
    )
    assert json.loads(finished.out)["rows"]["train"] == 192


def test_a_file_that_is_no_squad_is_one_line(tellapart, ticket_file):
    finished = tellapart("spans", "train", ticket_file)
    assert (finished.code, len(finished.err.splitlines())) == (2, 1)
