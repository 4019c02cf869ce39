from __future__ import annotations

import csv
import itertools
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tellapart.data.reading.rows import read_data
from tellapart.data.reading.tables import read_table

NEW = [
    f"{subject} {phrase}"
    for subject, phrase in itertools.product(
        ("a card", "my new card", "the company card", "her debit card", "our card"),
        (
            "was lost by a thief",
            "is missing or stolen",
            "has expired",
            "got robbed in town",
            "is missing this month",
        ),
    )
]
ADDED = ["suggested_label", "second_label", "probability", "second_probability", "margin", "pair"]


def _write(path: Path, header: list[str], rows) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def pool(tmp_path, tickets) -> Path:
    """New texts, a duplicate, training texts, an empty text and a row with a label."""
    rows = [[f"n{number}", text, ""] for number, text in enumerate([*NEW, NEW[0].upper()])]
    rows += [[f"o{number}", text, ""] for number, (text, _) in enumerate(tickets[::40])]
    rows += [["e", " ", ""], ["f", "this card is labelled already", "lost"]]
    return _write(tmp_path / "pool.csv", ["number", "text", "label"], rows)


def test_suggest_writes_new_texts_with_the_least_margin_and_says_what_to_do(
    tellapart, trained, ticket_file, pool, tmp_path
):
    batch = tmp_path / "batch.csv"
    finished = tellapart("suggest", trained, pool, "-n", "6", "--output", batch)
    assert finished.code == 0, finished.err
    assert "6 of 26 new texts" in finished.out
    assert "left out: 5 in the run's data, 1 empty, 1 with a label" in finished.out
    assert f"add the rows to {ticket_file}" in finished.out
    assert finished.out.splitlines()[-1].endswith(f"tellapart train {batch}")
    assert 'note: Columns: texts from "text"' in finished.err
    table = read_table(batch)
    assert table.column_names == ["number", "text", "label", *ADDED]
    rows = table.to_pylist()
    assert len({row["text"].lower() for row in rows}) == 6
    assert all(row["number"].startswith("n") and row["label"] == "" for row in rows)
    margins = [float(row["margin"]) for row in rows]
    assert margins == sorted(margins)
    for row in rows:
        assert float(row["probability"]) - float(row["second_probability"]) == pytest.approx(
            float(row["margin"]), abs=2e-4
        )
        assert sorted([row["suggested_label"], row["second_label"]]) == sorted(row["pair"].split(" / "))


def test_the_filled_file_can_be_trained_on(tellapart, trained, pool, tmp_path, quick):
    batch = tmp_path / "batch.csv"
    assert tellapart("suggest", trained, pool, "-n", "20", "--output", batch, "--quiet").code == 0
    rows = read_table(batch).to_pylist()
    names = itertools.cycle(["lost", "stolen"])
    _write(batch, list(rows[0]), [list((row | {"label": next(names)}).values()) for row in rows])
    assert read_data(batch).labels.names == ("lost", "stolen")
    assert tellapart("train", batch, "--method", "tfidf", "--output", tmp_path / "run").code == 0


def test_a_smaller_pool_is_written_whole_and_in_other_formats(tellapart, trained, pool, tmp_path):
    for name in ("batch.jsonl", "batch.parquet"):
        finished = tellapart("suggest", trained, pool, "--output", tmp_path / name)
        assert "no more than 25 different new texts, 50 were asked for" in finished.out
        table = read_table(tmp_path / name)
        assert len(table) == 25
        assert table["label"].null_count == 25
    again = tellapart("suggest", trained, pool, "--output", tmp_path / "batch.jsonl")
    assert (again.code, "nothing is overwritten" in again.err) == (2, True)
    printed = tellapart("suggest", trained, pool, "-n", "3", "--output", tmp_path / "b.json", "--json")
    assert json.loads(printed.out)["rows"] == 3


def test_label_studio_gets_tasks_with_predictions_and_a_configuration(tellapart, trained, pool, tmp_path):
    batch = tmp_path / "tasks.json"
    options = ("--output", batch, "--format", "label-studio")
    finished = tellapart("suggest", trained, pool, "-n", "4", *options)
    assert finished.code == 0, finished.err
    assert "tasks.xml" in finished.out
    tasks = json.loads(batch.read_text())
    assert len(tasks) == 4
    view = ET.parse(tmp_path / "tasks.xml").getroot()
    choices = view.find("Choices")
    for task in tasks:
        assert task["data"]["text"] in NEW
        assert "label" not in task["data"]
        (prediction,) = task["predictions"]
        (result,) = prediction["result"]
        assert (result["from_name"], result["to_name"]) == (choices.get("name"), choices.get("toName"))
        assert result["value"]["choices"] == [task["data"]["suggested_label"]]
        assert prediction["score"] == task["data"]["probability"]
    assert view.find("Text").get("value") == "$text"
    assert [one.get("value") for one in choices] == ["expired", "lost", "stolen"]


