from __future__ import annotations

import dataclasses
from contextlib import nullcontext

import datasets
import numpy as np
import pyarrow as pa
import pytest

from tellapart.data.examples import TextSplit
from tellapart.data.reading import streams
from tellapart.data.reading.columns import Columns
from tellapart.data.reading.rows import read_data
from tellapart.data.reading.streams import open_rows
from tellapart.data.reading.tables import write_table
from tellapart.errors import TellapartWarning
from tellapart.fitting import pool
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.pool import RunRows, read_run_rows, suggest_rows
from tellapart.recipes import DataRecipe, Recipe
from tellapart.training.tfidf import TfidfClassifier

NEW = [
    f"card {one} was {two}"
    for one in range(30)
    for two in ("lost by a thief", "stolen or expired", "is missing")
]


@pytest.fixture(scope="module")
def fitted(ticket_file) -> Fitted:
    data = read_data(ticket_file)
    model = TfidfClassifier.fit(data.train, data.labels)
    return Fitted(model, model.labels)


def _suggested(fitted, path, run=RunRows(), count=5):  # noqa: B008  frozen
    return (
        suggest_rows(fitted, open_rows(path), Columns("text"), count, run, label="label")
        .table["text"]
        .to_pylist()
    )


def test_a_pool_in_parts_with_duplicates_gives_the_rows_of_the_whole_pool(fitted, tmp_path, monkeypatch):
    write_table(pa.table({"text": NEW}), tmp_path / "whole.parquet")
    write_table(pa.table({"text": [*NEW, *map(str.upper, NEW)]}), tmp_path / "twice.parquet")
    monkeypatch.setattr(pool, "CANDIDATES", 4)
    whole = _suggested(fitted, tmp_path / "whole.parquet")
    monkeypatch.setattr(streams, "ROWS_A_PART", 7)
    assert _suggested(fitted, tmp_path / "whole.parquet") == whole
    assert len({text.lower() for text in _suggested(fitted, tmp_path / "twice.parquet")}) == 5


def test_candidates_have_the_least_margins_and_no_known_text(fitted, tmp_path, monkeypatch):
    write_table(pa.table({"text": NEW}), tmp_path / "pool.parquet")
    monkeypatch.setattr(pool, "CANDIDATES", 1)
    logits = fitted.scores(TextSplit(NEW))
    chances = np.sort(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), axis=1)
    margins = dict(zip(NEW, (chances[:, -1] - chances[:, -2]).tolist(), strict=True))
    first = _suggested(fitted, tmp_path / "pool.parquet")
    assert max(margins[text] for text in first) == pytest.approx(sorted(margins.values())[4])
    run = RunRows(keys=frozenset(TextSplit(first).keys()))
    assert not set(first) & set(_suggested(fitted, tmp_path / "pool.parquet", run))


def test_pairs_are_those_that_the_run_confused(fitted, tmp_path, monkeypatch):
    write_table(pa.table({"text": NEW}), tmp_path / "pool.parquet")
    seen = []
    monkeypatch.setattr(pool, "informativeness", lambda top, weights: seen.append(weights) or 1 - top.margin)
    _suggested(
        fitted, tmp_path / "pool.parquet", RunRows(confusions=np.array([[5, 0, 0], [0, 4, 2], [0, 1, 5]]))
    )
    assert np.argwhere(seen[0] == 1).tolist() == [[1, 2], [2, 1]]
    _suggested(fitted, tmp_path / "pool.parquet", RunRows(confusions=np.eye(3)))
    assert seen[1].max() == 1  # none were confused: those that the probabilities let expect


def test_the_confusions_are_those_of_the_predicted_rows(fitted, tmp_path):
    (tmp_path / "recipe.yaml").write_text("method: tfidf\n")
    names = fitted.labels.names
    table = {"text": ["a", "b"], "label": [names[0], names[1]], "predicted_label": [names[1], names[1]]}
    write_table(pa.table(table), tmp_path / "predictions.parquet")
    with pytest.warns(match="they were in memory"):
        run = read_run_rows(tmp_path, dataclasses.replace(fitted.labels))
    assert run.confusions is not None
    assert run.confusions.toarray().tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert set(run.keys) == {"a", "b"}


@pytest.mark.parametrize("how", ["label", "file", "missing file"])
def test_rows_of_a_class_and_rows_of_no_class_are_known_and_unlabelled_ones_are_not(fitted, tmp_path, how):
    rows = {
        "text": ["my card is lost", "it was stolen", "hello", "lost again", "stolen again"],
        "label": ["lost", "stolen", "other", "lost", "stolen"],
    }
    others = pa.table({"text": ["what time is it"]})
    given = {"label": "other", "file": tmp_path / "others.csv", "missing file": tmp_path / "gone.csv"}[how]
    write_table(others, tmp_path / "others.csv")
    write_table(pa.table({"text": ["a new card"]}), tmp_path / "inbox.csv")
    write_table(pa.table(rows), tmp_path / "data.csv")
    recipe = Recipe().model_copy(
        update={
            "data": DataRecipe(
                source=str(tmp_path / "data.csv"),
                out_of_scope=str(given),
                unlabelled=str(tmp_path / "inbox.csv"),
                label_texts={"lost": "gone", "stolen": "taken"},
                train_rows=2,
            )
        }
    )
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    expected = set(TextSplit(rows["text"]).keys())
    if how == "file":
        expected |= set(TextSplit(["what time is it"]).keys())
    warned = (
        pytest.warns(TellapartWarning, match="cannot be read") if how == "missing file" else nullcontext()
    )
    with warned:
        assert set(read_run_rows(tmp_path, fitted.labels).keys) == expected


def test_the_key_of_every_text_is_computed_once(fitted, tmp_path, monkeypatch):
    write_table(pa.table({"text": NEW}), tmp_path / "pool.parquet")
    monkeypatch.setattr(streams, "ROWS_A_PART", 7)
    keyed, keys = [], TextSplit.keys
    monkeypatch.setattr(TextSplit, "keys", lambda split: keyed.extend(split.texts) or keys(split))
    assert len(_suggested(fitted, tmp_path / "pool.parquet")) == 5
    assert sorted(keyed) == sorted(NEW)


@pytest.mark.parametrize("form", ["class ids", "missing numbers", "blank texts"])
def test_a_cell_that_is_no_label_for_a_reader_is_none_for_a_pool(fitted, tmp_path, form):
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["a", "b"])}
    )
    path = tmp_path / "pool.parquet"
    if form == "class ids":
        labels = [0] + [-1] * (len(NEW) - 1)
        datasets.Dataset.from_dict({"text": NEW, "label": labels}, features=features).to_parquet(path)
    else:
        label, missing = (1.0, float("nan")) if form == "missing numbers" else ("a", " ")
        write_table(pa.table({"text": NEW, "label": [label] + [missing] * (len(NEW) - 1)}), path)
    assert set(_suggested(fitted, path, count=len(NEW))) == set(NEW[1:])
