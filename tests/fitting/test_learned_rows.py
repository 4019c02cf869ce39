from __future__ import annotations

import csv
import shutil

import pyarrow.parquet as pq
import pytest

from tellapart.data.examples import TextSplit
from tellapart.fitting import learned_rows
from tellapart.fitting.learned_rows import learned_rows_note
from tellapart.recipes import with_values
from tellapart.runs.train import train


@pytest.fixture(scope="module")
def source(ticket_file, tmp_path_factory):
    return shutil.copy(ticket_file, tmp_path_factory.mktemp("data") / "tickets.csv")


@pytest.fixture(scope="module")
def run(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "tickets"
    from tellapart.recipes import method_recipe

    recipe = with_values(method_recipe("tfidf"), [f"data.source={source}", "data.train_rows=100"])
    train(recipe, folder, quiet=True)
    return folder


@pytest.fixture
def rows(tickets):
    return TextSplit([text.upper() for text, _ in tickets])


def test_rows_that_the_run_was_trained_or_validated_on_are_counted(run, rows):
    (note,) = learned_rows_note(run / "model", rows)
    # 192 rows: 38 test rows, 15 of the others for validation, and 100 of the rest are drawn
    assert note.startswith(f"115 of 192 rows are training or validation rows of the run {run}:")


def test_test_rows_of_the_run_and_new_texts_are_no_such_rows(run):
    tested = pq.read_table(run / "predictions.parquet")["text"].to_pylist()
    assert len(tested) == 38
    assert learned_rows_note(run, TextSplit([*tested, "my parcel is late"])) == []


def test_all_rows_of_data_that_have_changed_are_counted(run, source, rows):
    with source.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[number, f"card {number}", "lost"] for number in range(40)])
    try:
        (note,) = learned_rows_note(run, rows)
        assert "192 of 192 rows are rows of the data of the run" in note
    finally:
        source.write_text("".join(source.read_text().splitlines(keepends=True)[:193]))


@pytest.mark.parametrize("fault", ["gone", "broken", "recipe", "large", "no run"])
def test_without_the_data_of_the_run_there_is_no_note(run, rows, tmp_path, monkeypatch, fault):
    folder = shutil.copytree(run, tmp_path / "run")
    data = tmp_path / "data.csv"
    if fault != "gone":
        data.write_text("nothing,that\ntells")
    recipe = folder / "recipe.yaml"
    written = recipe.read_text()
    if fault in ("gone", "broken"):
        source = next(line for line in written.splitlines() if line.strip().startswith("source:"))
        recipe.write_text(written.replace(source, f"  source: {data}"))
    elif fault == "recipe":
        recipe.write_text("{")
    elif fault == "large":
        monkeypatch.setattr(learned_rows, "MOST_BYTES", 10)
    else:
        recipe.unlink()
    assert learned_rows_note(folder, rows) == []
