"""`--windows`: texts longer than the encoder reads at once."""

from __future__ import annotations

import csv
import json


def test_train_predict_and_evaluate(tellapart, tickets, tiny_encoder, tmp_path):
    file = tmp_path / "long.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(["text", "label"])
        writer.writerows([" since monday in town today" * 16 + " " + text, label] for text, label in tickets)
    trained = tellapart(
        *("train", file, "--encoder", tiny_encoder, "--windows", "max", "--max-length", 120),
        *("--set", "encoder.window_length=24", "--epochs", 6, "--learning-rate", 0.005),
        *("--output", tmp_path / "run"),
    )
    assert trained.code == 0, trained.err
    assert "are longer than a window of 24 tokens" in " ".join(trained.err.split())
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["cut"]["train"] == 0.0
    measured = tellapart("evaluate", tmp_path / "run", file, "--json", "--quiet")
    assert json.loads(measured.out)["accuracy"] > 0.8
    output = tmp_path / "predicted.csv"
    predicted = tellapart("predict", tmp_path / "run", file, "--output", output, "--quiet")
    assert predicted.code == 0, predicted.err
    with output.open(encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    assert sum(row["predicted_label"] == row["label"] for row in rows) / len(rows) > 0.8


def test_what_makes_no_sense_is_one_sentence(tellapart, ticket_file, tiny_encoder, tmp_path):
    options = ("train", ticket_file, "--quiet", "--output", tmp_path / "run")
    typo = tellapart(*options, "--encoder", tiny_encoder, "--windows", "median")
    assert (typo.code, "encoder.windows cannot be 'median'" in typo.err) == (2, True)
    own = tellapart(*options, "--encoder", "textcnn", "--windows", "max")
    assert (own.code, "leave out --windows" in own.err) == (2, True)
