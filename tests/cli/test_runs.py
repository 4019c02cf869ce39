from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import yaml

from tellapart.recipes import load_recipe, method_recipe


def test_train_writes_the_model_the_metrics_and_the_recipe(trained):
    folder = Path(trained)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] > 0.8
    assert (folder / "model" / "model.safetensors").is_file()
    recipe = load_recipe(folder / "recipe.yaml")
    assert (recipe.method, recipe.stages[0].epochs) == ("cross-entropy", 8)


def test_train_ends_with_the_metrics_the_folder_and_what_to_do_next(
    tellapart, ticket_file, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    finished = tellapart("train", ticket_file, "--method", "tfidf", "--quiet")
    assert finished.code == 0
    assert "accuracy (%)" in finished.out
    assert "written to runs/tickets-tfidf" in finished.out
    assert finished.out.splitlines()[-1] == (
        "next: tellapart predict runs/tickets-tfidf FILE --output predictions.csv"
    )


def test_train_ends_with_the_three_worst_pairs_the_time_and_the_page(
    tellapart, ticket_file, quick, tmp_path, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    folder = tmp_path / "run"
    few = ("--few-shot", 2, "--epochs", 1, "--batch-size", 4)  # not enough to learn: classes are confused
    finished = tellapart("train", ticket_file, *quick, *few, "--output", folder)
    lines = finished.out.splitlines()
    summary = lines[max(place for place, line in enumerate(lines) if not line) + 1 :]
    assert len(summary) <= 12
    errors = json.loads((folder / "errors.json").read_text())
    assert summary[0].startswith("most confused classes, of ")
    a, b = errors["pairs"][0]
    assert summary[1].startswith(f"  {a} ↔ {b}: ")
    assert sum("↔" in line for line in summary) == min(3, len(errors["pairs"]))
    assert any(line.startswith("trained in ") and line.endswith(" s") for line in summary)
    assert f"report: {folder / 'report.html'}" in summary


def test_notes_come_before_training_and_phases_are_lines_in_a_file(tellapart, ticket_file, quick, tmp_path):
    options = [option for option in quick if option != "--quiet"]
    run = ("--max-length", 6, "--epochs", 1, "--validation-in-training", "--output", tmp_path / "run")
    finished = tellapart("train", ticket_file, *options, *run)
    assert finished.code == 0, finished.err
    lines = finished.err.splitlines()
    phases = [line for line in lines if not line.startswith("note: ")]
    assert phases[:2] == [
        "training cross-entropy, seed 0",
        "refit with the validation rows: training cross-entropy, seed 0",
    ]
    assert [phase.split()[0] for phase in phases[2:]] == ["evaluation", "evaluation", "report:"]
    before = lines[: lines.index(phases[0])]
    assert any("training rows are split off" in note for note in before)
    assert any("are longer than 6 tokens and were cut" in note for note in before)
    assert len(lines) == len(set(lines))
    assert "\r" not in finished.err


def test_compare_has_a_line_for_each_run_and_resuming_counts_the_finished_ones(
    tellapart, ticket_file, tmp_path
):
    arguments = (
        "compare",
        ticket_file,
        "--methods",
        "tfidf,tfidf:data.few_shot=4",
        "--output",
        tmp_path / "c",
    )
    first = tellapart(*arguments, "--trials", 1)
    assert [line for line in first.err.splitlines() if line.startswith("1/2 tfidf, seed 0: accuracy (%) ")]
    assert "\r" not in first.err
    again = tellapart(*arguments, "--trials", 2, "--resume")
    lines = [line for line in again.err.splitlines() if not line.startswith("note: ")]
    assert [line.split(":")[0] for line in lines] == ["3/4 tfidf, seed 1", "4/4 tfidf few_shot=4, seed 1"]
    assert tellapart(*arguments, "--trials", 3, "--resume", "--quiet").err == ""


def test_train_with_json_prints_nothing_else_on_standard_output(tellapart, ticket_file, quick, tmp_path):
    options = [option for option in quick if option != "--quiet"]
    finished = tellapart("train", ticket_file, *options, "--output", tmp_path / "run", "--json")
    assert json.loads(finished.out)["folder"] == str(tmp_path / "run")
    assert "note: " in finished.err  # what splitting the rows did


def test_train_merges_seeds_and_says_what_each_was_worth(tellapart, ticket_file, quick, tmp_path):
    options = [option for option in quick if option != "--quiet"]
    folder = tmp_path / "run"
    merging = ("--trials", "2", "--merge", "soup", "--epochs", "2")
    finished = tellapart("train", ticket_file, *options, *merging, "--output", folder, "--json")
    merge = json.loads(finished.out)["merge"]
    assert [member["seed"] for member in merge["members"]] == [0, 1]
    assert "The mean of the weights of 2 models (seeds 0 to 1). Validation accuracy (%): " in finished.err


def test_train_uses_the_validation_rows_in_the_end(tellapart, ticket_file, quick, tmp_path):
    folder = tmp_path / "run"
    options = (*quick, "--epochs", "2", "--validation-in-training", "--output", folder, "--json")
    metrics = json.loads(tellapart("train", ticket_file, *options).out)
    assert metrics["validation_in_training"]["rows"] == 154
    assert load_recipe(folder / "recipe.yaml").data.validation_in_training


def test_evaluate_prints_the_metrics_of_labelled_rows(tellapart, trained, ticket_file):
    metrics = json.loads(tellapart("evaluate", trained, ticket_file, "--json").out)
    assert metrics["rows"] == 192
    assert metrics["accuracy"] > 0.8
    shown = tellapart("evaluate", trained, ticket_file).out
    assert "192 rows" in shown
    assert f"{100 * metrics['accuracy']:.2f}" in shown


def test_evaluate_says_how_many_rows_the_run_was_trained_on(tellapart, trained, ticket_file):
    finished = tellapart("evaluate", trained, ticket_file, "--json")
    assert re.search(r"note: 1\d\d of 192 rows are training or validation rows of the run", finished.err)


def test_predict_keeps_the_columns_and_adds_label_and_probability(tellapart, trained, ticket_file, tmp_path):
    output = tmp_path / "predicted.csv"
    finished = tellapart("predict", trained, ticket_file, "--output", output)
    assert (finished.code, finished.out) == (0, f"192 rows written to {output}\n")
    with ticket_file.open() as before, output.open() as after:
        for row, predicted in zip(csv.DictReader(before), csv.DictReader(after), strict=True):
            assert row.items() <= predicted.items()
            assert predicted["predicted_label"] in {"lost", "stolen", "expired"}
            assert 1 / 3 < float(predicted["probability"]) <= 1


def test_compare_shows_the_table_the_verdict_the_confused_classes_and_the_files(
    tellapart, ticket_file, quick, tmp_path
):
    # Two rows a class and one pass: not enough to learn, so that classes are confused.
    few = ("--few-shot", 2, "--epochs", 1, "--batch-size", 4)
    arguments = ("compare", ticket_file, *quick, *few, "--methods", "cross-entropy,supcon", "--trials", 2)
    finished = tellapart(*arguments, "--output", tmp_path / "compared")
    assert finished.code == 0
    for shown in (
        "95 % interval",
        "supcon against cross-entropy",
        "↔",
        f"written to {tmp_path / 'compared'}",
    ):
        assert shown in finished.out
    content = json.loads((tmp_path / "compared" / "comparison.json").read_text())
    assert [trial["seed"] for trial in content["methods"]["supcon"]["trials"]] == [0, 1]
    assert {"comparison.json", "comparison.html"} <= set(finished.out.split())
    again = tellapart(*arguments, "--output", tmp_path / "compared", "--resume", "--json")
    assert json.loads(again.out)["methods"] == content["methods"]


def test_compare_takes_variants_of_a_method(tellapart, ticket_file, quick, tmp_path):
    methods = (
        "label-distance:stages.0.objective.distance=uniform,"
        "label-distance-static:stages.0.objective.pairs=[[lost, stolen]]:stages.0.epochs=1,"
        "tfidf:data.few_shot=2"
    )
    arguments = ("compare", ticket_file, *quick, "--few-shot", 4, "--epochs", 2, "--trials", 1)
    finished = tellapart(*arguments, "--methods", methods, "--output", tmp_path / "out", "--json")
    assert finished.code == 0
    names = [
        "label-distance distance=uniform",
        "label-distance-static pairs=[[lost, stolen]] epochs=1",
        "tfidf few_shot=2",
    ]
    content = json.loads(finished.out)
    assert list(content["methods"]) == names
    shown = tellapart(*arguments, "--methods", methods, "--output", tmp_path / "out", "--resume")
    assert all(f"{name} against {names[0]}: " in shown.out for name in names[1:])
    assert sum(name.startswith("label-distance-") for name in shown.out.split()) >= 2


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ("tfidf,tfidf:data.test_rows=5", '"tfidf test_rows=5" would be evaluated on other rows than "tfidf"'),
        ("tfidf,tfidf:stages.0.epoch=3", 'did you mean "epochs"'),
        ("tfidf,tfidf:seed=3", "a variant cannot change the seed"),
    ],
)
def test_a_variant_that_cannot_be_compared_is_one_sentence(
    tellapart, ticket_file, tmp_path, methods, message
):
    finished = tellapart("compare", ticket_file, "--methods", methods, "--output", tmp_path / "out")
    assert finished.code == 2
    assert message in " ".join(finished.err.split())


