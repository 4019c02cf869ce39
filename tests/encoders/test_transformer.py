from __future__ import annotations

import json
import os

import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification

from tellapart.data.examples import LabelSpace
from tellapart.encoders.loading import load_classifier, load_encoder
from tellapart.encoders.pooling import set_pooling
from tellapart.encoders.transformer import (
    RepresentationTap,
    classifies_tokens,
    final_linear,
    has_dropout,
    labels_of,
    parameter_count,
    save_classifier,
    set_classifier_dropout,
)
from tellapart.errors import ModelError

FAMILIES = ["bert", "roberta", "distilbert", "albert", "electra", "deberta-v2", "xlm-roberta", "modernbert"]
FAMILIES += ["tellapart-textcnn", "tellapart-han"]
LABELS = LabelSpace(("billing", "refund"))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tap_reads_what_the_final_layer_sees_before_dropout(make_model, inputs, family):
    model = make_model(family)
    tap = RepresentationTap(model)
    with torch.no_grad():
        logits = model(**inputs).logits
    vectors = tap.take()
    torch.testing.assert_close(final_linear(model)(vectors), logits)
    set_classifier_dropout(model, 0.9)
    model.base_model.eval()
    for module in model.children():
        if module is not model.base_model:
            module.train()
    dropped = [model(**inputs).logits.detach() for _ in range(2)]
    assert not torch.equal(*dropped)
    if family not in (
        "roberta",
        "xlm-roberta",
        "electra",
        "deberta-v2",
    ):  # those drop before their dense layer too
        torch.testing.assert_close(tap.take().detach(), vectors)
    else:
        assert (tap.take() == 0).float().mean() < 0.5


def test_the_tap_reads_each_pass_once(make_model, inputs):
    model = make_model("bert")
    tap = RepresentationTap(model)
    model(**inputs)
    tap.take()
    with pytest.raises(RuntimeError, match="no forward pass"):
        tap.take()
    tap.remove()
    model(**inputs)
    with pytest.raises(RuntimeError, match="no forward pass"):
        tap.take()


def test_a_checkpoint_of_other_classes_leaves_nothing_of_its_head(make_model, tmp_path):
    old = make_model("bert", classes=2)
    old.save_pretrained(tmp_path)
    torch.manual_seed(0)
    new = load_encoder(str(tmp_path), LABELS, pooling="stock")
    assert not torch.allclose(new.classifier.weight, old.classifier.weight)
    for name, value in old.base_model.state_dict().items():
        assert torch.equal(new.base_model.state_dict()[name], value), name
    assert new.config.id2label == {0: "billing", 1: "refund"}
    assert new.config.problem_type == "single_label_classification"


def test_a_saved_classifier_serves_as_an_encoder_without_its_extra_layer(make_model, tmp_path):
    model = make_model("bert")
    set_pooling(model, "mean")
    save_classifier(model, tmp_path)
    again = load_encoder(str(tmp_path), LABELS)
    assert again.config.num_hidden_layers == 2
    assert torch.equal(
        again.bert.encoder.layer[1].output.dense.weight, model.bert.encoder.layer[1].output.dense.weight
    )


def test_labels_and_problem_type_come_back(make_model, tiny_encoder, tmp_path):
    labels = LabelSpace(("a", "b", "c"), "multi_label_classification")
    from tellapart.encoders.loading import load_tokenizer

    save_classifier(load_encoder(str(tiny_encoder), labels), tmp_path, load_tokenizer(str(tiny_encoder)))
    assert labels_of(load_classifier(tmp_path)[0]) == labels
    assert (
        AutoModelForSequenceClassification.from_pretrained(tmp_path).config.problem_type
        == labels.problem_type
    )


def test_a_model_without_a_head_is_no_classifier(make_model, tmp_path):
    AutoModel.from_config(make_model("bert").config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="not a classifier"):
        load_classifier(tmp_path)


def test_a_folder_without_a_model_and_a_broken_config_are_one_sentence(tmp_path):
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_encoder(str(tmp_path), LABELS)
    (tmp_path / "config.json").write_text("{not json")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_encoder(str(tmp_path), LABELS)


@pytest.mark.parametrize("family", ["gpt2", "qwen3", "modernbert-decoder"])
def test_a_model_that_classifies_each_token_is_refused(make_model, tmp_path, family):
    sizes = {"pad_token_id": 0, "eos_token_id": 2, "num_key_value_heads": 2}
    AutoModel.from_config(make_model(family, **sizes).config).save_pretrained(tmp_path)
    with pytest.raises(
        ModelError, match=rf"\({family}\) classifies each token.*: choose an encoder such as BERT"
    ):
        load_encoder(str(tmp_path), LABELS)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_of_one_vector_per_text_stays_as_it_is(make_model, family):
    model = make_model(family).train()
    random = torch.get_rng_state()
    assert not classifies_tokens(model)
    assert all(module.training for module in model.modules())
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), random)


def test_files_without_permission_are_named(make_model, tmp_path, monkeypatch):
    make_model("bert").save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(b"")  # safetensors calls a file without permission missing
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != weights and may(path, mode))
    with pytest.raises(
        ModelError, match=r"no permission to read .*model\.safetensors: change its permissions"
    ):
        load_encoder(str(tmp_path), LABELS)
    weights.write_bytes(content)
    load_encoder(str(tmp_path), LABELS)


def test_code_in_a_checkpoint_is_never_run(make_model, tmp_path):
    make_model("bert").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {name: f"evil.{name}" for name in ("AutoConfig", "AutoModel")}
    config["model_type"] = "no-such-model"
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelError):
        load_encoder(str(tmp_path), LABELS)
    assert not (tmp_path / "ran").exists()


def test_dropout_is_seen_where_it_is(make_model):
    assert has_dropout(make_model("bert"))
    quiet = make_model("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    assert not has_dropout(quiet)
    assert not has_dropout(make_model("modernbert"))


def test_parameters_are_counted_without_embeddings(make_model):
    model = make_model("bert")
    layers = sum(parameter.numel() for parameter in model.bert.encoder.parameters())
    pooler = sum(parameter.numel() for parameter in model.bert.pooler.parameters())
    norm = 2 * 16
    assert parameter_count(model) == layers + pooler + norm
