"""`--label-texts` from the command line to the run folder."""

from __future__ import annotations

import json

import pytest
import yaml


def test_train_says_which_label_texts_it_uses_and_counts_them_apart(tellapart, quick, ticket_file, tmp_path):
    options = [option for option in quick if option != "--quiet"]
    done = tellapart("train", ticket_file, *options, "--label-texts", "names", "--output", tmp_path / "run")
    assert done.code == 0, done.err
    note = '3 label texts from the class names join the training rows, such as "expired" and "lost".'
    assert done.err.count(note) == 1
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["label_texts"] == 3
    assert sum(metrics["rows"].values()) == 192
    recipe = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert recipe["data"]["label_texts"] == "names"


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ("nams", "which is no file"),
        ({"lost": "a", "stolen": "b"}, 'no text for the class "expired"'),
        ({"lost": "a", "stolen": "b", "expird": "c"}, 'did you mean "expired"'),
        ({"lost": "a", "stolen": "A", "expired": "c"}, "the same text"),
        ({"lost": "a", "stolen": "", "expired": "c"}, "is empty"),
    ],
)
@pytest.mark.parametrize("verb", ["train", "compare"])
def test_label_texts_that_cannot_be_used_are_one_sentence(
    tellapart, quick, ticket_file, tmp_path, verb, given, part
):
    if isinstance(given, dict):
        (tmp_path / "texts.json").write_text(json.dumps(given))
        given = tmp_path / "texts.json"
    done = tellapart(
        verb, ticket_file, *quick, "--label-texts", given, "--output", tmp_path / "run", "--quiet"
    )
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert part in done.err
    assert not (tmp_path / "run").exists()


def test_compare_says_what_each_method_guessed(tellapart, quick, ticket_file, tmp_path):
    methods = "tfidf,tfidf:data.label_texts=auto"
    done = tellapart("compare", ticket_file, "--methods", methods, "--trials=1", "--output", tmp_path / "c")
    assert done.code == 0, done.err
    assert done.err.count("3 label texts from the class names") == 1


def test_compare_and_sweep_take_them(tellapart, quick, ticket_file, tmp_path):
    (tmp_path / "texts.yaml").write_text("lost: it is gone\nstolen: a thief took it\nexpired: too old\n")
    common = ["--encoder", quick[1], "--label-texts", tmp_path / "texts.yaml", "--max-length", "24"]
    done = tellapart(
        "compare", ticket_file, *common, "--methods", "frozen,tfidf", "--trials=1", "--output", tmp_path / "c"
    )
    assert done.code == 0, done.err
    assert "3 label texts from" in done.err
    done = tellapart(
        *("sweep", ticket_file, *common, "--method", "frozen", "--baseline", "none"),
        *("--over", "data.label_texts=none,names", "--output", tmp_path / "s"),
    )
    assert done.code == 0, done.err
