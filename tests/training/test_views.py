from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from tellapart.encoders.transformer import has_dropout, save_classifier
from tellapart.errors import ModelError
from tellapart.training.views import encoder_dropout

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


def test_a_model_that_is_saved_inside_the_block_has_the_rates_it_came_with(tmp_path):
    model = _model("modernbert")
    with encoder_dropout(model, 0.2):
        save_classifier(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["attention_dropout"] == config["mlp_dropout"] == config["embedding_dropout"] == 0.0
    assert not has_dropout(AutoModelForSequenceClassification.from_pretrained(tmp_path))


def test_rates_come_back_also_after_an_error_and_no_rate_changes_nothing():
    model = _model("bert")
    with pytest.raises(KeyboardInterrupt), encoder_dropout(model, 0.2):
        raise KeyboardInterrupt
    assert not has_dropout(model)
    with encoder_dropout(model, None):
        assert not has_dropout(model)


def test_an_encoder_without_any_place_for_dropout_is_refused():
    model = _model("bert")
    for name, module in list(model.base_model.named_modules()):
        if isinstance(module, nn.Dropout):
            model.base_model.set_submodule(name, nn.Identity())
    with pytest.raises(ModelError, match="no place for dropout"), encoder_dropout(model, 0.2):
        pass
