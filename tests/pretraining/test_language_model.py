from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    BartConfig,
    BartModel,
    BertConfig,
    BertForMaskedLM,
    ElectraConfig,
    GPT2Config,
    GPT2Model,
)

from tellapart.data.examples import LabelSpace
from tellapart.encoders.loading import load_encoder
from tellapart.encoders.transformer import save_classifier
from tellapart.errors import ModelError
from tellapart.pretraining.language_model import (
    MaskedHead,
    check_length,
    find_generator,
    load_discriminator,
    load_language_model,
    new_bert,
    new_discriminator,
    new_generator,
)

from .conftest import FAMILIES


def _batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    mask = (torch.arange(11) < torch.tensor([11, 4, 7])[:, None]).long()
    ids = torch.randint(5, 200, (3, 11)) * mask + (1 - mask)
    labels = torch.where((torch.rand(3, 11) < 0.4) & mask.bool(), torch.randint(5, 200, (3, 11)), -100)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_at_masked_places_has_the_loss_and_the_gradients_of_the_stock_model(language_model, family):
    model, batch = language_model(family), _batch()
    labels = batch.pop("labels")
    stock = model(**batch, labels=labels).loss
    stock.backward()
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    head = MaskedHead(model)
    positions = torch.nonzero(labels.flatten() != -100)[:, 0]
    logits = head(positions, **batch)
    assert logits.shape == (len(positions), 200)
    loss = torch.nn.functional.cross_entropy(logits, labels.flatten()[positions])
    torch.testing.assert_close(loss, stock)
    loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (expected[name] is None), name
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, expected[name], atol=1e-6, rtol=1e-4)
    # Asked without places, the model is the stock one.
    assert model(**batch).logits.shape == (3, 11, 200)
    head.remove()
    assert not model.base_model._forward_hooks


def test_no_masked_place_gives_no_logits_and_zero_gradients(language_model):
    model, batch = language_model(), _batch()
    batch.pop("labels")
    logits = MaskedHead(model)(torch.zeros(0, dtype=torch.long), **batch)
    assert logits.shape == (0, 200)
    logits.sum().backward()
    assert all(not parameter.grad.any() for parameter in model.parameters() if parameter.grad is not None)


def test_an_encoder_without_the_head_gets_a_new_one_tied_to_its_embeddings(tiny_encoder):
    loaded = load_language_model(tiny_encoder)
    model = loaded.model
    assert isinstance(model, BertForMaskedLM)
    assert "has no head" in loaded.notes[0]
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight
    again = BertForMaskedLM.from_pretrained(tiny_encoder)
    assert torch.equal(again.bert.embeddings.word_embeddings.weight, model.get_input_embeddings().weight)


def test_a_checkpoint_with_the_head_keeps_it(tiny_encoder, tmp_path):
    loaded = load_language_model(tiny_encoder)
    loaded.model.save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    again = load_language_model(str(tmp_path))
    assert again.notes == ()
    state = loaded.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in again.model.state_dict().items())


def test_a_trained_classifier_is_trained_further_without_its_extra_layer(tiny_encoder, tokenizer, tmp_path):
    labels = LabelSpace(("a", "b"), "single_label_classification")
    save_classifier(load_encoder(tiny_encoder, labels, pooling="mean"), tmp_path, tokenizer)
    assert json.loads((tmp_path / "config.json").read_text())["num_hidden_layers"] == 3
    model = load_language_model(str(tmp_path)).model
    assert model.config.num_hidden_layers == 2
    expected = load_language_model(tiny_encoder).model.bert.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.bert.state_dict().items())


@pytest.mark.parametrize(
    "model",
    [
        GPT2Model(GPT2Config(vocab_size=200, n_embd=8, n_layer=1, n_head=1, n_positions=16)),
        BartModel(
            BartConfig(
                vocab_size=200,
                d_model=8,
                encoder_layers=1,
                decoder_layers=1,
                encoder_attention_heads=1,
                decoder_attention_heads=1,
            )
        ),
    ],
    ids=["gpt2", "bart"],
)
def test_a_model_that_fills_no_masks_is_refused(model, tokenizer, tmp_path):
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="has no masked language modelling head"):
        load_language_model(str(tmp_path))


def test_a_tokeniser_that_does_not_fit_is_refused(tokenizer, tmp_path):
    BertForMaskedLM(
        BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    ).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="tokens, but its embedding layer only 50"):
        load_language_model(str(tmp_path))


def test_a_discriminator_must_be_of_its_family(tiny_encoder):
    with pytest.raises(ModelError, match=r"\(bert\) is not of the ELECTRA family"):
        load_discriminator(tiny_encoder)


def test_the_generator_is_found_beside_the_discriminator(electra_pair, tokenizer, tmp_path):
    generator, discriminator = electra_pair()
    for name, model in (("generator", generator), ("model", discriminator)):
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    assert find_generator(str(tmp_path)) == str(tmp_path / "generator")
    assert find_generator(str(tmp_path / "generator")) is None
    assert load_discriminator(str(tmp_path)).notes == ()
    assert load_language_model(str(Path(tmp_path) / "generator")).notes == ()


def test_new_models_have_the_shape_that_was_asked_for():
    bert = new_bert(120, 32, hidden_size=24, layers=3, heads=2)
    assert (bert.config.intermediate_size, bert.config.max_position_embeddings) == (96, 32)
    assert len(bert.bert.encoder.layer) == 3
    small = new_discriminator(120, 32, hidden_size=256, layers=1, heads=4).config
    assert (small.embedding_size, small.hidden_size) == (128, 256)
    assert new_discriminator(120, 32, hidden_size=768, layers=1, heads=12).config.embedding_size == 768
    generator = new_generator(small).config
    assert (generator.hidden_size, generator.num_attention_heads, generator.intermediate_size) == (64, 1, 256)
    assert (generator.embedding_size, generator.num_hidden_layers) == (128, 1)
    odd = new_generator(ElectraConfig(hidden_size=48, num_attention_heads=6)).config
    assert odd.hidden_size % odd.num_attention_heads == 0


def test_a_length_beyond_the_positions_is_refused(language_model):
    check_length(language_model(), "x", 40)
    with pytest.raises(ModelError, match="at most 40 tokens: use --max-length 40"):
        check_length(language_model(), "x", 41)
    with pytest.raises(ModelError, match="at most 38 tokens"):
        check_length(language_model("xlm-roberta"), "x", 40)
