from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tellapart.reproduction.request import protocols


@pytest.fixture
def table(ticket_file, tmp_path) -> Path:
    """A table of two quick methods on the tickets."""
    content = {
        "title": "Tickets",
        "encoders": {"bert": "no-such-encoder"},
        "trials": 2,
        "settings": {"encoder.max_length": 24},
        "columns": {"tickets": {"name": "Tickets", "source": str(ticket_file)}},
        "rows": {
            "tfidf": {"name": "SVM", "method": "tfidf"},
            "frozen": {"name": "Probe | B", "method": "frozen"},
        },
        "figures": {"tfidf": {"tickets": 90.5}},
    }
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def test_a_table_of_ones_own_is_run_from_its_file(tellapart, table, tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ("reproduce", table, "--encoder", tiny_encoder, "--set", "encoder.max_length=20", "--seed", 1)
    finished = tellapart(*arguments)
    assert finished.code == 0
    for shown in ("90.5 / ", "Probe | B against SVM:", "written to runs/mine: mine.html, mine.json, mine.md"):
        assert shown in finished.out
    lines = finished.err.splitlines()
    runs = [line for line in lines if not line.startswith("note: ")]
    assert len(runs) == 4
    assert runs[-1].startswith("4/4 tickets frozen seed 2: accuracy")
    assert lines[0] == "note: tickets: 192 train rows."
    assert 'note: tickets: Columns: texts from "text", labels from "label".' in lines[: lines.index(runs[0])]
    content = json.loads(Path("runs/mine/mine.json").read_text())
    assert content["seeds"] == [1, 2]
    assert content["encoders"] == {"bert": tiny_encoder}
    assert content["command"].startswith(
        f"tellapart reproduce {table} --encoder {tiny_encoder} --seed 1 --set"
    )
    assert tellapart(*arguments).code == 2
    again = tellapart(*arguments, "--resume", "--quiet", "--json")
    assert json.loads(again.out) == content
    assert again.err == ""


def test_cells_whose_encoder_is_not_there_are_named_and_the_others_run(tellapart, table, tmp_path):
    finished = tellapart("reproduce", table, "--trials", 1, "--quiet", "--output", tmp_path / "out")
    assert finished.code == 0
    assert "failed: " in finished.out
    assert "no-such-encoder" in finished.out
    assert "Tickets (Probe | B)" in finished.out


def test_a_budget_and_a_choice_of_rows_are_kept(tellapart, table, tmp_path):
    options = (
        "--rows",
        "tfidf",
        "--columns",
        "tickets",
        "--budget",
        "0s",
        "--output",
        tmp_path / "out",
        "--json",
    )
    content = json.loads(tellapart("reproduce", table, *options).out)
    cells = content["columns"]["tickets"]["metrics"]["accuracy"]
    assert set(cells["tfidf"]["missing"].values()) == {"did not fit into the budget"}
    assert set(cells["frozen"]["missing"].values()) == {"not asked for"}


def test_a_plan_counts_and_writes_nothing(tellapart, table, tiny_encoder, tmp_path):
    arguments = ("reproduce", table, "--encoder", tiny_encoder, "--output", tmp_path / "out")
    finished = tellapart(*arguments, "--plan", "--trials", 3)
    assert finished.code == 0
    for name in ("tickets", "total"):
        line = next(line for line in finished.out.splitlines() if line.split()[:1] == [name])
        assert line.split()[1:] == ["6", "0", "0", "6"]
    assert f"run it: tellapart reproduce {table} --encoder {tiny_encoder} --trials 3" in finished.out
    assert not (tmp_path / "out").exists()
    assert tellapart(*arguments, "--trials", 1, "--quiet").code == 0
    content = json.loads(tellapart(*arguments, "--plan", "--json").out)
    assert content["total"] == {"cells": 4, "finished": 2, "failed": 0, "left": 2}


def test_a_plan_counts_cells_that_failed(tellapart, table, tmp_path):
    arguments = ("reproduce", table, "--trials", 1, "--output", tmp_path / "out")
    assert tellapart(*arguments, "--quiet").code == 0
    content = json.loads(tellapart(*arguments, "--plan", "--json").out)
    assert content["columns"]["tickets"] == {"cells": 2, "finished": 1, "failed": 1, "left": 0}


def test_the_tables_are_listed(tellapart):
    shown = tellapart("reproduce", "list").out
    listed = json.loads(tellapart("reproduce", "list", "--json").out)
    assert set(listed) == set(protocols())
    assert all(name in shown for name in listed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("clld-table9",), 'no table "clld-table9" (did you mean "clld-table'),
        (("nothing.yaml",), "there is no recipe file nothing.yaml"),
        (("clld-table3", "--budget", "soon"), '"soon" is no length of time'),
        (("clld-table3", "--encoder", "brt=x", "--rows", "cct"), 'did you mean "ct"'),
    ],
)
def test_mistakes_are_told_in_one_line(tellapart, arguments, message, tmp_path):
    finished = tellapart("reproduce", *arguments, "--output", tmp_path / "out")
    assert finished.code == 2
    assert message in finished.err
    assert len(finished.err.splitlines()) == 1


