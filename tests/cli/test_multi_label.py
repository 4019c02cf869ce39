"""Rows with several labels, or none, through every verb, with tuned thresholds."""

from __future__ import annotations

import csv
import json

import pytest

from tellapart.cli import main

TUNED = ("--thresholds", "tuned")


@pytest.fixture(scope="module")
def tagged_file(tickets, tmp_path_factory):
    """Tickets whose cell of labels holds one, two or none."""
    path = tmp_path_factory.mktemp("data") / "tagged.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "labels"])
        for text, label in tickets[1::2]:
            tags = [] if label == "expired" else [label]
            writer.writerow([text, "|".join(tags + ["card"] * ("our company" in text))])
    return path


@pytest.fixture(scope="module")
def read(tagged_file):
    return (tagged_file, "--label", "labels", "--label-delimiter", "|")


@pytest.fixture(scope="module")
def run_folder(read, quick, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tagged"
    with pytest.raises(SystemExit) as end:
        main([str(part) for part in ("train", *read, *quick, *TUNED, "--output", folder)])
    assert not end.value.code
    return folder


def test_train_tunes_a_threshold_for_every_label(run_folder):
    stored = json.loads((run_folder / "model" / "tellapart.json").read_text())
    assert set(stored["thresholds"]) == {"card", "lost", "stolen"}
    metrics = json.loads((run_folder / "metrics.json").read_text())
    assert metrics["test"]["exact_match"] > 0.6
    assert metrics["decision"]["before"].keys() == {"validation", "test"}


def test_evaluate_and_predict_count_rows_without_a_label(tellapart, run_folder, read, tagged_file, tmp_path):
    finished = tellapart("evaluate", run_folder, *read, "--json")
    assert finished.code == 0, finished.err
    metrics = json.loads(finished.out)
    output = tmp_path / "predicted.jsonl"
    assert tellapart("predict", run_folder, tagged_file, "--output", output, "--quiet").code == 0
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    right = [
        set(row["predicted_label"]) == set(filter(None, (row["labels"] or "").split("|"))) for row in rows
    ]
    assert sum(not row["labels"] for row in rows) == 24
    assert metrics["exact_match"] == pytest.approx(sum(right) / 96)
    assert any(row["predicted_label"] == [] and not row["labels"] for row in rows)


def test_compare_and_sweep_tune_thresholds_in_every_trial(tellapart, read, tiny_encoder, quick, tmp_path):
    few = ("--set", "stages.0.epochs=3", "--set", "stages.0.evaluations=1")
    methods = ("--methods", "cross-entropy,negative-supervision", "--trials", 2)
    compared = tellapart(
        "compare", *read, *quick, *TUNED, *few, *methods, "--json", "--output", tmp_path / "compared"
    )
    assert compared.code == 0, compared.err
    content = json.loads(compared.out)
    assert content["metric"] == "micro_f1"
    assert {len(method["trials"]) for method in content["methods"].values()} == {2}
    pytest.importorskip("optuna")
    over = ("--method", "frozen", "--over", "stages.0.regularisation=0.01,10", "--baseline", "none")
    swept = tellapart(
        *("sweep", *read, "--encoder", tiny_encoder, "--max-length", 24, *TUNED, *over),
        *("--quiet", "--json", "--output", tmp_path / "swept"),
    )
    assert swept.code == 0, swept.err
    result = json.loads(swept.out)
    assert (result["metric"], len(result["trials"])) == ("micro_f1", 2)
    best = (tmp_path / "swept" / "best.yaml").read_text()
    assert "thresholds: tuned" in best


def test_check_counts_labels_and_not_label_sets(tellapart, read, tiny_encoder):
    finished = tellapart("check", *read, "--encoder", tiny_encoder, "--json")
    assert finished.code == 0, finished.err
    assert json.loads(finished.out)["classes"] == {"train": {"card": 24, "lost": 32, "stolen": 32}}


def test_robustness_holds_label_sets_against_label_sets(tellapart, run_folder, read, tiny_wordnet, tmp_path):
    (tmp_path / "dict").mkdir()
    for file in tiny_wordnet.iterdir():
        (tmp_path / "dict" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "dict" / "cntlist.rev").write_text("today%4:02:00:: 1 20\nnowadays%4:02:00:: 1 2\n")
    finished = tellapart(
        *("robustness", run_folder, *read, "--wordnet", tmp_path / "dict", "--share", 0.25),
        *("--quiet", "--json", "--output", tmp_path / "out"),
    )
    assert finished.code == 0, finished.err
    content = json.loads(finished.out)
    assert content["metric"] == "exact_match"
    assert content["rows"] == 96
    assert content["changed_rows"] > 0
