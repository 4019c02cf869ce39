from __future__ import annotations

import csv
import json
import shlex

import numpy as np
import pyarrow.parquet
import pytest

from tellapart.data.reading.tables import read_table
from tellapart.runs import check as module


def write(path, rows, header=("text", "label")):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def swapped_file(tickets, tmp_path_factory):
    """The tickets with six swapped labels, and the numbers of these rows from 1."""
    numbers = np.random.default_rng(0).choice(len(tickets), 6, replace=False)
    names = sorted({label for _, label in tickets})
    rows = [list(row) for row in tickets]
    for number in numbers:
        rows[number][1] = names[(names.index(rows[number][1]) + 1) % len(names)]
    path = tmp_path_factory.mktemp("swapped") / "tickets.csv"
    return write(path, rows), {int(number) + 1 for number in numbers}


@pytest.fixture(scope="module")
def deep(tiny_encoder):
    """The options of an audit; the folder to write comes next."""
    return ("--deep", "--encoder", tiny_encoder, "--max-length", 24, "--output")


def test_the_rows_of_an_audit_are_read_once(tellapart, ticket_file, deep, tmp_path, monkeypatch):
    calls, real = [], module.read_task
    monkeypatch.setattr(module, "read_task", lambda *a, **k: calls.append(a) or real(*a, **k))
    assert tellapart("check", ticket_file, *deep, tmp_path / "audit", "--quiet").code == 0
    assert len(calls) == 1


def test_an_audit_finds_swapped_labels_and_relabel_puts_them_right(
    tellapart, swapped_file, tickets, deep, tmp_path
):
    data, swapped = swapped_file
    folder = tmp_path / "audit"
    options = (*deep, folder, "--quiet")
    report = json.loads(tellapart("check", data, *options, "--json").out)
    assert report["audit"] == json.loads((folder / "audit.json").read_text())
    assert "<h2>Suspect labels</h2>" in (folder / "audit.html").read_text()
    suspects = read_table(folder / "suspects.csv").to_pylist()
    assert list(suspects[0]) == ["split", "row", "text", "label", "suggested_label", "score"]
    swapped &= {int(row["row"]) for row in suspects}
    assert swapped  # a random encoder does not find them all

    # The user keeps the labels that were right, and makes sure of the others.
    for row in suspects:
        right = tickets[int(row["row"]) - 1][1]
        row["suggested_label"] = right if int(row["row"]) in swapped else ""
    edited = write(tmp_path / "edited.csv", [row.values() for row in suspects], suspects[0])
    cleaned = tmp_path / "cleaned.parquet"
    done = tellapart("relabel", data, edited, "--output", cleaned, "--json")
    assert json.loads(done.out) == {
        "output": str(cleaned),
        "log": str(cleaned) + ".changes.json",
        "changed": len(swapped),
        "kept": len(suspects) - len(swapped),
    }
    table = pyarrow.parquet.read_table(cleaned)
    before, after = read_table(data).to_pylist(), table.to_pylist()
    assert {row for row, (old, new) in enumerate(zip(before, after, strict=True), 1) if old != new} == swapped
    assert all((after[row - 1]["text"], after[row - 1]["label"]) == tickets[row - 1] for row in swapped)
    logged = json.loads((tmp_path / "cleaned.parquet.changes.json").read_text())
    assert {change["row"] for change in logged["changes"]} == swapped

    again = tellapart("relabel", data, edited, "--output", cleaned)
    assert (again.code, "exists" in again.err) == (2, True)


def test_the_result_is_shown_with_the_next_command(tellapart, swapped_file, deep, tmp_path):
    data, _ = swapped_file
    shown = tellapart("check", data, *deep, tmp_path / "a", "--quiet")
    assert "labels are suspect" in shown.out
    assert "Most suspect labels" in shown.out
    assert f"tellapart relabel {data} {tmp_path / 'a' / 'suspects.csv'} --output CLEANED" in shown.out
    refused = tellapart("check", data, *deep, tmp_path / "a")
    assert (refused.code, "not empty" in refused.err) == (2, True)


