from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def files(tickets, tmp_path_factory) -> Path:
    """A folder with every sixth ticket labelled, and all of them in another file."""
    folder = tmp_path_factory.mktemp("unlabelled")
    (folder / "data").mkdir()
    parts = {"train": tickets[::6], "validation": tickets[1::12], "test": tickets[2::12]}
    for name, rows in {**{f"data/{part}": rows for part, rows in parts.items()}, "more": tickets}.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    (folder / "more.txt").write_text("".join(f"{text}\n" for text, _ in tickets[3:60]))
    (folder / "only.txt").write_text("".join(f"{text}\n" for text, _ in parts["test"]))
    return folder


def test_one_command_trains_on_unlabelled_texts_and_reports_them(tellapart, files, quick, tmp_path):
    run = tmp_path / "run"
    loud = [argument for argument in quick if argument != "--quiet"]
    done = tellapart(
        "train", files / "data", *loud, "--unlabelled", files / "more.csv", "--output", run,
        "--set", "self_training.epochs=2",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert 'more.csv (column "label") are not used for training' in done.err
    assert "112 of 192 unlabelled texts can be used: 32 equal training rows" not in done.err
    assert "16 equal test rows, 16 equal validation rows and 32 equal training rows" in done.err
    assert "Round 1 of self-training: 90 of 128 unlabelled texts were used" in done.err
    assert "For information" in done.err
    metrics = json.loads((run / "metrics.json").read_text())
    (report,) = metrics["self_training"]["rounds"]
    assert metrics["rows"] == {"train": 32, "validation": 16, "test": 16, "unlabelled": 128}
    assert report["used"] == sum(report["per_class"].values()) == report["known_labels"]["rows"] == 90
    page = (run / "report.html").read_text()
    assert "Unlabelled texts" in page
    assert "known labels are not used" in page
    assert not (run / "checkpoints").exists()


def test_the_encoder_is_pre_trained_on_the_same_texts_in_the_same_run(
    tellapart, files, quick, tiny_wordnet, tiny_encoder, tmp_path, monkeypatch
):
    monkeypatch.setenv("WNSEARCHDIR", str(tiny_wordnet))
    settings = ["pretrain=hard", "pretrain_steps=3", "epochs=1"]
    given = [word for setting in settings for word in ("--set", f"self_training.{setting}")]
    done = tellapart(
        "train", files / "data", *quick, *given, "--unlabelled", files / "more.txt", "--output", tmp_path / "run"
    )  # fmt: skip
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    texts = metrics["rows"]["unlabelled"] + 32
    assert metrics["self_training"]["pretraining"] == {"correction": "hard", "texts": texts}
    assert f"name: {tiny_encoder}\n" in (tmp_path / "run" / "recipe.yaml").read_text()


def test_a_comparison_keeps_the_report_of_each_trial(tellapart, files, quick, tmp_path):
    done = tellapart(
        "compare", files / "data", "--encoder", "tfidf", "--methods", "tfidf", "--trials", "2", "--quiet",
        "--unlabelled", files / "more.txt", "--output", tmp_path / "out",
    )  # fmt: skip
    assert done.code == 0, done.err
    for seed in (0, 1):
        trial = json.loads((tmp_path / "out" / "trials" / f"tfidf-seed{seed}.json").read_text())
        assert len(trial["self_training"]["rounds"]) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--unlabelled", "only.txt"], "no text of only.txt can be used: of 16 rows, 16 equal test rows"),
        (["--unlabelled", "missing.csv"], "missing.csv"),
        (["--unlabelled", "rest"], "all were drawn"),
        (["--unlabelled", "more.csv", "--text", "body"], 'no column "body"'),
        (["--unlabelled", "more.txt", "--set", "self_training.rounds=4"], "rounds"),
        (["--unlabelled", "more.txt", "--set", "self_training.share=0"], "share"),
        (
            ["--unlabelled", "more.txt", "--set", "self_training.pretrain=hard", "--encoder", "han"],
            "han has no",
        ),
    ],
)
def test_a_mistake_is_one_sentence(tellapart, files, options, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(files)
    done = tellapart("train", "data", "--quiet", "--output", tmp_path / "run", *options)
    assert done.code == 2
    assert sentence in done.err.replace("\n", " ")
    assert "Traceback" not in done.err
