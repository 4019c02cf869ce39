from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tellapart.pretraining.mlm import MaskedLanguageModelling
from tellapart.pretraining.synonyms import SynonymTable
from tellapart.pretraining.terms import Corrections, filled


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    mask = (torch.arange(9) < torch.tensor([9, 5])[:, None]).long()
    positions = torch.tensor([1, 3, 7, 10, 12])
    return {
        "input_ids": torch.randint(5, 200, (2, 9)) * mask,
        "attention_mask": mask,
        "positions": positions,
        "labels": torch.tensor([17, 30, 41, 30, 99]),
    }


@pytest.fixture
def guesses(language_model, batch) -> torch.Tensor:
    """What the model predicts at the masked places."""
    model = language_model()
    logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return logits.flatten(0, 1)[batch["positions"]].argmax(-1)


def table_of(pairs: list[tuple[int, int]], size: int = 200) -> SynonymTable:
    keys = torch.tensor(sorted(gold * size + predicted for gold, predicted in pairs))
    return SynonymTable(keys, vocabulary_size=size, vocabulary_fingerprint="none", source="test", options={})


def _means(model, batch) -> dict[str, float]:
    """Each term's sum over what it is a mean over."""
    outputs = model(**batch)
    counts = {"masked": len(batch["labels"]), "tokens": int(batch["attention_mask"].sum())}
    return {name: float(outputs[name].detach()) / counts[term.over] for name, term in model.terms.items()}


def test_without_correction_the_loss_is_that_of_the_stock_model(language_model, batch):
    model = language_model()
    labels = torch.full((18,), -100)
    labels[batch["positions"]] = batch["labels"]
    stock = model(batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels.view(2, 9)).loss
    assert _means(MaskedLanguageModelling(model), batch) == pytest.approx({"mlm": float(stock.detach())})


def test_a_softmax_temperature_divides_the_logits_of_the_loss_and_of_nothing_else(language_model, batch):
    model = language_model()
    logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits.flatten(0, 1)
    logits = logits[batch["positions"]]
    expected = functional.cross_entropy(logits / 2.5, batch["labels"])
    tempered = MaskedLanguageModelling(model, Corrections.named("none", loss_temperature=2.5))
    assert _means(tempered, batch) == pytest.approx({"mlm": float(expected.detach())}, rel=1e-5)
    assert int(tempered(**batch)["correct"]) == int((logits.argmax(-1) == batch["labels"]).sum())
    neutral = MaskedLanguageModelling(model, Corrections.named("none", loss_temperature=1.0))
    assert _means(neutral, batch) == _means(MaskedLanguageModelling(model), batch)


def test_hard_correction_is_the_mean_over_the_places_that_are_left(language_model, batch, guesses):
    batch["labels"][4] = guesses[4]  # a right prediction stays
    model = language_model()
    table = table_of([(int(batch["labels"][1]), int(guesses[1])), (1, 2)])
    logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits.flatten(0, 1)
    left = [0, 2, 3, 4]
    expected = functional.cross_entropy(logits[batch["positions"][left]], batch["labels"][left])
    module = MaskedLanguageModelling(model, Corrections.named("hard", table))
    assert _means(module, batch) == pytest.approx({"mlm": float(expected.detach())}, rel=1e-5)
    assert int(module(**batch)["correct"]) == int((guesses == batch["labels"]).sum())
    # The whole batch twice: 1 of 4 wrong predictions, in 1 of 2 sequences.
    assert (module.rates.prediction_level, module.rates.iteration_level) == (1 / 4, 1 / 2)


def test_a_batch_whose_predictions_are_all_corrected_has_no_loss(language_model, batch, guesses):
    pairs = set(zip(batch["labels"].tolist(), guesses.tolist(), strict=True))
    module = MaskedLanguageModelling(language_model(), Corrections.named("hard", table_of(list(pairs))))
    total = module(**batch)["mlm"]
    total.backward()
    assert float(total.detach()) == 0
    assert all(
        torch.isfinite(parameter.grad).all()
        for parameter in module.parameters()
        if parameter.grad is not None
    )


def test_soft_regularisation_is_one_minus_the_cosine_of_the_input_embeddings(language_model, batch, guesses):
    model = language_model()
    table = model.get_input_embeddings().weight.detach()
    expected = 0.0
    for gold, predicted in zip(batch["labels"].tolist(), guesses.tolist(), strict=True):
        e, r = table[gold].tolist(), table[predicted].tolist()
        dot = sum(a * b for a, b in zip(e, r, strict=True))
        expected += 1 - dot / math.sqrt(sum(a * a for a in e) * sum(b * b for b in r))
    means = _means(MaskedLanguageModelling(model, Corrections.named("soft")), batch)
    assert means["soft"] == pytest.approx(expected / 5, rel=1e-4)


@pytest.mark.parametrize("tied", [True, False])
def test_the_gradient_of_soft_regularisation_is_dense_and_the_plain_one(language_model, batch, tied):
    found = []
    for plain in (True, False):
        model = language_model(tie_word_embeddings=tied)
        module = MaskedLanguageModelling(model, Corrections.named("soft"))
        assert module.head.tied == tied
        for _ in range(2):  # accumulated
            outputs = module(**batch)
            soft = outputs["soft"]
            if plain:
                table = model.get_input_embeddings().weight
                predicted = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
                predicted = predicted.flatten(0, 1)[batch["positions"]].argmax(-1)
                soft = (1 - functional.cosine_similarity(table[batch["labels"]], table[predicted])).sum()
            (outputs["mlm"] + soft).backward()
        found.append({name: parameter.grad for name, parameter in module.named_parameters()})
    for name, expected in found[0].items():
        if expected is not None:  # of the pooler's parameters, in some families
            assert not found[1][name].is_sparse
            torch.testing.assert_close(found[1][name], expected, atol=1e-6, rtol=1e-5)


def test_sentence_regularisation_compares_the_filled_sentence_with_the_original(
    language_model, batch, guesses
):
    model = language_model()
    states = []
    for tokens in (guesses, batch["labels"]):
        ids = batch["input_ids"].clone().flatten()
        for place, token in zip(batch["positions"].tolist(), tokens.tolist(), strict=True):
            ids[place] = token
        hidden = model.base_model(ids.view(2, 9), attention_mask=batch["attention_mask"])[0]
        states.append(hidden[batch["attention_mask"].bool()].softmax(-1))
    p, s = states
    expected = (p * (p / s).log()).sum(-1).mean()
    module = MaskedLanguageModelling(model, Corrections.named("soft-sentence"))
    assert _means(module, batch)["sentence"] == pytest.approx(float(expected.detach()), rel=1e-4)


def test_the_original_sentence_takes_a_gradient_only_when_asked_to(language_model, batch):
    found = []
    for detached in (True, False):
        model = language_model()
        corrections = Corrections(sentence=True, detach_original=detached)
        MaskedLanguageModelling(model, corrections)(**batch)["sentence"].backward()
        found.append(model.base_model.encoder.layer[0].output.dense.weight.grad)
    assert found[0].any()
    assert not torch.allclose(found[0], found[1])


def test_filling_in_changes_a_copy():
    ids = torch.arange(6).view(2, 3)
    result = filled(ids, torch.tensor([1, 5]), torch.tensor([8, 9]))
    assert result.tolist() == [[0, 8, 2], [3, 4, 9]]
    assert ids.tolist() == [[0, 1, 2], [3, 4, 5]]
