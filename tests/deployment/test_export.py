from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.data.reading.columns import ColumnNames
from tellapart.deployment import export as exporting
from tellapart.deployment.export import INT8_FILE, MODEL_FILE, export_onnx
from tellapart.deployment.manifest import checksums_of, read_manifest
from tellapart.deployment.model_files import why_left_out
from tellapart.deployment.onnx_export import write_onnx
from tellapart.deployment.onnx_scoring import OnnxClassifier, load_exported
from tellapart.encoders import han, textcnn  # noqa: F401  known to the Auto classes
from tellapart.encoders.loading import load_fused_encoder, load_fused_tokenizer
from tellapart.encoders.scoring import score
from tellapart.errors import ModelError, TellapartWarning
from tellapart.evaluation.decision import DECISION_FILE, Decision, read_columns

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

LENGTH = 24
OTHERS = ["my card", "a thief", "since monday it needs renewal " * 8, "town", ""]


def test_logits_are_those_of_pytorch_for_other_rows_lengths_and_batches(
    exported, classifier, tokenizer, labels
):
    model = classifier(labels)
    scored = OnnxClassifier(exported / MODEL_FILE, model.config)
    for texts in (OTHERS, OTHERS[:1], OTHERS[3:]):
        rows = tokenise(TextSplit(texts), tokenizer, max_length=LENGTH)
        wanted = score(model, rows)
        assert np.abs(wanted).max() > 1
        np.testing.assert_allclose(scored.scores(rows), wanted, atol=1e-4)


def test_int8_mostly_gives_the_same_labels_and_is_what_is_scored(exported, classifier, labels, rows):
    manifest = read_manifest(exported)
    assert (manifest.model, manifest.quantization) == (INT8_FILE, "int8")
    loaded = load_exported(exported)
    model, max_length = loaded.model, loaded.max_length
    assert max_length == LENGTH
    found, wanted = model.scores(rows), score(classifier(labels), rows)
    assert not np.allclose(found, wanted, atol=1e-4)  # it is rounded
    share = (found.argmax(1) == wanted.argmax(1)).mean()
    assert share > 0.9
    assert manifest.agreement[INT8_FILE].equal_labels == pytest.approx(share)
    assert manifest.agreement[INT8_FILE].largest_difference == pytest.approx(
        np.abs(found - wanted).max(), rel=1e-3
    )
    assert manifest.agreement[MODEL_FILE].equal_labels == 1


def test_no_file_names_a_path_of_the_machine(exported, classifier, labels):
    content = (exported / MODEL_FILE).read_bytes()
    for trace in (b"stack_trace", b"site-packages", b".py", str(Path.home()).encode()):
        assert trace not in content
    weights = sum(parameter.nbytes for parameter in classifier(labels).parameters())
    assert len(content) < 2 * weights


def test_the_folder_says_what_it_holds(exported, labels):
    content = json.loads((exported / "export.json").read_text())
    assert content["inputs"] == ["attention_mask", "input_ids", "token_type_ids"]
    assert content["versions"].keys() >= {"onnx", "onnxruntime", "torch", "tellapart"}
    assert not [name for name in content["sha256"] if why_left_out(name)]  # from an upload
    assert content["sha256"] == {
        name: checksum for name, checksum in checksums_of(exported).items() if name != "export.json"
    }
    config = json.loads((exported / "config.json").read_text())
    assert tuple(config["id2label"].values()) == labels.names
    assert config["num_hidden_layers"] == 2  # mean pooling is no layer here
    assert json.loads((exported / DECISION_FILE).read_text())["temperature"] == 2
    assert {path.suffix for path in exported.iterdir()} <= {".json", ".onnx", ".txt"}


