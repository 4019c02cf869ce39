"""`--encoder textcnn` and `--encoder han`: encoders that learn from the run's texts alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

QUICK = ("--epochs", 12, "--learning-rate", 0.01, "--quiet")


@pytest.fixture(scope="module")
def chinese_file(tmp_path_factory) -> Path:
    classes = {"lost": ("丢了", "找不到了", "不见了"), "stolen": ("被偷了", "被小偷拿走了", "被抢了")}
    path = tmp_path_factory.mktemp("data") / "chinese.csv"
    rows = [
        f"{start}{subject}{phrase}{end},{label}"
        for label, phrases in classes.items()
        for phrase in phrases
        for subject in ("我的银行卡", "她的信用卡", "公司的卡")
        for start in ("", "昨天", "今天在火车站")
        for end in ("。", "！怎么办？")
    ]
    path.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    return path


@pytest.mark.parametrize("encoder", ["textcnn", "han"])
@pytest.mark.parametrize("language", ["English", "Chinese"])
def test_train_evaluate_and_predict(tellapart, ticket_file, chinese_file, tmp_path, encoder, language):
    file = ticket_file if language == "English" else chinese_file
    trained = tellapart("train", file, "--encoder", encoder, *QUICK, "--output", tmp_path / "run")
    assert trained.code == 0, trained.err
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] > 0.75
    recipe = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert (recipe["encoder"]["name"], recipe["encoder"]["max_length"]) == (encoder, 512)
    assert recipe["stages"][0]["start"] == "random"
    assert recipe["stages"][0]["head_learning_rate"] == 0.01
    output = tmp_path / "predicted.csv"
    predicted = tellapart("predict", tmp_path / "run", file, "--output", output, "--quiet")
    assert predicted.code == 0, predicted.err
    with output.open(encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    right = sum(row["predicted_label"] == row["label"] for row in rows)
    assert right / len(rows) > 0.75


def test_a_trained_folder_is_an_encoder_for_another_task(tellapart, ticket_file, chinese_file, tmp_path):
    first = tellapart("train", ticket_file, "--encoder", "textcnn", *QUICK, "--output", tmp_path / "first")
    assert first.code == 0, first.err
    other = tmp_path / "other.csv"
    with ticket_file.open() as source, other.open("w") as target:
        for row in csv.DictReader(source):
            if target.tell() == 0:
                target.write("text,label\n")
            target.write(f"{row['text']},{'gone' if row['label'] != 'expired' else 'old'}\n")
    options = ("--encoder", tmp_path / "first", "--output", tmp_path / "second")
    second = tellapart("train", other, *options, *QUICK)
    assert second.code == 0, second.err
    recipe = yaml.safe_load((tmp_path / "second" / "recipe.yaml").read_text())
    assert recipe["stages"][0]["start"] == "probe"
    vocabularies = [(tmp_path / run / "model" / "tokenizer.json").read_text() for run in ("first", "second")]
    assert vocabularies[0] == vocabularies[1]
    frozen = ("--method", "frozen", "--output", tmp_path / "third")
    assert tellapart("train", other, *options[:2], *frozen, "--quiet").code == 0


def test_what_makes_no_sense_is_refused(tellapart, ticket_file, tiny_encoder, tmp_path):
    options = ("train", ticket_file, "--quiet", "--output", tmp_path / "run")
    frozen = tellapart(*options, "--encoder", "textcnn", "--method", "frozen")
    assert (frozen.code, "textcnn is not trained yet" in frozen.err) == (2, True)
    pooled = tellapart(*options, "--encoder", "han", "--pooling", "mean")
    assert (pooled.code, "leave out --pooling" in pooled.err) == (2, True)
    vectors = tellapart(*options, "--encoder", tiny_encoder, "--set", "encoder.embeddings=cbow")
    assert (vectors.code, "encoder.embeddings has no effect" in vectors.err) == (2, True)
    typo = tellapart(*options, "--encoder", "textcn")
    assert (typo.code, 'did you mean "textcnn"' in typo.err) == (2, True)


def test_check_counts_the_tokens_that_would_be_learned(tellapart, ticket_file):
    report = json.loads(tellapart("check", ticket_file, "--encoder", "han", "--json").out)
    assert report["lengths"]["max_length"] == 512
    assert 3 < report["lengths"]["median"] < 12
