"""Tells tokenisers with a vocabulary from those that Transformers makes of a folder without one."""

from __future__ import annotations

from typing import Any

_WORD_BEGINNINGS = {"▁", "Ġ"}
"""Tokens that some tokenisers add themselves to mark where a word begins."""


def has_vocabulary(tokenizer: Any) -> bool:
    """Whether the vocabulary of a Transformers tokeniser has more than special tokens.

    From a folder without vocabulary, Transformers makes a tokeniser that does not: every word is unknown to it, and
    a model predicts the same class for all texts of equal length.
    """
    return bool(tokenizer.get_vocab().keys() - set(tokenizer.all_special_tokens) - _WORD_BEGINNINGS)
