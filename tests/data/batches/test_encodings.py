from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tellapart.data.batches.encodings import encodings, is_plain_fast
from tellapart.data.checks import _token_counts
from tellapart.data.examples import TextSplit

texts = st.lists(st.text(alphabet="card lost naïve日本 [SEP]\n\t", max_size=60), min_size=1, max_size=12)


@given(first=texts, second=texts, pairs=st.booleans(), max_length=st.one_of(st.none(), st.integers(4, 12)))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_encodings_are_those_of_transformers(tiny_encoder, first, second, pairs, max_length):
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    rows = min(len(first), len(second))
    split = TextSplit(first[:rows], second[:rows] if pairs else None)
    cut = {"truncation": False} if max_length is None else {"truncation": True, "max_length": max_length}
    expected = tokenizer(split.texts, split.text_pairs, **cut, verbose=False)["input_ids"]
    assert is_plain_fast(tokenizer)
    assert [row.ids for row in encodings(split, tokenizer, max_length)] == expected


@pytest.mark.parametrize("pairs", [True, False])
def test_tokens_are_counted_in_chunks_and_for_the_longest_of_several_tokenisers(tiny_encoder, pairs):
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    written = [" ".join(["card"] * number) for number in range(25)]
    split = TextSplit(written, written[::-1] if pairs else None)
    expected = [len(row) for row in tokenizer(split.texts, split.text_pairs)["input_ids"]]
    assert _token_counts(split, tokenizer, chunk=10).tolist() == expected
    longer = _Longer(tokenizer)
    assert not is_plain_fast(longer)
    assert _token_counts(split, _Parts([tokenizer, longer]), chunk=10).tolist() == [n + 1 for n in expected]


class _Longer:
    """A tokeniser of Python code alone, which adds a token."""

    def __init__(self, tokenizer) -> None:
        self._tokenizer = tokenizer

    def __call__(self, *given, **options) -> dict:
        return {"input_ids": [[*row, 0] for row in self._tokenizer(*given, **options)["input_ids"]]}


class _Parts:
    def __init__(self, parts) -> None:
        self.parts = parts
