from __future__ import annotations

import json
from pathlib import Path

import pytest

NEW = ("--encoder", "new", "--vocabulary-size", 150, "--hidden-size", 16, "--layers", 1, "--heads", 2)
SHORT = ("--max-length", 24, "--steps", 6)


@pytest.fixture(scope="module")
def texts(tickets, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "a.txt").write_text("\n".join(text for text, _ in tickets))
    return folder


def test_an_encoder_from_nothing_is_written_and_then_learns_to_classify(
    tellapart, texts, ticket_file, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    finished = tellapart("pretrain", texts, *NEW, *SHORT, "--whole-words")
    folder = Path("runs") / f"{texts.name}-pretrain-mlm"
    assert finished.code == 0, finished.err
    assert f"written to {folder}" in finished.out
    assert finished.out.splitlines()[-1] == f"next: tellapart train DATA --encoder {folder}"
    lines = finished.err.splitlines()
    (note,) = [line for line in lines if "192 sequences with" in line]
    phases = [line for line in lines if not line.startswith("note: ")]
    assert [phase.partition(" ")[0] for phase in phases] == ["preparation:", "pre-training", "evaluation:"]
    assert lines.index(note) < lines.index(phases[1])
    trained = tellapart(
        "train", ticket_file, "--encoder", folder, "--max-length", 24, "--epochs", 1, "--quiet",
        "--output", tmp_path / "classifier",
    )  # fmt: skip
    assert trained.code == 0, trained.err


def test_json_is_the_metrics_and_nothing_else(tellapart, texts, tmp_path):
    finished = tellapart("pretrain", texts, *NEW, *SHORT, "--json", "--output", tmp_path / "run")
    printed = json.loads(finished.out)
    assert printed.pop("folder") == str(tmp_path / "run")
    assert printed == json.loads((tmp_path / "run" / "metrics.json").read_text())
    again = tellapart("pretrain", texts, *NEW, *SHORT, "--output", tmp_path / "run")
    assert (again.code, "is not empty" in again.err) == (2, True)


def test_statistics_are_a_table_or_json(tellapart, texts, tmp_path, monkeypatch):
    tellapart("pretrain", texts, *NEW, *SHORT, "--quiet", "--output", tmp_path / "run")
    import torch

    from tellapart.encoders.loading import load_tokenizer
    from tellapart.pretraining.synonyms import SynonymTable
    from tellapart.pretraining.vocabulary import vocabulary_fingerprint

    tokenizer = load_tokenizer(str(tmp_path / "run"))
    size = len(tokenizer)
    keys = torch.arange(size * size)
    table = SynonymTable(keys[keys // size != keys % size], size, vocabulary_fingerprint(tokenizer), "all")
    table.save(tmp_path / "all.safetensors")
    arguments = ("pretrain-stats", tmp_path / "run", texts, "--synonyms", tmp_path / "all.safetensors")
    [counts] = json.loads(tellapart(*arguments, "--json", "--quiet").out)
    assert (counts["prediction_level"], counts["sequences"]) == (1.0, 192)
    shown = tellapart(*arguments, "--quiet").out
    assert "100.00" in shown
    assert f"{100 * counts['accuracy']:.2f}" in shown


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "no texts are named"),
        (["missing.txt"], "there is no file missing.txt"),
        (["TEXTS", "--correction", "softer"], "correction cannot be 'softer'"),
        (["TEXTS", "--layers", "3"], "layers applies to a new model"),
        (["TEXTS", "--set", "mask_shar=0.3"], 'did you mean "mask_share"'),
        (["TEXTS", "--text", "body"], "plain text and has no column"),
        (["BINARY", "--encoder", "new"], "zero byte"),
        (["EMPTY", "--encoder", "TINY", "--max-length", "24"], "there is no text in"),
    ],
)
def test_a_mistake_is_one_sentence(
    tellapart, texts, tiny_encoder, tmp_path, monkeypatch, arguments, sentence
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary.txt").write_bytes(b"\0\1\2")
    (tmp_path / "empty.txt").write_bytes(b"\n")
    named = {
        "TEXTS": texts / "a.txt",
        "BINARY": tmp_path / "binary.txt",
        "EMPTY": tmp_path / "empty.txt",
        "TINY": tiny_encoder,
    }
    finished = tellapart("pretrain", *(named.get(argument, argument) for argument in arguments), "--quiet")
    assert finished.code == 2
    assert sentence in finished.err
    assert finished.err.count("\n") == 1