def test_several_splits_are_audited_together_and_become_a_folder(tellapart, tickets, deep, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    write(data / "train.csv", tickets[::2])
    write(data / "test.csv", tickets[1::2])
    report = tellapart("check", data, *deep, tmp_path / "a", "--json")
    assert json.loads(report.out)["audit"]["rows"] == {"train": 96, "test": 96}
    text, label = tickets[1]
    other = "stolen" if label != "stolen" else "lost"
    header = ["split", "row", "text", "label", "suggested_label"]
    edited = write(tmp_path / "edited.csv", [["test", 1, text, label, other]], header)
    refused = tellapart("relabel", data, edited, "--output", tmp_path / "cleaned.parquet")
    assert (refused.code, "give a folder" in refused.err) == (2, True)
    assert tellapart("relabel", data, edited, "--output", tmp_path / "cleaned").code == 0
    assert pyarrow.parquet.read_table(tmp_path / "cleaned" / "test.parquet")["label"][0].as_py() == other
    assert len(pyarrow.parquet.read_table(tmp_path / "cleaned" / "train.parquet")) == 96
    assert json.loads((tmp_path / "cleaned" / "changes.json").read_text())["changes"][0]["split"] == "test"


def test_several_labels_per_text_are_audited(tellapart, tickets, deep, tmp_path):
    rows = [(text, f"{label};today" if text.endswith("today") else label) for text, label in tickets]
    data = write(tmp_path / "data.csv", rows)
    given = ("--label-delimiter", ";")
    options = (*given, *deep, tmp_path / "a")
    audit = json.loads(tellapart("check", data, *options, "--json", "--quiet").out)["audit"]
    assert audit["classes"] == 4
    assert all(pair["overlapping"] is None for pair in audit["pairs"])
    header = ["split", "row", "text", "label", "suggested_label"]
    text, label = tickets[0]
    edited = write(tmp_path / "e.csv", [["train", 1, text, f'["{label}"]', f'["{label}", "today"]']], header)
    assert tellapart("relabel", data, edited, *given, "--output", tmp_path / "c.csv").code == 0
    assert read_table(tmp_path / "c.csv")["label"][0].as_py() == f"{label};today"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--deep", "--encoder", "textcnn"), "textcnn has no pre-trained vectors"),
        (("--deep", "--encoder", "no/where/at/all"), "no/where/at/all"),
        (("--output", "x"), "only an audit of the labels writes files"),
    ],
)
def test_what_cannot_be_audited_ends_in_one_sentence(tellapart, ticket_file, tmp_path, options, sentence):
    finished = tellapart(
        "check", ticket_file, *options, *(() if "--output" in options else ("--output", tmp_path / "a"))
    )
    assert (finished.code, finished.out) == (2, "")
    assert sentence in finished.err
    assert len(finished.err.splitlines()) == 1


def test_numeric_labels_are_refused(tellapart, score_file, tmp_path):
    finished = tellapart("check", score_file, "--regression", "--deep", "--output", tmp_path / "a")
    assert (finished.code, "numeric targets" in finished.err) == (2, True)


def test_classes_with_a_single_text_are_left_out_and_named(tellapart, tickets, deep, tmp_path):
    data = write(tmp_path / "data.csv", [*tickets, ("my card", "alone"), ("MY  card", "alone")])
    options = (*deep, tmp_path / "a", "--quiet")
    finished = tellapart("check", data, *options)
    assert "whose labels cannot be audited: alone (2 row(s))." in finished.out
    few = write(tmp_path / "few.csv", [("one", "a"), ("two", "b")])
    finished = tellapart("check", few, *deep, tmp_path / "b")
    assert (finished.code, "fewer than two classes" in finished.err) == (2, True)