def test_the_columns_of_the_training_are_read_and_left_to_be_filled(tellapart, tickets, tmp_path):
    data = _write(
        tmp_path / "data.csv", ["body", "other", "queue"], [[text, "x", name] for text, name in tickets]
    )
    given = ("--text", "body", "--label", "queue", "--method", "tfidf")
    assert tellapart("train", data, *given, "--output", tmp_path / "run").code == 0
    pool = _write(tmp_path / "pool.csv", ["other", "body"], [["y", text] for text in NEW])
    finished = tellapart("suggest", tmp_path / "run", pool, "-n", "5", "--output", tmp_path / "batch.csv")
    assert finished.code == 0, finished.err
    assert finished.out.splitlines()[-1].endswith("--text body --label queue")
    assert read_table(tmp_path / "batch.csv").column_names == ["other", "body", "queue", *ADDED]


def test_pairs_are_suggested_as_pairs(tellapart, tickets, tmp_path):
    rows = [[text, other, str(name == "lost")] for (text, name), (other, _) in itertools.pairwise(tickets)]
    data = _write(tmp_path / "data.csv", ["text", "text_pair", "label"], rows)
    assert tellapart("train", data, "--method", "tfidf", "--output", tmp_path / "run").code == 0
    new = [[text, other, ""] for text, other in itertools.pairwise(NEW)]
    pool = _write(tmp_path / "pool.csv", ["text", "text_pair", "label"], [*new, [*rows[0][:2], ""]])
    options = ("-n", "5", "--output", tmp_path / "b.json", "--format", "label-studio")
    finished = tellapart("suggest", tmp_path / "run", pool, *options)
    assert finished.code == 0, finished.err
    assert "left out: 1 in the run's data" in finished.out
    assert {
        (one["data"]["text"], one["data"]["text_pair"])
        for one in json.loads((tmp_path / "b.json").read_text())
    } <= {tuple(row[:2]) for row in new}
    assert 'value="$text_pair"' in (tmp_path / "b.xml").read_text()


def test_a_plain_checkpoint_and_moved_data_give_a_note(tellapart, trained, pool, tmp_path):
    import shutil

    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(Path(trained) / "model", checkpoint)
    finished = tellapart("suggest", checkpoint, pool, "-n", "3", "--output", tmp_path / "a.csv")
    assert finished.code == 0, finished.err
    assert "is no run folder" in finished.err
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("tickets.csv", "moved.csv"))
    finished = tellapart("suggest", run / "model", pool, "-n", "3", "--output", tmp_path / "b.csv")
    assert finished.code == 0, finished.err
    assert "cannot be read (there is no file" in finished.err


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("-n", "0"), "-n"),
        (("--output", "batch.docx"), "the format of batch.docx is unknown"),
        (("--output", "batch.csv", "--format", "label-studio"), "Label Studio imports JSON"),
        (("--text", "txt"), 'no column "txt" (did you mean "text"?)'),
    ],
)
def test_a_mistake_is_one_sentence(tellapart, trained, pool, tmp_path, monkeypatch, given, sentence):
    monkeypatch.chdir(tmp_path)
    finished = tellapart("suggest", trained, pool, "--output", tmp_path / "b.csv", *given)
    assert finished.code == 2
    assert sentence in finished.err


def test_a_pool_without_new_texts_is_refused(tellapart, trained, ticket_file, tmp_path):
    finished = tellapart("suggest", trained, ticket_file, "--output", tmp_path / "b.csv", "--quiet")
    assert finished.code == 2
    assert f"{ticket_file} has no new texts (192 in the run's data): give unlabelled texts" in finished.err
    taken = _write(tmp_path / "taken.csv", ["text", "margin"], [["a new card", "1"]])
    finished = tellapart("suggest", trained, taken, "--output", tmp_path / "b.csv", "--quiet")
    assert (finished.code, 'has a column "margin"' in finished.err) == (2, True)


@pytest.mark.parametrize("kind", ["numbers", "several labels per text"])
def test_models_without_one_class_per_text_are_refused(tellapart, tickets, pool, tmp_path, kind):
    numbers = kind == "numbers"
    rows = [[text, number / 7 if numbers else f"{name}|card"] for number, (text, name) in enumerate(tickets)]
    data = _write(tmp_path / "data.csv", ["text", "label"], rows)
    options = ("--regression",) if numbers else ("--label-delimiter", "|")
    settings = ("--method", "tfidf", *options, "--output", tmp_path / "run")
    assert tellapart("train", data, *settings).code == 0
    finished = tellapart("suggest", tmp_path / "run", pool, "--output", tmp_path / "b.csv")
    assert finished.code == 2
    assert f"the model predicts {kind}" in finished.err
