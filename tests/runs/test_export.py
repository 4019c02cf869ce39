from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tellapart.deployment.manifest import Agreement, Manifest
from tellapart.errors import DataError, ModelError, UserError
from tellapart.fitting.fit import fit
from tellapart.fitting.rows import load_data
from tellapart.recipes import method_recipe, with_values
from tellapart.runs import export as exporting
from tellapart.runs.export import export

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture
def model(recipe, tmp_path):
    """The folder of a checkpoint that has hardly learned anything."""
    quick = with_values(recipe, ["stages.0.trainer.max_steps=1"])
    folder = tmp_path / "model"
    fit(quick, load_data(quick), tmp_path / "checkpoints", quiet=True).save(folder)
    return folder


@pytest.fixture
def seen(monkeypatch):
    """What the writer of exports was given, in place of the minutes that writing takes."""
    given = {}

    def write(model, tokenizer, rows, folder, **options):
        given.update(options, rows=rows)
        folder.mkdir()
        (folder / "export.json").write_text("{}")
        agreement = {"model.onnx": Agreement(len(rows), 0.0, 1.0, 1.0)}
        return Manifest("model.onnx", "onnx", options["quantization"], 20, [], agreement, {}, {})

    monkeypatch.setattr(exporting, "export_onnx", write)
    return given


def test_an_export_stands_beside_the_model_and_is_replaced_only_when_asked(model, seen):
    done = export(model, quantize="int8")
    assert done.folder == model.with_name("model-onnx")
    assert seen["quantization"] == "int8"
    assert seen["max_length"] == 24
    with pytest.raises(UserError, match=r"holds an export.*--overwrite"):
        export(model)
    assert export(model, overwrite=True).manifest.quantization is None
    (done.folder / "export.json").unlink()
    (done.folder / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="not written by an export"):
        export(model, overwrite=True)
    assert (done.folder / "mine.txt").is_file()


def test_a_mount_point_is_refused_before_the_work(model, seen, tmp_path, monkeypatch):
    monkeypatch.setattr("os.path.ismount", lambda folder: folder == tmp_path)
    with pytest.raises(UserError, match=r"is a mount point.*give a folder in it"):
        export(model, tmp_path)
    assert not seen


def test_texts_to_compare_on_come_from_the_file_the_run_or_the_vocabulary(model, seen, tmp_path):
    export(model, tmp_path / "a")
    assert 1 < len(seen["rows"]) <= 256
    assert seen["rows"].lengths.max() == 24
    pq.write_table(pa.table({"text": ["my card was lost"] * 1000}), model / "predictions.parquet")
    export(model, tmp_path / "b")
    assert len(seen["rows"]) == 256
    pq.write_table(
        pa.table({"text": ["lost", "stolen"], "text_pair": ["a", "b"]}), tmp_path / "given.parquet"
    )
    export(model, tmp_path / "c", check=tmp_path / "given.parquet")
    assert len(seen["rows"]) == 2
    assert "token_type_ids" not in seen["rows"].columns  # the model was trained on single texts
    with pytest.raises(DataError, match="no file"):
        export(model, tmp_path / "d", check=tmp_path / "none.csv")
    assert not (tmp_path / "d").exists()


def test_nothing_stays_of_an_export_that_fails(model, tmp_path, monkeypatch):
    def fail(*given, **options):
        given[3].mkdir()
        raise ModelError("it gives other logits", "use PyTorch")

    monkeypatch.setattr(exporting, "export_onnx", fail)
    before = set(tmp_path.iterdir())
    with pytest.raises(ModelError, match="other logits"):
        export(model, tmp_path / "out")
    assert set(tmp_path.iterdir()) == before


def test_what_cannot_be_exported_is_refused(recipe, tmp_path):
    tfidf = method_recipe("tfidf", recipe)
    fit(tfidf, load_data(tfidf), tmp_path / "c", quiet=True).save(tmp_path / "tfidf")
    with pytest.raises(ModelError, match="is a tfidf model and cannot be exported"):
        export(tmp_path / "tfidf")
    with pytest.raises(UserError, match='"tflite" is no format'):
        export(tmp_path / "tfidf", format="tflite")
    with pytest.raises(UserError, match='"int4" is no quantisation'):
        export(tmp_path / "tfidf", quantize="int4")