def test_check_names_what_is_wrong(tellapart, tiny_encoder, tmp_path):
    path = tmp_path / "mixed.csv"
    rows = [f"card {number},{label}" for number in range(10) for label in ("a", "b")]
    path.write_text("\n".join(["text,label", *rows]))
    report = json.loads(tellapart("check", path, "--encoder", tiny_encoder, "--json").out)
    found = {finding["kind"]: finding for finding in report["findings"]}
    assert found["conflicting_labels"]["count"] == 10
    shown = tellapart("check", path, "--encoder", tiny_encoder).out
    assert "rows: 20 train; classes: 2" in shown
    assert found["conflicting_labels"]["message"] in shown
    assert found["conflicting_labels"]["examples"][0] in shown


def test_data_list_names_the_sets_and_fetch_prints_the_folder(tellapart, tmp_path, monkeypatch):
    names = [one["name"] for one in json.loads(tellapart("data", "list", "--json").out)]
    listed = tellapart("data", "list").out
    assert {"r8", "r52", "banking77"} <= set(names)
    assert all(name in listed for name in names)
    (tmp_path / "r8").mkdir()
    monkeypatch.setenv("TELLAPART_DATA", str(tmp_path))
    assert tellapart("data", "fetch", "r8").out == f"{tmp_path / 'r8'}\n"


def test_recipes_show_prints_yaml_that_describes_the_same_run(tellapart):
    assert "label-distance" in tellapart("recipes").out
    shown = yaml.safe_load(tellapart("recipes", "show", "label-distance").out)
    assert shown == method_recipe("label-distance").model_dump(mode="json")


@pytest.mark.parametrize("name", ["[/bold]", "[red]a", "<b>"])
def test_class_names_with_markup_are_shown_as_they_are(capsys, name):
    from tellapart.cli.tables import show_table

    show_table([["class", "errors"], [name, "3"]])
    assert name in capsys.readouterr().out
