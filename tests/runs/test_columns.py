"""The columns that training read are stored beside the model, and read again by every verb."""

from __future__ import annotations

import csv
import json
import shutil
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tellapart.cli import main
from tellapart.data.reading.columns import ColumnNames
from tellapart.errors import DataError, ModelError
from tellapart.evaluation.decision import DECISION_FILE
from tellapart.fitting.loading import load_fitted, trained_columns
from tellapart.runs import export as exporting
from tellapart.runs.evaluate import evaluate
from tellapart.runs.export import export
from tellapart.runs.predict import predict
from tellapart.runs.robustness import robustness

NAMES = ["body", "title", "queue"]


def _write(path, rows, names=NAMES):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])
    return path


@pytest.fixture(scope="module")
def file(tickets, tmp_path_factory):
    """The tickets in the column `title`, beside a column `body` of the same words for all, which has a usual name."""
    path = tmp_path_factory.mktemp("columns") / "tickets.csv"
    return _write(path, [("my card", text, label) for text, label in tickets])


@pytest.fixture(scope="module")
def run(file, quick):
    """The folder of a run that was trained on titles."""
    folder = file.parent / "run"
    options = ["--text", "title", "--label", "queue", *quick]
    with pytest.raises(SystemExit) as end:
        main(["train", str(file), *options, "--output", str(folder)])
    assert not end.value.code
    return folder


def test_the_columns_are_stored_beside_the_model(run):
    stored = json.loads((run / "model" / DECISION_FILE).read_text())
    assert stored == {"columns": {"text": "title", "label": "queue"}}
    assert trained_columns(run) == trained_columns(run / "model") == ColumnNames("title", label="queue")


def test_every_verb_reads_the_columns_of_the_training(run, file, tiny_wordnet, tmp_path):
    said: list[str] = []
    assert evaluate(run, file, announce=said.extend)["accuracy"] > 0.9
    predict(run, file, tmp_path / "out.csv", quiet=True, announce=said.extend)
    with (tmp_path / "out.csv").open(encoding="utf-8") as labelled:
        rows = list(csv.DictReader(labelled))
    assert sum(row["predicted_label"] == row["queue"] for row in rows) > 0.9 * len(rows)
    found = robustness(run, file, tmp_path / "robust", wordnet=tiny_wordnet, quiet=True, announce=said.extend)
    assert found.before > 0.9
    text, labels = 'texts from "title"', 'labels from "queue"'
    read = [note for note in said if note.startswith("Columns")]
    assert read == [f"Columns: {text}, {labels}.", f"Columns: {text}.", f"Columns: {text}, {labels}."]


