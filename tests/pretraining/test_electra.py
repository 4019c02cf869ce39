from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from transformers import AutoModel, AutoModelForMaskedLM, ElectraForPreTraining

from tellapart.errors import ModelError
from tellapart.pretraining.electra import ReplacedTokenDetection
from tellapart.pretraining.terms import Corrections

from .test_mlm import table_of


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    mask = (torch.arange(9) < torch.tensor([9, 5])[:, None]).long()
    return {
        "input_ids": torch.randint(5, 200, (2, 9)) * mask,
        "attention_mask": mask,
        "positions": torch.tensor([1, 3, 7, 10, 12]),
        "labels": torch.tensor([17, 30, 41, 30, 99]),
    }


def _argmax(electra_pair, name="none", table=None) -> ReplacedTokenDetection:
    return ReplacedTokenDetection(*electra_pair(), Corrections.named(name, table), predictions="argmax")


def _by_hand(module, batch, replaced_of) -> tuple[float, float]:
    """The stock losses of generator and discriminator on the generator's best guesses."""
    ids, mask, positions = batch["input_ids"], batch["attention_mask"], batch["positions"]
    logits = module.generator(ids, attention_mask=mask).logits.flatten(0, 1)[positions]
    guesses = logits.argmax(-1)
    original, sampled = ids.clone().flatten(), ids.clone().flatten()
    original[positions], sampled[positions] = batch["labels"], guesses
    replaced = replaced_of(original, sampled).view(2, 9)
    loss = module.discriminator(sampled.view(2, 9), attention_mask=mask, labels=replaced).loss
    return float(functional.cross_entropy(logits, batch["labels"]).detach()), float(loss.detach())


def test_the_losses_are_those_of_the_stock_models(electra_pair, batch):
    module = _argmax(electra_pair)
    outputs = module(**batch)
    expected = _by_hand(module, batch, lambda original, sampled: (original != sampled).long())
    assert float(outputs["mlm"].detach()) / 5 == pytest.approx(expected[0], rel=1e-5)
    assert float(outputs["discriminator"].detach()) / 14 == pytest.approx(expected[1], rel=1e-5)
    assert {name: (term.weight, term.over) for name, term in module.terms.items()} == {
        "mlm": (1.0, "masked"),
        "discriminator": (50.0, "tokens"),
    }


def test_with_hard_correction_a_synonym_leaves_the_generator_and_is_original_to_the_discriminator(
    electra_pair, batch
):
    plain = _argmax(electra_pair)
    logits = plain.generator(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    guess = int(logits.flatten(0, 1)[12].argmax())
    module = _argmax(electra_pair, "hard", table_of([(99, guess)]))
    outputs = module(**batch)

    def replaced(original, sampled):
        result = (original != sampled).long()
        result[12] = 0
        return result

    _, expected = _by_hand(module, batch, replaced)
    assert float(outputs["discriminator"].detach()) / 14 == pytest.approx(expected, rel=1e-5)
    kept = functional.cross_entropy(logits.flatten(0, 1)[batch["positions"][:4]], batch["labels"][:4])
    assert float(outputs["mlm"].detach()) / 5 == pytest.approx(float(kept.detach()), rel=1e-5)


def test_both_have_one_embedding_layer_which_learns_from_both(electra_pair, batch):
    module = _argmax(electra_pair)
    weight = module.discriminator.electra.embeddings.word_embeddings.weight
    assert module.generator.electra.embeddings is module.discriminator.electra.embeddings
    assert module.generator.generator_lm_head.weight is weight
    assert [name for name, _ in module.named_parameters()].count("generator.generator_lm_head.weight") == 0
    outputs = module(**batch)
    gradients = [torch.autograd.grad(outputs[name], weight, retain_graph=True)[0] for name in module.terms]
    assert all(gradient.any() for gradient in gradients)


def test_the_discriminator_does_not_teach_the_generator(electra_pair, batch):
    module = _argmax(electra_pair)
    module(**batch)["discriminator"].backward()
    assert module.generator.generator_predictions.dense.weight.grad is None
    assert module.discriminator.discriminator_predictions.dense.weight.grad.any()


def test_sentence_regularisation_compares_what_the_discriminator_reads_with_the_original(electra_pair, batch):
    module = _argmax(electra_pair, "soft-sentence")
    base, mask = module.discriminator.base_model, batch["attention_mask"]
    logits = module.generator(batch["input_ids"], attention_mask=mask).logits.flatten(0, 1)
    states = []
    for tokens in (logits[batch["positions"]].argmax(-1), batch["labels"]):
        ids = batch["input_ids"].clone().flatten()
        ids[batch["positions"]] = tokens
        states.append(base(ids.view(2, 9), attention_mask=mask)[0][mask.bool()].softmax(-1))
    p, s = states
    expected = (p * (p / s).log()).sum(-1).mean()
    assert float(module(**batch)["sentence"].detach()) / 14 == pytest.approx(
        float(expected.detach()), rel=1e-3
    )


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_samples_come_from_the_generators_distribution(electra_pair, temperature):
    module = ReplacedTokenDetection(*electra_pair(), temperature=temperature)
    torch.manual_seed(0)
    logits = torch.tensor([2.0, 0.0, -50.0, 1.0, 0.5]).expand(200_000, 5)
    drawn = torch.bincount(module._sampled(logits), minlength=5) / 200_000
    torch.testing.assert_close(drawn, (logits[0] / temperature).softmax(-1), atol=4e-3, rtol=0)
    assert drawn[2] == 0


def test_what_is_written_loads_everywhere_and_comes_back_bit_for_bit(electra_pair, tokenizer, tmp_path):
    module = _argmax(electra_pair)
    module.save(tmp_path, tokenizer)
    assert isinstance(ElectraForPreTraining.from_pretrained(tmp_path / "model"), ElectraForPreTraining)
    assert AutoModel.from_pretrained(tmp_path / "model").config.model_type == "electra"
    assert AutoModelForMaskedLM.from_pretrained(tmp_path / "generator") is not None
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for parameter in module.parameters():
        parameter.data.zero_()
    module.load(tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert module.generator.electra.embeddings is module.discriminator.electra.embeddings


def test_a_generator_of_another_shape_is_refused(electra_pair):
    generator, _ = electra_pair(embedding_size=4)
    _, discriminator = electra_pair()
    with pytest.raises(ModelError, match="different shapes"):
        ReplacedTokenDetection(generator, discriminator)
