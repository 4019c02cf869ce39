from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from tellapart.data.batches import token_cache, tokenising
from tellapart.data.batches.tokenising import tokenise, tokenised_rows
from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.errors import DataError


def test_rows_of_a_transformers_script_are_taken_over():
    rows = [{"input_ids": [1, 2], "label": 1, "other": "x"}, {"input_ids": [3], "label": 0, "other": "y"}]
    dataset = tokenised_rows(rows)
    assert dataset.batch([0, 1])["input_ids"].tolist() == [[1, 2], [3, 0]]
    assert torch.equal(dataset.labels, torch.tensor([1, 0]))
    with pytest.raises(DataError, match="no input_ids, only text"):
        tokenised_rows([{"text": "a"}])


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("pairs", [True, False])
def test_rows_that_lost_tokens_are_counted_and_those_that_just_fit_are_not(tiny_encoder, fast, pairs):
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    words = ["card"] * 6
    longest = len(tokenizer(" ".join(words), " ".join(words) if pairs else None)["input_ids"])
    texts = [" ".join(words[:-1]), " ".join(words), " ".join([*words, "card"])]
    split = TextSplit(texts, [" ".join(words)] * 3 if pairs else None)
    # What a tokeniser without the tokenizers library gives has no record of what was cut off.
    rows = tokenise(split, tokenizer if fast else _Plainly(tokenizer), max_length=longest)
    assert rows.cut.tolist() == [False, False, True]
    assert rows.cut_share == pytest.approx(1 / 3)
    assert rows.lengths.tolist()[1:] == [longest, longest]


class _Plainly:
    def __init__(self, tokenizer) -> None:
        self.tokenizer, self.pad_token_id = tokenizer, tokenizer.pad_token_id

    def __call__(self, *given, **options) -> dict:
        return dict(self.tokenizer(*given, **options))


TEXTS = [f"my card number {number} was stolen in a shop" for number in range(7)] + ["", "late " * 60]


@pytest.fixture
def tokenizer(tiny_encoder):
    return AutoTokenizer.from_pretrained(tiny_encoder)


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("TELLAPART_CACHE", str(tmp_path))
    monkeypatch.setattr(token_cache, "FEWEST_ROWS", 1)
    return tmp_path / "tokens"


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_ids_are_those_of_one_call_of_the_tokeniser(tokenizer, monkeypatch, pairs, at_once):
    monkeypatch.setattr(tokenising, "ROWS_AT_ONCE", at_once)
    others = TEXTS[::-1] if pairs else None
    rows = tokenise(TextSplit(TEXTS, others), tokenizer, max_length=24)
    expected = tokenizer(TEXTS, others, truncation=True, max_length=24)
    for number, ids in enumerate(expected["input_ids"]):
        batch = rows.batch([number])
        assert batch["input_ids"][0].tolist() == ids
        if pairs:
            assert batch["token_type_ids"][0].tolist() == expected["token_type_ids"][number]
    assert ("token_type_ids" in rows.columns) == pairs


def test_a_tokeniser_that_does_more_than_the_library_is_called_as_it_is(tokenizer):
    class Shouting(type(tokenizer)):
        def __call__(self, text, *given, **options):
            return super().__call__([each.replace("card", "stolen") for each in text], *given, **options)

    tokenizer.__class__ = Shouting
    rows = tokenise(TextSplit(["card"]), tokenizer, max_length=24)
    other = tokenise(TextSplit(["stolen"]), tokenizer, max_length=24)
    assert torch.equal(rows.columns["input_ids"], other.columns["input_ids"])


def test_no_rows_are_no_tokens(tokenizer):
    assert len(tokenise(TextSplit([]), tokenizer, max_length=24)) == 0


def test_large_sets_are_tokenised_once(tokenizer, cache, monkeypatch):
    labels = LabelSpace(("a", "b"))
    split = TextSplit(TEXTS, TEXTS[::-1], labels=["a", "b", *["a"] * 7])
    first = tokenise(split, tokenizer, max_length=24, labels=labels)
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(tokenising, "_encode_fast", None)
    again = tokenise(split, tokenizer, max_length=24, labels=labels)
    assert again.cut.tolist() == first.cut.tolist()
    assert again.columns.keys() == first.columns.keys()
    for name, value in first.batch(range(len(TEXTS))).items():
        assert torch.equal(again.batch(range(len(TEXTS)))[name], value)


