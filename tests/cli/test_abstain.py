"""Abstention, out-of-scope rows and prediction sets through the command line."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.special import softmax

from tellapart.cli import main
from tellapart.data.examples import TextSplit
from tellapart.data.reading.tables import read_table
from tellapart.fitting.loading import load_fitted
from tellapart.fitting.rows import load_data
from tellapart.recipes.reading import read_mapping, validated

OTHERS = [f"{word} {number}" for word in ("the weather", "a train", "two cats") for number in range(20)]


def _confidence(fitted, rows: TextSplit) -> np.ndarray:
    return softmax(fitted.scores(rows).astype(np.float64), axis=1).max(axis=1)


def _auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    higher, equal = inside[:, None] > outside, inside[:, None] == outside
    return float((higher + equal / 2).mean())


@pytest.fixture(scope="module")
def marked_file(tickets, tmp_path_factory):
    """The tickets and 60 texts of no class, labelled oos."""
    path = tmp_path_factory.mktemp("data") / "tickets.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = [*tickets, *((text, "oos") for text in OTHERS)]
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


@pytest.fixture(scope="module")
def run_folder(marked_file, quick, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tickets"
    options = ("--out-of-scope", "oos", "--abstain-precision", 0.9, "--conformal", 0.8)
    given = ("train", marked_file, *quick, *options, "--set", "data.validation_share=0.3", "--output", folder)
    with pytest.raises(SystemExit) as end:
        main([str(part) for part in given])
    assert not end.value.code
    return folder


def test_a_run_measures_abstention_and_never_trains_on_out_of_scope_rows(run_folder):
    metrics = json.loads((run_folder / "metrics.json").read_text())
    assert sum(metrics["rows"].values()) == 192
    stored = json.loads((run_folder / "model" / "tellapart.json").read_text())
    assert metrics["decision"]["abstain"] == stored["abstain"]
    assert (stored["abstain"]["by"], stored["conformal"]["coverage"]) == ("probability", 0.8)
    assert stored["columns"]["out_of_scope"] == "oos"
    data = load_data(validated(read_mapping(run_folder / "recipe.yaml")))
    fitted, threshold = load_fitted(run_folder), stored["abstain"]["threshold"]
    assert not {*data.train.texts} & {*OTHERS}
    for name in ("validation", "test"):
        found, outside = metrics[name], data.out_of_scope[name]
        assert {*outside.texts} < {*OTHERS}
        inside, others = (_confidence(fitted, rows) for rows in (data.splits[name], outside))
        assert found["coverage"] == pytest.approx((inside >= threshold).mean())
        assert found["out_of_scope_accepted"] == pytest.approx((others >= threshold).mean())
        assert found["out_of_scope_auroc"] == pytest.approx(_auroc(inside, others), abs=1e-6)
        curve = metrics["risk_coverage"][name]
        assert curve[-1] == [1.0, pytest.approx(1 - found["accuracy"], abs=1e-6)]
    assert json.loads((run_folder / "model" / "config.json").read_text())["id2label"].keys() == {
        "0",
        "1",
        "2",
    }
    rows = pq.read_table(run_folder / "predictions.parquet").to_pydict()
    accepted = np.array(rows["decision"]) == "accepted"
    wrong = np.array(rows["label"]) != np.array(rows["predicted_label"])
    assert metrics["test"]["coverage"] == pytest.approx(accepted.mean())
    assert metrics["test"]["selective_risk"] == pytest.approx(wrong[accepted].mean())
    page = (run_folder / "report.html").read_text()
    assert "<h2>Abstention</h2>" in page
    assert "out of scope auroc (%)" in page


def test_evaluate_knows_the_label_of_the_training_and_takes_a_file(
    tellapart, run_folder, marked_file, tmp_path
):
    found = json.loads(tellapart("evaluate", run_folder, marked_file, "--json").out)
    assert found["rows"] == 192
    assert found["risk_coverage"][-1] == [1.0, pytest.approx(1 - found["accuracy"], abs=1e-6)]
    (tmp_path / "others.txt").write_text("\n".join(OTHERS), encoding="utf-8")
    other = tellapart(
        "evaluate", run_folder, marked_file, "--out-of-scope", tmp_path / "others.txt", "--json"
    )
    assert json.loads(other.out) == found
    assert "60 labelled out-of-scope rows are left out: those of" in other.err
    table = tellapart("evaluate", run_folder, marked_file).out
    assert "selective risk (%)" in table
    wrong = tellapart("evaluate", run_folder, marked_file, "--out-of-scope", "oss")
    assert (wrong.code, 'no row has the label "oss"' in wrong.err) == (2, True)
    unknown = tmp_path / "unknown.csv"
    unknown.write_text("text,label\nhello,oos\nmy card was lost,lost\nwhat,gone\n", encoding="utf-8")
    refused = tellapart("evaluate", run_folder, unknown)
    assert (refused.code, 'the first is "gone" in row 3' in refused.err) == (2, True)


def test_predict_adds_what_the_model_decides_and_what_is_asked(tellapart, run_folder, marked_file, tmp_path):
    output = tmp_path / "out.parquet"
    options = ("--margin", "--top-k", 2, "--output", output, "--precision", "fp32", "--quiet")
    assert tellapart("predict", run_folder, marked_file, *options).code == 0
    rows = read_table(output).to_pylist()
    threshold = json.loads((run_folder / "model" / "tellapart.json").read_text())["abstain"]["threshold"]
    for row in rows:
        assert (row["decision"] == "accepted") == (row["probability"] >= threshold)
        assert row["margin"] == pytest.approx(row["top_1_probability"] - row["top_2_probability"])
        assert (row["predicted_label"], row["second_label"]) == (row["top_1_label"], row["top_2_label"])
    sets = [row["label"] in row["prediction_set"] for row in rows if row["label"] != "oos"]
    assert np.mean(sets) > 0.7
    refused = tellapart("predict", run_folder, output, "--output", tmp_path / "again.csv")
    assert (refused.code, 'has a column "predicted_label"' in refused.err) == (2, True)
    many = tellapart("predict", run_folder, marked_file, "--top-k", 4, "--output", tmp_path / "many.csv")
    assert (many.code, "the model has 3 classes, and 4 are asked for" in many.err) == (2, True)


def test_a_model_that_does_not_abstain_adds_no_column_unless_asked(tellapart, trained, ticket_file, tmp_path):
    assert tellapart("predict", trained, ticket_file, "--output", tmp_path / "a.csv", "--quiet").code == 0
    header = (tmp_path / "a.csv").read_text().splitlines()[0]
    assert header.replace('"', "") == "id,text,label,predicted_label,probability"
    assert "coverage" not in json.loads(tellapart("evaluate", trained, ticket_file, "--json").out)
    (tmp_path / "others.txt").write_text("\n".join(OTHERS), encoding="utf-8")
    asked = tellapart("evaluate", trained, ticket_file, "--out-of-scope", tmp_path / "others.txt", "--json")
    found, fitted = json.loads(asked.out), load_fitted(trained)
    with ticket_file.open(encoding="utf-8") as file:
        rows = TextSplit([row["text"] for row in csv.DictReader(file)])
    inside, others = (_confidence(fitted, one) for one in (rows, TextSplit(OTHERS)))
    assert found["out_of_scope_auroc"] == pytest.approx(_auroc(inside, others), abs=1e-6)
    assert found["risk_coverage"][-1] == [1.0, pytest.approx(1 - found["accuracy"], abs=1e-6)]
    assert not {"out_of_scope_accepted", "coverage"} & found.keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--label-delimiter", "|", "--abstain-coverage", 0.9), "is for one class per text"),
        (("--label-delimiter", "|", "--conformal", 0.9), "is for one class per text"),
        (("--label-delimiter", "|", "--out-of-scope", "lost"), "several labels"),
        (("--conformal", 0.999), "need at least 999 validation rows"),
        (("--abstain-coverage", 0.9, "--abstain-precision", 0.9), "give either precision or coverage"),
        (("--abstain-coverage", 1.5), "decision.abstain.coverage cannot be 1.5"),
        (
            ("--abstain-coverage", "nan"),
            "decision.abstain.coverage cannot be 'NaN' (input should be a finite number)",
        ),
        (
            ("--abstain-precision", "inf"),
            "decision.abstain.precision cannot be 'Infinity' (input should be a finite number)",
        ),
        (("--conformal", "nan"), "decision.conformal cannot be 'nan' (input should be a finite number)"),
        (("--set", "decision.thresholds=.nan"), "decision.thresholds"),
        (("--set", "decision.abstain_by=energy"), 'abstain_by is "energy", but the model is not to abstain'),
        (("--out-of-scope", "lsot"), 'did you mean "lost"'),
        (("--set", "decision.abstain_by=mood"), "decision.abstain_by cannot be 'mood'"),
    ],
)
def test_what_cannot_be_chosen_is_refused_in_one_sentence_before_training(
    tellapart, ticket_file, quick, tmp_path, options, message, monkeypatch
):
    monkeypatch.setattr("tellapart.fitting.prepared.load_model", None)
    finished = tellapart("train", ticket_file, *quick, *options, "--output", tmp_path / "run")
    assert finished.code == 2
    assert message in finished.err
