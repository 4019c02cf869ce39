from __future__ import annotations

import json
import shutil

import pytest

from tellapart.encoders.loading import load_tokenizer
from tellapart.errors import DataError
from tellapart.pretraining.masked_statistics import pretrain_stats
from tellapart.pretraining.synonyms import build_wordnet_table
from tellapart.reproduction.measures import corrections as module
from tellapart.wordnet.reader import WordNet

METRICS = {"iteration_level": "iteration level", "prediction_level": "prediction level"}


@pytest.fixture(scope="module")
def synonyms(tiny_encoder, tiny_wordnet, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("synonyms") / "synonyms.safetensors"
    build_wordnet_table(load_tokenizer(tiny_encoder), WordNet(tiny_wordnet)).save(path)
    return str(path)


@pytest.fixture
def table(notes, tiny_encoder, pretraining, synonyms):
    return {
        "title": "Corrections",
        "measures": "corrections",
        "encoders": {"bert": tiny_encoder},
        "trials": 2,
        "settings": {"synonyms": synonyms, "max_length": 24},
        "pretraining": pretraining | {"steps": 12, "learning_rate": 0.01, "synonyms": synonyms},
        "columns": {
            "first": {
                "name": "6 %",
                "source": str(notes),
                "metrics": METRICS,
                "settings": {"checkpoint": 0.0625},
            },
            "half": {
                "name": "50 %",
                "source": str(notes),
                "metrics": METRICS,
                "settings": {"checkpoint": 0.5},
            },
            "end": {"name": "100 %", "source": str(notes), "metrics": METRICS},
        },
        "rows": {"hc": {"name": "HC", "pretraining": {"correction": "hard"}}},
        "figures": {"hc": {"first": [6.9, 1.31]}},
    }


def test_each_checkpoint_is_counted_as_pretrain_stats_counts_it(
    table, synonyms, notes, run, figures, tmp_path, monkeypatch
):
    result = run(table, tmp_path / "out")
    folder = tmp_path / "out" / "pretraining" / "hc"
    found = {path.name for path in (folder / "checkpoints").iterdir()}
    assert found == {"checkpoint-1", "checkpoint-6", "checkpoint-12"}
    for column, checkpoint in (("first", "checkpoint-1"), ("half", "checkpoint-6"), ("end", "checkpoint-12")):
        for seed in (0, 1):
            [counted] = pretrain_stats(
                [folder / "checkpoints" / checkpoint],
                notes,
                synonyms=synonyms,
                max_length=24,
                seed=seed,
                quiet=True,
            )
            for metric in METRICS:
                expected = getattr(counted.statistics, metric)
                assert figures(result, column, "hc", metric).scores[seed] == expected
    trial = json.loads((tmp_path / "out" / "half" / "trials" / "hc-seed0.json").read_text())
    assert trial["counts"]["sequences"] == 192
    assert {"method", "seed", "score", "metrics", "seconds", "unseen", "seen_rows", "unseen_score"} < set(
        trial
    )
    assert figures(result, "half", "hc", "iteration_level").difference is None
    page = (tmp_path / "out" / "mine.md").read_text()
    assert "| 6 %, iteration level | 6 %, prediction level |" in page
    assert "192 lines; SHA-256" in page
    assert "| HC | 6.9 / " in page
    # What is there counts, and more texts do not pre-train anew.
    monkeypatch.setattr("tellapart.pretraining.run.pretrain", lambda *_, **__: pytest.fail("it was there"))
    assert run(table, tmp_path / "out", resume=True).columns == result.columns
    limited = run(table, tmp_path / "out", resume=True, settings=["limit=50"], trials=1)
    trial = json.loads((tmp_path / "out" / "half" / "trials" / "hc-seed0.json").read_text())
    assert trial["counts"]["sequences"] == 50
    assert figures(limited, "half", "hc", "iteration_level").scores.keys() == {0}


def test_a_run_that_has_lost_its_checkpoints_fails_the_cells_that_need_them(table, run, figures, tmp_path):
    run(table, tmp_path / "out", columns=["end"], trials=1)
    shutil.rmtree(tmp_path / "out" / "pretraining" / "hc" / "checkpoints" / "checkpoint-6")
    result = run(table, tmp_path / "out", columns=["half"], trials=1, resume=True)
    assert "has no checkpoint of step 6" in figures(result, "half", "hc", "iteration_level").missing[0]


def test_a_wordnet_that_is_not_there_fails_before_anything_is_trained(
    table, run, figures, tmp_path, monkeypatch
):
    def missing():
        raise DataError("WordNet was not found", "install it")

    monkeypatch.setattr(module, "WordNet", missing)
    monkeypatch.setattr(module, "pretrain_row", lambda *_: pytest.fail("too early"))
    table["settings"]["synonyms"] = "wordnet"
    result = run(table, tmp_path / "out", columns=["half"])
    missed = figures(result, "half", "hc", "iteration_level").missing
    assert missed == dict.fromkeys((0, 1), "failed: WordNet was not found: install it.")
