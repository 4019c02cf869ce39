"""How rows become inputs: padding changes nothing, and the two texts of a pair are told apart."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from transformers import AutoTokenizer, BertTokenizer

from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import TextSplit
from tellapart.encoders.loading import load_tokenizer
from tellapart.encoders.pooling import _LAYOUTS, Pooling
from tellapart.encoders.transformer import save_classifier
from tellapart.question_answering.runs import load_qa_encoder

TWO_TYPES = ("bert", "albert", "electra")

WORDS = st.sampled_from(["my", "card", "key", "the", "was", "lost", "thief", "in", "town", ".", "now", "?"])
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=25).map(" ".join), min_size=2, max_size=5)


@pytest.fixture(scope="module")
def ready(load_family, tasks):
    """A family's classifier in evaluation mode, all its weights moved off 0 and 1, and its tokeniser."""
    done = {}

    def get(family):
        if family not in done:
            model, tokenizer = load_family(family, tasks["documents" if family == "han" else "pairs"])
            torch.manual_seed(1)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(0.05 * torch.randn_like(parameter))
            done[family] = model.eval(), tokenizer
        return done[family]

    return get


def _logits(model, rows, numbers):
    with torch.no_grad():
        return model(**rows.batch(numbers)).logits


@settings(deadline=None, max_examples=8)
@given(texts=TEXTS, paired=st.booleans())
def test_a_row_in_a_padded_batch_is_the_row_alone(ready, family, texts, paired):
    model, tokenizer = ready(family)
    split = TextSplit(texts, texts[::-1] if paired else None)
    rows = tokenise(split, tokenizer, max_length=64)
    together = _logits(model, rows, range(len(rows)))
    alone = torch.cat([_logits(model, rows, [number]) for number in range(len(rows))])
    assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_rows_of_different_words_have_different_logits(ready, family):
    """Or the property above would hold for a model that reads nothing."""
    model, tokenizer = ready(family)
    rows = tokenise(TextSplit(["my card was lost", "the key has expired today"]), tokenizer, max_length=64)
    first, second = _logits(model, rows, [0, 1])
    assert float((first - second).abs().max()) > 1e-3


@settings(deadline=None, max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    kind=st.sampled_from(["bert", "electra"]),
    pooling=st.sampled_from(["mean", "cls"]),
    seed=st.integers(0, 99),
)
def test_pooling_does_not_see_what_stands_at_padding(lengths, kind, pooling, seed):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(len(lengths), max(lengths), 8, generator=generator)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    module = Pooling(pooling, _LAYOUTS[kind], 1e-12)

    def pooled(values, given):
        module.attention_mask = given
        return module(values)

    together = pooled(hidden, mask)
    elsewhere = pooled(torch.where(mask.bool()[..., None], hidden, 1e3), mask)
    assert torch.equal(together, elsewhere)
    for row, length in enumerate(lengths):
        assert_close(pooled(hidden[row : row + 1, :length], None)[0], together[row], atol=1e-5, rtol=1e-5)


def test_the_order_of_a_pair_matters_to_every_family(ready, family):
    model, tokenizer = ready(family)
    first, second = "my card was lost in town", "a key has expired"
    rows = tokenise(TextSplit([first, second], [second, first]), tokenizer, max_length=64)
    there, back = _logits(model, rows, [0, 1])
    assert float((there - back).abs().max()) > 1e-4


def test_token_types_reach_the_families_that_read_them_and_no_other(ready, stock_family):
    model, tokenizer = ready(stock_family)
    pair = TextSplit(["my card was lost"], ["a key"])
    rows = tokenise(pair, tokenizer, max_length=64)
    assert ("token_type_ids" in rows.columns) == (stock_family in TWO_TYPES)
    if stock_family in TWO_TYPES:
        batch = rows.batch([0])
        types = batch["token_type_ids"][0].tolist()
        assert types == sorted(types)
        assert set(types) == {0, 1}
        with torch.no_grad():
            equal = model(**batch | {"token_type_ids": torch.zeros_like(batch["input_ids"])}).logits
        assert float((_logits(model, rows, [0]) - equal).abs().max()) > 1e-4
    single = dataclasses.replace(pair, text_pairs=None)
    assert "token_type_ids" not in tokenise(single, tokenizer, max_length=64).columns


def test_what_a_tokeniser_gives_is_saved_with_the_classifier(ready, stock_family, tmp_path):
    """A pipeline reads pairs as the classifier did in training, whatever the tokeniser's class does by itself."""
    model, tokenizer = ready(stock_family)
    save_classifier(model, tmp_path, tokenizer)
    for loaded in (AutoTokenizer.from_pretrained(tmp_path), load_tokenizer(str(tmp_path))):
        assert loaded.model_input_names == tokenizer.model_input_names
        assert loaded("a key", "my card").data == tokenizer("a key", "my card").data


def test_questions_and_contexts_are_told_apart_by_token_types(encoder_folder):
    _, tokenizer = load_qa_encoder(encoder_folder("albert"))
    assert set(tokenizer("when", "today in town")["token_type_ids"]) == {0, 1}


def test_a_tokeniser_of_two_types_gives_none_to_an_encoder_of_one(encoder_folder, tmp_path, texts):
    import shutil

    folder = shutil.copytree(encoder_folder("roberta"), tmp_path / "encoder")
    for file in folder.glob("*token*"):
        file.unlink()
    BertTokenizer(vocab={"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "card": 4}).save_pretrained(folder)
    assert "token_type_ids" not in load_tokenizer(str(folder))("card", "card")
