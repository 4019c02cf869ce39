from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from tellapart.encoders.transformer import has_dropout, save_classifier
from tellapart.errors import ModelError, RecipeError
from tellapart.objectives import CrossEntropy
from tellapart.training.arguments import TrainingArguments
from tellapart.training.model_overrides import encoder_dropout, matching_parameters, trainable_parameters
from tellapart.training.module import ObjectiveModel
from tellapart.training.trainer import Trainer


def test_patterns_choose_parameters_by_their_names(tiny_model):
    names = matching_parameters(tiny_model(), ["classifier.*", "bert.encoder.layer.1.output.dense.?ias"])
    assert names == ["bert.encoder.layer.1.output.dense.bias", "classifier.weight", "classifier.bias"]


def test_a_pattern_that_fits_nothing_is_refused(tiny_model):
    with pytest.raises(RecipeError, match="no parameter matches"):
        matching_parameters(tiny_model(), ["classifier.*", "encoder.*"])


def test_only_matching_parameters_change_and_all_are_trainable_afterwards(tiny_model, rows, tmp_path):
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    arguments = TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, max_steps=3, learning_rate=0.01, save_strategy="no"
    )
    with trainable_parameters(model, ["bert.encoder.layer.1.*", "classifier.*"]):
        Trainer(model, arguments, train_dataset=rows()).train()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(("bert.encoder.layer.1.", "classifier.")) for name in changed)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_frozen_encoder_runs_without_dropout(tiny_model, rows):
    model, batch = tiny_model(dropout=0.5), rows().batch(range(8))
    module = ObjectiveModel(model, CrossEntropy()).train()
    assert model.base_model.training
    with trainable_parameters(model, ["classifier.*"]):
        module.train()
        assert not model.base_model.training
        assert model.classifier.training
        assert module(**batch)["loss"].requires_grad


SMALL = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "num_labels": 3,
}
QUIET = {
    "bert": SMALL | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "albert": SMALL | {"embedding_size": 8},
    "deberta-v2": SMALL | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "modernbert": SMALL
    | dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0)
    | dict.fromkeys(("cls_token_id", "sep_token_id"), 1),
}


def _model(family: str):
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(AutoConfig.for_model(family, **QUIET[family]))


def _views_differ(model) -> bool:
    model.train()
    for module in model.modules():  # the classifier's own dropout makes no views of the encoder
        if isinstance(module, nn.Dropout) and module not in set(model.base_model.modules()):
            module.eval()
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        return not torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)


@pytest.mark.parametrize("family", QUIET)
def test_views_differ_inside_the_block_and_only_there(family):
    model = _model(family)
    assert not has_dropout(model)
    assert not _views_differ(model)
    with encoder_dropout(model, 0.2):
        assert has_dropout(model)
        assert _views_differ(model)
        rates = {module.p for module in model.base_model.modules() if isinstance(module, nn.Dropout)}
        assert rates == {0.2}
    assert not has_dropout(model)
    assert not _views_differ(model)


def test_attention_weights_are_dropped_too():
    model = _model("modernbert")
    with encoder_dropout(model, 0.3):
        assert [layer.attn.attention_dropout for layer in model.model.layers] == [0.3, 0.3]
        for module in model.base_model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        assert _views_differ(model)


def test_a_model_saved_inside_the_block_has_its_original_rates(tmp_path):
    model = _model("modernbert")
    with encoder_dropout(model, 0.2):
        save_classifier(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["attention_dropout"] == config["mlp_dropout"] == config["embedding_dropout"] == 0.0
    assert not has_dropout(AutoModelForSequenceClassification.from_pretrained(tmp_path))


def test_rates_are_restored_after_an_error_and_no_rate_changes_nothing():
    model = _model("bert")
    with pytest.raises(KeyboardInterrupt), encoder_dropout(model, 0.2):
        raise KeyboardInterrupt
    assert not has_dropout(model)
    with encoder_dropout(model, None):
        assert not has_dropout(model)


def test_an_encoder_without_dropout_modules_is_refused():
    model = _model("bert")
    for name, module in list(model.base_model.named_modules()):
        if isinstance(module, nn.Dropout):
            model.base_model.set_submodule(name, nn.Identity())
    with pytest.raises(ModelError, match="no dropout to set"), encoder_dropout(model, 0.2):
        pass