def test_what_changes_the_ids_changes_the_name(tokenizer):
    keys = set()

    def add(split: TextSplit, length: int = 24) -> None:
        keys.add(token_cache.tokens_key(split, tokenizer, length))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_cache, "FEWEST_ROWS", 1)
        add(TextSplit(["ab", "c"]))
        add(TextSplit(["ab", "c"]), 12)
        add(TextSplit(["a", "bc"]))
        add(TextSplit(["c", "ab"]))
        add(TextSplit(["ab"], ["c"]))
        tokenizer.truncation_side = "left"
        add(TextSplit(["ab", "c"]))
        tokenizer.add_tokens(["ab"])
        add(TextSplit(["ab", "c"]))
    assert len(keys) == 7


def test_the_name_does_not_depend_on_what_was_tokenised_before(tokenizer, cache):
    split = TextSplit(["ab", "c"])
    before = token_cache.tokens_key(split, tokenizer, 24)
    tokenizer(["a longer text than that"], truncation=True, max_length=4, padding="max_length")
    assert token_cache.tokens_key(split, tokenizer, 24) == before


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\xff" * 100])
def test_a_damaged_file_is_made_again(tokenizer, cache, content):
    first = tokenise(TextSplit(TEXTS), tokenizer, max_length=24)
    (file,) = cache.iterdir()
    file.write_bytes(content)
    again = tokenise(TextSplit(TEXTS), tokenizer, max_length=24)
    assert torch.equal(again.columns["input_ids"], first.columns["input_ids"])
    assert file.read_bytes() != content


def test_a_cache_that_cannot_be_written_is_none(tokenizer, cache):
    cache.write_text("a file where the folder would be")
    assert len(tokenise(TextSplit(TEXTS), tokenizer, max_length=24)) == len(TEXTS)


def test_nothing_is_kept_of_few_rows_or_against_ones_will(tokenizer, cache, monkeypatch):
    monkeypatch.setenv("TELLAPART_TOKEN_CACHE", "0")
    tokenise(TextSplit(TEXTS), tokenizer, max_length=24)
    monkeypatch.delenv("TELLAPART_TOKEN_CACHE")
    monkeypatch.setattr(token_cache, "FEWEST_ROWS", len(TEXTS) + 1)
    tokenise(TextSplit(TEXTS), tokenizer, max_length=24)
    assert not cache.exists()


def test_others_cannot_read_what_is_kept_and_the_oldest_goes_first(tokenizer, cache, monkeypatch):
    for number in range(3):
        tokenise(TextSplit([*TEXTS, str(number)]), tokenizer, max_length=24)
        for place, file in enumerate(sorted(cache.iterdir(), key=lambda each: each.stat().st_mtime)):
            os.utime(file, (place, place))
    assert cache.stat().st_mode & 0o077 == 0
    size = max(file.stat().st_size for file in cache.iterdir())
    monkeypatch.setattr(token_cache, "LARGEST_CACHE", 2 * size)
    newest = {file.name for file in cache.iterdir() if file.stat().st_mtime == 2}
    tokenise(TextSplit([*TEXTS, "3"]), tokenizer, max_length=24)
    left = {file.name for file in cache.iterdir()}
    assert len(left) == 2
    assert newest < left


def test_a_label_that_is_not_known_is_refused(tokenizer):
    with pytest.raises(DataError):
        tokenise(TextSplit(["a"], labels=["x"]), tokenizer, max_length=24, labels=LabelSpace(("a", "b")))


def test_lengths_are_counted_in_tokens(tokenizer):
    rows = tokenise(TextSplit(TEXTS), tokenizer, max_length=24)
    expected = [len(ids) for ids in tokenizer(TEXTS, truncation=True, max_length=24)["input_ids"]]
    np.testing.assert_array_equal(rows.lengths.numpy(), expected)