def test_a_missing_cleanlab_is_one_sentence(tellapart, ticket_file, deep, tmp_path, monkeypatch):
    find = "tellapart.evaluation.label_quality.importlib.util.find_spec"
    monkeypatch.setattr(find, lambda name: None)
    finished = tellapart("check", ticket_file, *deep, tmp_path / "a")
    assert (finished.code, "pip install 'tellapart[audit]'" in finished.err) == (2, True)


@pytest.mark.parametrize("kind", ["file", "link", "log"])
def test_relabel_overwrites_nothing(tellapart, ticket_file, tickets, tmp_path, kind):
    text, label = tickets[0]
    header = ["split", "row", "text", "label", "suggested_label"]
    edited = write(
        tmp_path / "e.csv", [["train", 1, text, label, "stolen" if label == "lost" else "lost"]], header
    )
    output, log = tmp_path / "c.csv", tmp_path / "c.csv.changes.json"
    if kind == "link":
        output.symlink_to(tmp_path / "nowhere")
    else:
        (output if kind == "file" else log).write_text("mine")
    finished = tellapart("relabel", ticket_file, edited, "--output", output)
    assert (finished.code, "exists" in finished.err) == (2, True)
    assert not (tmp_path / "nowhere").exists()


def test_the_next_command_reads_the_columns_that_settings_name(tellapart, swapped_file, deep, tmp_path):
    rows = [[*row.values(), "card"] for row in read_table(swapped_file[0]).to_pylist()]
    data = write(tmp_path / "queues.csv", rows, ("body", "queue", "label"))
    settings = ("--set", "data.text=body", "--set", "data.label=queue", "--set", "seed=1")
    shown = tellapart("check", data, *settings, *deep, tmp_path / "audit", "--quiet")
    (command,) = [line for line in shown.out.splitlines() if line.startswith("tellapart relabel")]
    assert "seed" not in command
    cleaned = tmp_path / "cleaned.csv"
    words = shlex.split(command.replace("CLEANED", str(cleaned)))
    done = tellapart(*words[1:])
    assert done.code == 0, done.err
    before, after = read_table(data).to_pylist(), read_table(cleaned).to_pylist()
    changed = {name for old, new in zip(before, after, strict=True) for name in old if old[name] != new[name]}
    assert changed == {"queue"}


def test_suspects_beside_out_of_scope_rows_have_their_numbers_in_the_file(
    tellapart, swapped_file, deep, tmp_path
):
    rows = [[*row.values()] for row in read_table(swapped_file[0]).to_pylist()]
    mixed = [each for number, row in enumerate(rows) for each in ([f"hello {number}", "other"], row)]
    data = write(tmp_path / "mixed.csv", mixed)
    setting = ("--set", "data.out_of_scope=other")
    shown = tellapart("check", data, *setting, *deep, tmp_path / "audit", "--quiet")
    for row in read_table(tmp_path / "audit" / "suspects.csv").to_pylist():
        assert mixed[int(row["row"]) - 1] == [row["text"], row["label"]]
    (command,) = [line for line in shown.out.splitlines() if line.startswith("tellapart relabel")]
    cleaned = tmp_path / "cleaned.csv"
    done = tellapart(*shlex.split(command.replace("CLEANED", str(cleaned)))[1:])
    assert done.code == 0, done.err
    assert len(read_table(cleaned)) == len(mixed)


@pytest.mark.parametrize("setting", ["seed=1", "encoder.max_length=24", "data.few_shot=3"])
def test_relabel_refuses_settings_that_it_does_not_use(tellapart, swapped_file, tmp_path, setting):
    key = setting.partition("=")[0]
    refused = tellapart(
        "relabel", swapped_file[0], "suspects.csv", "--output", tmp_path / "out.csv", "--set", setting
    )
    assert (refused.code, f"relabel does not use {key}" in refused.err) == (2, True)
    assert not (tmp_path / "out.csv").exists()