# ---- Tables that measure something else than classifiers ----


@pytest.fixture(scope="module")
def notes(tickets, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "notes.txt"
    path.write_text("\n".join(text for text, _ in tickets))
    return path


@pytest.fixture(scope="module")
def synonyms(tiny_encoder, tiny_wordnet, tmp_path_factory) -> Path:
    from tellapart.encoders.loading import load_tokenizer
    from tellapart.pretraining.synonyms import build_wordnet_table
    from tellapart.wordnet.reader import WordNet

    path = tmp_path_factory.mktemp("synonyms") / "synonyms.safetensors"
    build_wordnet_table(load_tokenizer(tiny_encoder), WordNet(tiny_wordnet)).save(path)
    return path


def _pretrained(notes: Path, steps: int) -> tuple[object, ...]:
    settings = (f"texts={notes}", f"steps={steps}", "max_length=24")
    return tuple(word for setting in settings for word in ("--set", f"pretraining.{setting}"))


def test_the_checkpoints_of_table_2_are_counted(tellapart, notes, synonyms, tiny_encoder, tmp_path):
    finished = tellapart(
        "reproduce", "true-negatives-table2", "--encoder", f"bert-base={tiny_encoder}", "--rows",
        "bert-base-corrections", "--trials", 1, *_pretrained(notes, 12), "--set", f"source={notes}",
        "--set", f"synonyms={synonyms}", "--set", f"pretraining.synonyms={synonyms}", "--set", "max_length=24",
        "--quiet", "--json", "--output", tmp_path / "out",
    )  # fmt: skip
    assert finished.code == 0, finished.err
    content = json.loads(finished.out)
    for column in ("at-6-25", "at-12-5", "at-25", "at-50", "at-80", "at-100"):
        for metric in ("iteration_level", "prediction_level"):
            cell = content["columns"][column]["metrics"][metric]["bert-base-corrections"]
            assert set(cell["scores"]) == {"0"}, cell["missing"]
        assert content["columns"][column]["data"]["source"] == str(notes)
    page = (tmp_path / "out" / "true-negatives-table2.md").read_text()
    assert "6.25 %, iteration level | 6.25 %, prediction level" in page
    assert f"Rows of {notes}: 192 lines" in page


def test_tables_4_and_5_share_what_they_train(tellapart, notes, tiny_wordnet, squad_file, tmp_path):
    content = json.loads(squad_file.read_text())
    paragraphs = [one for one in content["data"][0]["paragraphs"] if one["qas"][0]["answers"]]
    paragraphs[0]["qas"][0]["question"] = "what was lost 3 times?"
    for name, rows in (("train", paragraphs[10:]), ("dev", paragraphs[:10])):
        (tmp_path / f"{name}.json").write_text(json.dumps({"data": [{"paragraphs": rows}]}))
    tiny = ("vocabulary_size=150", "hidden_size=16", "layers=1", "heads=2")
    model = [word for setting in tiny for word in ("--set", f"pretraining.{setting}")]
    arguments = (
        "--encoder", "electra-small=new", "--rows", "electra-small-squad", "--trials", 1, *_pretrained(notes, 2),
        *model, "--set", f"source={tmp_path / 'dev.json'}", "--set", f"train={tmp_path / 'train.json'}",
        "--set", "max_length=24", "--set", "stride=4", "--set", "epochs=0.2", "--output", tmp_path / "out",
    )  # fmt: skip
    four = tellapart("reproduce", "true-negatives-table4", "--encoder", "electra-base=new", *arguments)
    assert four.code == 0, four.err
    assert "SQuAD, EM" in four.out
    assert "squad electra-small-squad seed 0: exact_match" in four.err
    trained = (tmp_path / "out" / "models" / "electra-small-squad-seed0" / "metrics.json").stat().st_mtime_ns
    five = tellapart(
        "reproduce", "true-negatives-table5", *arguments, "--resume", "--json", "--quiet",
        "--columns", "add-sentence", "--set", f"wordnet={tiny_wordnet}",
    )  # fmt: skip
    assert five.code == 0, five.err
    cells = json.loads(five.out)["columns"]["add-sentence"]["metrics"]
    assert cells["changed_questions"]["electra-small-squad"]["scores"] == {"0": 0.1}
    assert cells["exact_match_before"]["electra-small-squad"]["paper"] == 80.55
    assert (
        tmp_path / "out" / "models" / "electra-small-squad-seed0" / "metrics.json"
    ).stat().st_mtime_ns == trained
    assert {path.stem for path in (tmp_path / "out").glob("*.html")} == {
        "true-negatives-table4",
        "true-negatives-table5",
    }
