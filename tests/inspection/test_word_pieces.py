from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.inspection.word_pieces import Attribution, Place, effects_of_words, whole_words, words_of


def test_tokens_are_summed_into_words():
    text = "embeddings, too"
    tokens = [Place(0, 0, 5), Place(0, 5, 10), Place(0, 10, 11), Place(0, 12, 15)]
    words = whole_words([text], tokens)
    assert [text[word.start : word.end] for word in words] == ["embeddings", ",", "too"]
    assert effects_of_words(words, Attribution(0, 0, tokens, [1, 2, 4, 8])) == [3, 4, 8]


def test_words_are_joined_where_a_token_has_characters_of_several():
    assert len(words_of(["don't 很不错"])) == 5
    tokens = [Place(0, 0, 3), Place(0, 3, 5), Place(0, 6, 8), Place(0, 8, 9)]
    words = whole_words(["don't 很不错"], tokens)
    assert [(word.start, word.end) for word in words] == [(0, 5), (6, 8), (8, 9)]


@settings(derandomize=True, deadline=None)
@given(
    st.text(alphabet="ab ,'很不", max_size=12),
    st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6), st.integers(-5, 5)), max_size=6),
)
def test_every_token_with_a_letter_is_in_one_word(text, given_tokens):
    tokens = [Place(0, start, min(len(text), start + size)) for start, size, _ in given_tokens]
    effects = [float(effect) for _, _, effect in given_tokens]
    words = whole_words([text], tokens)
    assert all(first.end <= second.start for first, second in pairwise(words))
    found = effects_of_words(words, Attribution(0, 0, tokens, effects))
    held = [
        effect
        for token, effect in zip(tokens, effects, strict=True)
        if any(token.start < word.end and word.start < token.end for word in words_of([text]))
    ]
    assert sum(found) == sum(held)
