from __future__ import annotations

import json
import shutil
import sys

import pytest

from tellapart.deployment.export import INT8_FILE, MODEL_FILE
from tellapart.deployment.manifest import file_checksum
from tellapart.deployment.onnx_scoring import OnnxClassifier, load_exported
from tellapart.errors import MissingDependencyError, ModelError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture
def copied(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "export")


def _change(folder, **changes):
    content = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps(content | changes))


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"agreement": 1}'])
def test_a_manifest_that_cannot_be_read_is_one_sentence(copied, content):
    (copied / "export.json").write_text(content)
    with pytest.raises(ModelError, match=r"export\.json cannot be read"):
        load_exported(copied)


def test_a_model_that_is_not_the_one_exported_is_refused(copied):
    with (copied / INT8_FILE).open("ab") as file:
        file.write(b"more")
    with pytest.raises(ModelError, match="its checksum differs"):
        load_exported(copied)


def test_a_missing_file_is_named(copied):
    (copied / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"lacks the file tokenizer\.json"):
        load_exported(copied)


def test_the_model_that_is_not_scored_may_be_taken_away(copied):
    (copied / MODEL_FILE).unlink()
    model = load_exported(copied).model
    assert model.inputs == ["attention_mask", "input_ids", "token_type_ids"]


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/hostname"])
def test_no_file_outside_the_folder_is_read(copied, name):
    _change(copied, model=name, sha256={name: "0"})
    with pytest.raises(ModelError, match="lies outside the folder"):
        load_exported(copied)


@pytest.mark.parametrize("change", [{"format": "pickle"}, {"model": "other.onnx"}])
def test_a_manifest_without_a_model_is_refused(copied, change):
    _change(copied, **change)
    with pytest.raises(ModelError, match="names no model"):
        load_exported(copied)


def test_bytes_that_are_no_model_are_one_sentence(copied):
    path = copied / INT8_FILE
    path.write_bytes(b"no model" * 100)
    content = json.loads((copied / "export.json").read_text())["sha256"]
    _change(copied, sha256=content | {INT8_FILE: file_checksum(path)})
    with pytest.raises(ModelError, match="not a readable ONNX model"):
        load_exported(copied)


def test_weights_in_other_files_are_refused(tmp_path):
    weight = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [2], [1.0, 2.0])
    weight.ClearField("float_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../secret")
    value = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [2])
    node = onnx.helper.make_node("Identity", ["w"], ["logits"])
    graph = onnx.helper.make_graph([node], "g", [], [value], [weight])
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(ModelError, match="has weights in other files"):
        OnnxClassifier(path, None)


def test_without_onnx_runtime_the_extra_is_named(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'tellapart\[onnx\]'"):
        load_exported(exported)