def test_an_export_reads_and_keeps_the_columns(run, file, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    said: list[str] = []
    found: dict[str, Any] = {}

    def export_onnx(model, tokenizer, rows, folder, **options):
        folder.mkdir()
        found.update(options, lengths=rows.lengths)

    monkeypatch.setattr(exporting, "export_onnx", export_onnx)
    export(run, tmp_path / "onnx", check=file, announce=said.extend)
    assert said == ['Columns: texts from "title".']
    assert found["columns"] == trained_columns(run)
    assert len(set(found["lengths"].tolist())) > 1  # the bodies are all of one length


@pytest.mark.parametrize("missing", ["title", "queue"])
def test_a_file_without_the_column_is_refused_until_it_is_named(run, tickets, tmp_path, missing):
    names = [{missing: "other"}.get(name, name) for name in NAMES]
    other = _write(tmp_path / "new.csv", [("my card", text, label) for text, label in tickets], names)
    option = "text" if missing == "title" else "label"
    with pytest.raises(DataError, match=f'no column "{missing}", from which the training.*--{option} '):
        evaluate(run, other)
    assert evaluate(run, other, **{option: "other"})["accuracy"] > 0.9
    if missing == "title":
        for verb in (predict, export):
            keywords = {"output": tmp_path / "out.csv"} if verb is predict else {"check": other}
            given = [run, other] if verb is predict else [run, tmp_path / "onnx"]
            with pytest.raises(DataError, match="--text"):
                verb(*given, **keywords)
    else:
        assert predict(run, other, tmp_path / "out.csv", quiet=True) == len(tickets)


def test_a_model_of_an_older_version_finds_columns_by_their_names_as_before(run, file, tmp_path):
    old = shutil.copytree(run / "model", tmp_path / "old")
    (old / DECISION_FILE).unlink()
    said: list[str] = []
    assert evaluate(old, file, label="queue", announce=said.extend)["accuracy"] < 0.5
    assert said == ['Columns: texts from "body", labels from "queue".']
    assert evaluate(old, file, text="title", label="queue")["accuracy"] > 0.9


def test_loading_and_saving_keep_the_columns(run, tmp_path):
    load_fitted(run).save(tmp_path / "copy")
    assert trained_columns(tmp_path / "copy") == trained_columns(run)


@pytest.mark.parametrize("columns", ['{"text": 3}', "[]", '"title"'])
def test_a_damaged_file_of_columns_is_one_sentence(run, file, tmp_path, columns):
    damaged = shutil.copytree(run / "model", tmp_path / "damaged")
    (damaged / DECISION_FILE).write_text(f'{{"columns": {columns}}}')
    with pytest.raises(ModelError, match="cannot be read"):
        predict(damaged, file, tmp_path / "out.csv", quiet=True)


def test_merged_models_keep_the_columns(file, quick, tmp_path):
    options = ["--text", "title", "--label", "queue", *quick, "--epochs", "1"]
    with pytest.raises(SystemExit) as end:
        main(
            [
                "train",
                str(file),
                *options,
                "--trials",
                "2",
                "--merge",
                "soup",
                "--output",
                str(tmp_path / "run"),
            ]
        )
    assert not end.value.code
    assert trained_columns(tmp_path / "run") == ColumnNames("title", label="queue")


def test_pairs_and_several_labels_are_read_as_in_the_training(tickets, tmp_path):
    names = ["text", "question", "reply", "marks"]
    rows = [("nothing", text, text, f"{label};all") for text, label in tickets]
    file = _write(tmp_path / "pairs.csv", rows, names)
    options = ["--text", "question", "--text-pair", "reply", "--label", "marks", "--label-delimiter", ";"]
    with pytest.raises(SystemExit) as end:
        main(
            ["train", str(file), *options, "--method", "tfidf", "--quiet", "--output", str(tmp_path / "run")]
        )
    assert not end.value.code
    said: list[str] = []
    assert evaluate(tmp_path / "run", file, announce=said.extend)["micro_f1"] > 0.9
    assert said[0] == 'Columns: texts from "question", second texts from "reply", labels from "marks".'
    alone = _write(tmp_path / "alone.csv", [row[:2] for row in rows], names[:2])
    with pytest.raises(
        DataError, match=r'no column "reply", .* second texts: name the column with --text-pair'
    ):
        predict(tmp_path / "run", alone, tmp_path / "out.csv")


def test_what_was_read_is_printed_even_when_quiet(run, file, tmp_path, capsys):
    for command in (["evaluate", run, file], ["predict", run, file, "--output", tmp_path / "out.csv"]):
        capsys.readouterr()
        with pytest.raises(SystemExit):
            main([*map(str, command), "--quiet", "--json"])
        shown = capsys.readouterr()
        assert 'note: Columns: texts from "title"' in shown.err
        json.loads(shown.out)


# ---- The columns that predict adds ----


@pytest.mark.parametrize("taken", ["probability", "predicted_label"])
def test_predict_never_replaces_a_column_of_the_file(run, tickets, tmp_path, taken):
    names = ["title", "queue", taken]
    file = _write(tmp_path / "mine.csv", [(text, label, "mine") for text, label in tickets], names)
    output = tmp_path / "out.csv"
    with pytest.raises(DataError, match=f'has a column "{taken}".*--prefix model_ '):
        predict(run, file, output, quiet=True)
    assert not output.exists()
    predict(run, file, output, prefix="model_", quiet=True)
    with output.open(encoding="utf-8") as labelled:
        rows = list(csv.DictReader(labelled))
    assert list(rows[0]) == [*names, "model_predicted_label", "model_probability"]
    assert {row[taken] for row in rows} == {"mine"}


def test_predicting_again_keeps_both_predictions(run, file, tmp_path):
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    predict(run, file, first, prefix="a_", quiet=True)
    predict(run, first, second, prefix="b_", quiet=True)
    table = pq.read_table(second)
    assert table.column_names == [
        *NAMES,
        *(f"{p}_{n}" for p in "ab" for n in ("predicted_label", "probability")),
    ]
    with pytest.raises(DataError, match="--prefix model_b_ "):
        predict(run, second, tmp_path / "third.csv", prefix="b_", quiet=True)


def test_a_symbolic_link_is_written_through_to_its_target(run, file, tmp_path):
    target, link = tmp_path / "elsewhere" / "target.parquet", tmp_path / "link.parquet"
    target.parent.mkdir()
    pq.write_table(pa.table({"predicted_label": ["lost"]}), target)
    link.symlink_to(target)
    predict(run, file, link, quiet=True)
    assert link.is_symlink()
    assert "probability" in pq.read_schema(target).names
    assert [path.name for path in target.parent.iterdir()] == ["target.parquet"]
