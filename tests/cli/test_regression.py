from __future__ import annotations

import csv
import json

import pytest


@pytest.fixture(scope="module")
def scores_run(score_file, quick, tmp_path_factory):
    from tellapart.cli import main

    folder = tmp_path_factory.mktemp("runs") / "scores"
    with pytest.raises(SystemExit) as end:
        main(["train", str(score_file), "--regression", *quick, "--output", str(folder)])
    assert not end.value.code
    return folder


def test_train_evaluate_and_predict_take_scores(tellapart, scores_run, score_file, tmp_path):
    metrics = json.loads((scores_run / "metrics.json").read_text())
    assert metrics["method"] == "mean-squared-error"
    assert metrics["test"]["pearson_correlation"] > 0.7
    measured = json.loads(tellapart("evaluate", scores_run, score_file, "--json").out)
    assert measured["rows"] == 192
    assert measured["spearman_correlation"] > 0.7
    assert "pearson correlation (%)" in tellapart("evaluate", scores_run, score_file).out
    output = tmp_path / "predicted.csv"
    assert tellapart("predict", scores_run, score_file, "--output", output).code == 0
    with output.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["text", "score", "predicted_score"]
    errors = [abs(float(row["score"]) - float(row["predicted_score"])) for row in rows]
    assert sum(errors) / len(errors) == pytest.approx(measured["mean_absolute_error"], rel=1e-4)


def test_the_folder_is_named_after_the_method_that_scores_are_learned_by(
    tellapart, score_file, quick, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    finished = tellapart("train", score_file, "--regression", *quick, "--epochs", 1)
    assert "written to runs/scores-mean-squared-error" in finished.out


def test_check_says_that_rows_have_scores(tellapart, score_file, tiny_encoder):
    finished = tellapart("check", score_file, "--regression", "--encoder", tiny_encoder)
    assert finished.out.splitlines()[0].endswith("numeric labels")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--few-shot", 4), "few-shot sampling"),
        (("--thresholds", "tuned"), "the rows have numeric targets"),
        (("--method", "supcon"), "supcon needs classes"),
        (("--label", "text", "--text", "score"), "is not a number"),
        (("--label-delimiter", ","), "either a numeric target or several labels"),
    ],
)
def test_what_scores_cannot_do_is_said_in_one_line(tellapart, score_file, tmp_path, arguments, message):
    options = ("--regression", "--text", "text", *arguments, "--output", tmp_path / "run")
    finished = tellapart("train", score_file, *options)
    assert finished.code == 2
    assert finished.err.splitlines()[-1].startswith("error: ")
    assert message in finished.err
    assert not (tmp_path / "run" / "model").exists()


def test_numbers_that_are_taken_for_classes_by_mistake_are_noticed(tellapart, tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("text,label\n" + "".join(f"text {number},{number / 8}\n" for number in range(40)))
    finished = tellapart("train", file, "--output", tmp_path / "run")
    assert finished.code == 2
    assert "add --regression" in finished.err


def test_the_methods_that_are_compared_by_default_are_of_classes(tellapart, score_file, tmp_path):
    finished = tellapart("compare", score_file, "--regression", "--output", tmp_path / "out")
    assert finished.code == 2
    assert "cross-entropy needs classes" in finished.err
    assert "mean-squared-error" in finished.err
