from __future__ import annotations

import csv

import numpy as np
import pyarrow.parquet as pq
import pytest

from tellapart.data.reading import streams
from tellapart.encoders import precision
from tellapart.errors import UserError
from tellapart.fitting.fit import fit
from tellapart.fitting.fitted import Fitted
from tellapart.fitting.loading import load_fitted
from tellapart.fitting.rows import load_data
from tellapart.recipes import method_recipe
from tellapart.runs.evaluate import evaluate
from tellapart.runs.predict import predict


@pytest.fixture(scope="module")
def model(ticket_file, tiny_encoder, tmp_path_factory):
    """The folder of a checkpoint that knows the tickets."""
    from tellapart.recipes import with_values

    settings = [
        f"data.source={ticket_file}",
        f"encoder.name={tiny_encoder}",
        "encoder.max_length=24",
        "stages.0.epochs=6",
        "stages.0.learning_rate=0.005",
    ]
    recipe = with_values(method_recipe("cross-entropy"), settings)
    folder = tmp_path_factory.mktemp("predict")
    fit(recipe, load_data(recipe), folder / "checkpoints", quiet=True).save(folder / "model")
    return folder / "model"


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_predicting_part_by_part_gives_what_predicting_at_once_gives(
    model, ticket_file, tmp_path, monkeypatch, suffix
):
    whole, parts = tmp_path / f"whole.{suffix}", tmp_path / f"parts.{suffix}"
    assert predict(model, ticket_file, whole, precision="fp32", quiet=True) == 192
    monkeypatch.setattr(streams, "STREAM_BYTES", 0)
    monkeypatch.setattr(streams, "ROWS_A_PART", 50)
    assert predict(model, ticket_file, parts, precision="fp32", quiet=True) == 192
    if suffix == "parquet":
        first, second = pq.read_table(whole).to_pydict(), pq.read_table(parts).to_pydict()
        chances = [first.pop("probability"), second.pop("probability")]
        np.testing.assert_allclose(*chances, atol=1e-5)
        assert first == second
        assert pq.read_schema(whole) == pq.read_schema(parts)
    elif suffix == "csv":
        one, other = (list(csv.DictReader(path.open())) for path in (whole, parts))
        assert [row["predicted_label"] for row in one] == [row["predicted_label"] for row in other]
        assert len(other) == 192
    else:
        assert len(parts.read_text().splitlines()) == 192


def test_nothing_is_written_when_scoring_fails_half_way(model, ticket_file, tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "STREAM_BYTES", 0)
    monkeypatch.setattr(streams, "ROWS_A_PART", 50)
    scores, calls = Fitted.scores, []

    def failing(self, *given, **options):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        return scores(self, *given, **options)

    monkeypatch.setattr(Fitted, "scores", failing)
    with pytest.raises(RuntimeError, match="memory"):
        predict(model, ticket_file, tmp_path / "out" / "labels.csv", quiet=True)
    assert list((tmp_path / "out").iterdir()) == []


def test_bf16_labels_nearly_all_rows_as_float32_does(model, ticket_file, tmp_path):
    found = {}
    for name in ("fp32", "bf16"):
        predict(model, ticket_file, tmp_path / f"{name}.parquet", precision=name, quiet=True)
        found[name] = pq.read_table(tmp_path / f"{name}.parquet")
    labels = [table["predicted_label"].to_pylist() for table in found.values()]
    assert np.mean(np.array(labels[0]) == np.array(labels[1])) > 0.97
    chances = [np.array(table["probability"]) for table in found.values()]
    assert 0 < np.abs(chances[0] - chances[1]).max() < 0.05
    assert evaluate(model, ticket_file, precision="bf16")["accuracy"] == pytest.approx(
        evaluate(model, ticket_file, precision="fp32")["accuracy"], abs=0.03
    )


def test_auto_takes_bf16_where_the_device_gains_from_it(model, monkeypatch):
    fitted = load_fitted(model)
    for gains, kind in ((True, "torch.bfloat16"), (False, "torch.float32")):
        monkeypatch.setattr(precision, "gains_from_bf16", lambda _, gains=gains: gains)
        assert str(next(fitted.in_precision("auto").model.parameters()).dtype) == kind
        assert fitted.in_precision("fp32") is fitted


def test_a_precision_without_effect_is_refused(recipe, model, tmp_path):
    with pytest.raises(UserError, match='"fp16" is no precision'):
        load_fitted(model).in_precision("fp16")
    tfidf = method_recipe("tfidf", recipe)
    fitted = fit(tfidf, load_data(tfidf), tmp_path, quiet=True)
    assert fitted.in_precision("auto") is fitted
    with pytest.raises(UserError, match="tfidf model cannot be scored in bf16"):
        fitted.in_precision("bf16")


def test_no_file_but_one_of_predictions_is_replaced_and_no_model_is_loaded_to_find_that(
    model, ticket_file, tmp_path, monkeypatch
):
    data, output = tmp_path / "tickets.csv", tmp_path / "labelled.csv"
    data.write_bytes(ticket_file.read_bytes())
    for _ in range(2):
        assert predict(model, data, output, quiet=True) == 192
    monkeypatch.setattr("tellapart.scoring.scorer.load_fitted", pytest.fail)
    with pytest.raises(UserError, match="a file that the command reads"):
        predict(model, data, data, overwrite=True, quiet=True)
    with pytest.raises(UserError, match="exists: choose another --output"):
        predict(model, output, data, prefix="again_", quiet=True)
    assert data.read_bytes() == ticket_file.read_bytes()
