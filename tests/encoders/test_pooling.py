from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from tellapart.encoders.pooling import MEAN_WEIGHT, default_pooling, folded, set_pooling, unfolded
from tellapart.encoders.transformer import RepresentationTap
from tellapart.errors import ModelError

FOLDABLE = ["bert", "roberta", "camembert", "xlm-roberta", "electra", "mpnet"]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("family", FOLDABLE)
def test_a_folded_checkpoint_is_stock_and_gives_the_same_logits(
    make_model, inputs, tmp_path, family, pooling
):
    model = make_model(family)
    set_pooling(model, pooling)
    with torch.no_grad():
        direct = model(**inputs).logits
        folded(model).save_pretrained(tmp_path)
        plain = AutoModelForSequenceClassification.from_pretrained(tmp_path)
        again = plain(**inputs).logits
    assert type(plain) is type(make_model(family))
    assert plain.config.num_hidden_layers == 2 + (pooling == "mean")
    torch.testing.assert_close(again, direct, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("family", FOLDABLE)
def test_unfolding_a_loaded_checkpoint_takes_the_layer_off_again(
    make_model, inputs, tmp_path, family, pooling
):
    model = make_model(family)
    set_pooling(model, pooling)
    folded(model).save_pretrained(tmp_path)
    loaded = unfolded(AutoModelForSequenceClassification.from_pretrained(tmp_path))
    assert loaded.config.num_hidden_layers == 2
    with torch.no_grad():
        torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits, atol=1e-5, rtol=1e-5)


def test_folding_and_unfolding_bert_is_exact_to_the_bit(make_model, tmp_path):
    model = make_model("bert")
    set_pooling(model, "mean")
    folded(model).save_pretrained(tmp_path)
    loaded = unfolded(AutoModelForSequenceClassification.from_pretrained(tmp_path))
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_the_pooled_vector_is_close_to_the_normalised_mean(make_model, inputs):
    model = make_model("bert")
    set_pooling(model, "mean")
    tap = RepresentationTap(model)
    with torch.no_grad():
        hidden = model.base_model(**inputs).last_hidden_state
        model(**inputs)
    for row, vector in enumerate(tap.take()):
        length = int(inputs["attention_mask"][row].sum())
        mean = hidden[row, :length].mean(0)
        expected = torch.nn.functional.layer_norm(hidden[row, 0] + MEAN_WEIGHT * mean, mean.shape)
        # tanh(h / 16) * 16 bends a value of 2 by half a per cent.
        torch.testing.assert_close(vector, expected, atol=0.03, rtol=0.01)
        assert torch.cosine_similarity(vector, mean - mean.mean(), dim=0) > 0.99


@pytest.mark.parametrize("family", FOLDABLE)
def test_padding_changes_nothing(make_model, inputs, family):
    model = make_model(family)
    set_pooling(model, "mean")
    alone = {name: value[1:2, :4] for name, value in inputs.items()}
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs).logits[1:2], model(**alone).logits, atol=1e-4, rtol=1e-4)


def test_a_missing_attention_mask_means_no_padding(make_model, inputs):
    model = make_model("bert")
    set_pooling(model, "mean")
    whole = {"input_ids": inputs["input_ids"][:1], "attention_mask": inputs["attention_mask"][:1]}
    with torch.no_grad():
        model(**inputs)  # a mask that must not be remembered
        without = model(input_ids=whole["input_ids"]).logits
        torch.testing.assert_close(without, model(**whole).logits)


def test_stock_pooling_leaves_the_model_alone(make_model):
    model = make_model("bert")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    set_pooling(model, "stock")
    assert folded(model) is model
    assert unfolded(model) is model
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_modernbert_pools_by_its_own_config(make_model, inputs):
    model = make_model("modernbert")
    with torch.no_grad():
        set_pooling(model, "cls")
        first = model(**inputs).logits
        set_pooling(model, "mean")
        assert not torch.allclose(model(**inputs).logits, first)


def test_families_that_cannot_hold_mean_pooling_say_so(make_model):
    assert default_pooling("albert") == "stock"
    with pytest.raises(ModelError, match="--pooling stock"):
        set_pooling(make_model("albert"), "mean")


def _biased_mpnet(make_model, scale: float):
    """A folded MPNet with position biases of a normal distribution, and the model that was folded."""
    model = make_model("mpnet", attn_implementation="eager")
    torch.nn.init.normal_(model.mpnet.encoder.relative_attention_bias.weight, std=scale)
    set_pooling(model, "mean")
    return folded(model), model


@pytest.mark.parametrize("scale", [0.1, 4.0, 12.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_position_bias_of_mpnet_is_rounded_away_in_the_additional_layer(make_model, inputs, scale, dtype):
    plain, model = _biased_mpnet(make_model, scale)
    with torch.no_grad():
        torch.testing.assert_close(plain(**inputs).logits, model(**inputs).logits, atol=1e-4, rtol=1e-4)
        layers = plain.to(dtype)(**inputs, output_attentions=True).attentions
    mask = inputs["attention_mask"][:, None, None, :]
    uniform = (mask / mask.sum(-1, keepdim=True)).to(dtype).expand_as(layers[-1])
    assert torch.equal(layers[-1], uniform)
    assert float((layers[0] - uniform).abs().max()) > 0.01


def test_gradients_of_a_folded_mpnet_are_not_those_of_its_additional_layer(make_model, inputs):
    """A stock Trainer clips all gradients by their common norm."""
    plain, _ = _biased_mpnet(make_model, 4.0)
    plain(**inputs, labels=torch.tensor([0, 1, 2, 0])).loss.backward()
    norms = {name: float(parameter.grad.norm()) for name, parameter in plain.named_parameters()}
    added = [norm for name, norm in norms.items() if ".layer.2.attention.attn." in name]
    others = [norm for name, norm in norms.items() if ".layer.2." not in name]
    assert len(added) == 8
    # With a query of 2^16 in place of 1 they would be tens of thousands of times as large.
    assert max(added) < 100 * sum(norm**2 for norm in others) ** 0.5