def test_pairs_and_several_labels_are_exported_too(classifier, tokenizer, tickets, tmp_path):
    labels = LabelSpace(("card", "lost", "stolen"), "multi_label_classification")
    texts = [text for text, _ in tickets]
    rows = tokenise(TextSplit(texts[:40], texts[-40:]), tokenizer, max_length=48)
    model, decision = classifier(labels), Decision((0.2, 0.5, 0.9))
    options = {"labels": labels, "decision": decision, "max_length": 48}
    columns = ColumnNames("title", "reply", label_delimiter=";")
    manifest = export_onnx(model, tokenizer, rows, tmp_path / "e", columns=columns, **options)
    assert manifest.agreement[MODEL_FILE].equal_labels == 1
    assert read_columns(tmp_path / "e" / DECISION_FILE) == columns
    loaded = load_exported(tmp_path / "e")
    scored, again = loaded.model, loaded.tokenizer
    others = tokenise(TextSplit(OTHERS, texts[: len(OTHERS)]), again, max_length=48)
    np.testing.assert_allclose(scored.scores(others), score(model, others), atol=1e-4)
    assert scored.config.problem_type == "multi_label_classification"
    assert json.loads((tmp_path / "e" / DECISION_FILE).read_text())["thresholds"]["stolen"] == 0.9


def test_two_fused_encoders_are_exported_with_the_inputs_of_both(
    tiny_encoder, tickets, labels, tmp_path, monkeypatch
):
    names = [tiny_encoder, tiny_encoder]
    model, tokenizer = load_fused_encoder(names, labels).eval(), load_fused_tokenizer(names)
    rows = tokenise(TextSplit([text for text, _ in tickets[:40]]), tokenizer, max_length=LENGTH)
    inputs = write_onnx(model, tokenizer, rows, tmp_path / "fused.onnx")
    assert {"input_ids", "input_ids_2", "token_type_ids_2"} <= set(inputs)
    others = tokenise(TextSplit(OTHERS), tokenizer, max_length=LENGTH)
    scored = OnnxClassifier(tmp_path / "fused.onnx", model.config)
    np.testing.assert_allclose(scored.scores(others), score(model, others), atol=1e-4)


class _Names:
    model_input_names = ("input_ids", "attention_mask")


def _scratch(family: str):
    torch.manual_seed(0)
    options = {"vocab_size": 60, "embedding_size": 8, "num_labels": 3}
    options |= {"filters": 6} if family == "tellapart-textcnn" else {"gru_size": 5}
    return AutoModelForSequenceClassification.from_config(AutoConfig.for_model(family, **options)).eval()


def _rows(lengths: list[int]) -> TokenisedDataset:
    random = np.random.default_rng(0)
    return TokenisedDataset({"input_ids": random.integers(5, 60, sum(lengths))}, np.array(lengths))


def test_a_textcnn_is_exported_also_for_texts_shorter_than_its_filters(tmp_path):
    model = _scratch("tellapart-textcnn")
    write_onnx(model, _Names(), _rows([9, 4, 2, 7]), tmp_path / "textcnn.onnx")
    scored = OnnxClassifier(tmp_path / "textcnn.onnx", model.config)
    for lengths in ([1, 2], [3], [12, 5, 1, 8]):
        rows = _rows(lengths)
        np.testing.assert_allclose(scored.scores(rows), score(model, rows), atol=1e-5)


def test_what_onnx_has_no_form_for_is_one_sentence(tmp_path):
    with pytest.raises(ModelError, match="HANForSequenceClassification cannot be written as ONNX") as error:
        write_onnx(_scratch("tellapart-han"), _Names(), _rows([9, 4]), tmp_path / "han.onnx")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "han.onnx").exists()


def test_an_export_that_gives_other_logits_is_refused(
    exported, rows, labels, classifier, tokenizer, monkeypatch
):
    agreement = read_manifest(exported).agreement
    wrong = exporting._agreement(np.eye(3), np.eye(3) + 0.01, lambda logits: logits.argmax(1))
    assert wrong.equal_labels == 1
    assert wrong.largest_difference == pytest.approx(0.01)
    with pytest.raises(ModelError, match=r"other logits than PyTorch: they differ by 0\.01"):
        exporting._check(agreement | {MODEL_FILE: wrong})
    nothing = exporting._agreement(np.eye(3), np.full((3, 3), np.nan), lambda logits: logits[:, 0])
    with pytest.raises(ModelError):
        exporting._check(agreement | {MODEL_FILE: nothing})
    rounded = exporting._agreement(np.eye(3), np.eye(3)[::-1], lambda logits: logits.argmax(1))
    with pytest.warns(TellapartWarning, match=r"66\.7% of 3 texts"):
        exporting._check(agreement | {INT8_FILE: rounded})
