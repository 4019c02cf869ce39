"""The vocabulary of a tokeniser: its tokens in the order of their ids, and the words that they are."""

from __future__ import annotations

import hashlib
from typing import Any

_WORD_STARTS = ("Ġ", "▁")  # how byte-level BPE and SentencePiece mark a token that begins a word


def vocabulary_tokens(tokenizer: Any) -> list[str]:
    """Returns the tokens in the order of their ids; the empty string for an id that no token has."""
    by_token: dict[str, int] = tokenizer.get_vocab()
    tokens = [""] * (max(by_token.values(), default=-1) + 1)
    for token, index in by_token.items():
        tokens[index] = token
    return tokens


def vocabulary_fingerprint(tokenizer: Any) -> str:
    """Returns the SHA-256 of the tokens in the order of their ids: equal for tokenisers of one vocabulary."""
    return hashlib.sha256(
        "\0".join(vocabulary_tokens(tokenizer)).encode("utf-8", "surrogatepass")
    ).hexdigest()


def vocabulary_words(tokenizer: Any) -> list[str | None]:
    """Returns the word that each token is, in lower case and in the order of the ids; None for other tokens.

    No words are special tokens, continuations of a word and tokens without a letter or digit. In a WordPiece
    vocabulary a continuation begins with `##`; in byte-level BPE and SentencePiece vocabularies it is what does
    not carry their mark of a word's beginning.
    """
    tokens = vocabulary_tokens(tokenizer)
    special = set(tokenizer.all_special_tokens)
    marked = {start: sum(token.startswith(start) for token in tokens) for start in _WORD_STARTS}
    start = max(marked, key=marked.__getitem__)
    if marked[start] < len(tokens) / 10:  # some WordPiece vocabularies hold the character itself
        start = ""

    def word(token: str) -> str | None:
        if token in special or token.startswith("##") or not token.startswith(start):
            return None
        if start == "Ġ" and not token.isascii():  # its other characters stand for bytes
            token = tokenizer.convert_tokens_to_string([token])
        text = token.removeprefix(start).strip().lower()
        return text if any(character.isalnum() for character in text) else None

    return [word(token) for token in tokens]
