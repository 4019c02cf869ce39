"""Views that part above the lower layers: the same outputs, fewer passes."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from tellapart.encoders.late_views import FAMILIES, LateViews
from tellapart.encoders.pooling import default_pooling, set_pooling
from tellapart.errors import ModelError, RecipeError

LAYERS = 3
SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}
DISTILBERT = {"dim": 16, "n_layers": LAYERS, "n_heads": 2, "hidden_dim": 32}


def _model(family, dropout=0.0):
    rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    if family == "distilbert":
        rates = {
            "dropout": dropout,
            "attention_dropout": dropout,
            "seq_classif_dropout": dropout,
            **DISTILBERT,
        }
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, num_labels=3, pad_token_id=1, **SIZES, **rates)
    model = AutoModelForSequenceClassification.from_config(config)
    set_pooling(model, default_pooling(family))
    return model.train()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 40, (5, 7), generator=generator)
    mask = (torch.arange(7) < torch.tensor([7, 3, 5, 2, 6])[:, None]).long()
    return {"input_ids": torch.where(mask.bool(), ids, 1), "attention_mask": mask}


def _twice(value):
    return value.repeat(2, *[1] * (value.dim() - 1))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer", [1, 2])
def test_without_dropout_views_are_those_of_two_whole_passes(family, layer, batch):
    model = _model(family)
    expected = model(**{name: _twice(value) for name, value in batch.items()}).logits
    with LateViews(model, layer).parting(_twice, len(batch["input_ids"])):
        found = model(**batch).logits
    torch.testing.assert_close(found, expected)
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    loss = torch.linspace(-1, 1, expected.numel()).view_as(expected)
    for own, naive in zip(
        torch.autograd.grad((found * loss).sum(), weights, allow_unused=True),
        torch.autograd.grad((expected * loss).sum(), weights, allow_unused=True),
        strict=True,
    ):
        assert (own is None) == (naive is None)
        if own is not None:
            torch.testing.assert_close(own, naive, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model(**batch).logits, expected[: len(batch["input_ids"])])  # no hook is left


def test_lower_layers_run_once_and_views_differ_above_them(batch):
    model = _model("bert", dropout=0.3)
    seen = []
    for layer in model.bert.encoder.layer:
        layer.register_forward_hook(lambda module, args, output: seen.append(output))
    with LateViews(model, 2).parting(_twice, 5):
        logits = model(**batch).logits
    assert [len(output) for output in seen] == [5, 5, 10]
    assert not torch.allclose(logits[:5], logits[5:])


def test_an_encoder_without_that_many_layers_and_other_families_are_refused(batch):
    with pytest.raises(RecipeError, match="views_from_layer=2 or less"):
        LateViews(_model("bert"), LAYERS)
    config = AutoConfig.for_model("albert", num_labels=3, **SIZES, embedding_size=8)
    with pytest.raises(ModelError, match="use an encoder of one of these families"):
        LateViews(AutoModelForSequenceClassification.from_config(config), 1)
