"""Encodes texts by the tokenizers library alone, without torch and without Transformers' Python code for each row."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.tokenization_utils_base import TruncationStrategy
from transformers.utils import PaddingStrategy

from tellapart.data.examples import TextSplit


def is_plain_fast(tokenizer: Any) -> bool:
    """Whether a tokeniser returns the ids of the tokenizers library unchanged, which `encodings` requires."""
    kind = type(tokenizer)
    return (
        isinstance(tokenizer, PreTrainedTokenizerFast)
        and kind._encode_plus is PreTrainedTokenizerFast._encode_plus
        and kind.__call__ is PreTrainedTokenizerBase.__call__
    )


def encodings(
    split: TextSplit, tokenizer: PreTrainedTokenizerFast, max_length: int | None = None
) -> list[Any]:
    """Encodes the texts or pairs of a split, without offsets and padding.

    Args:
        split: The texts; of a pair the longer one is truncated first.
        tokenizer: One for which `is_plain_fast` holds.
        max_length: Maximum length of a row in tokens, special tokens included; None for no truncation.

    Returns:
        A `tokenizers.Encoding` per row; its length is the number of tokens.
    """
    cut = TruncationStrategy.DO_NOT_TRUNCATE if max_length is None else TruncationStrategy.LONGEST_FIRST
    tokenizer.set_truncation_and_padding(
        padding_strategy=PaddingStrategy.DO_NOT_PAD,
        truncation_strategy=cut,
        max_length=0 if max_length is None else max_length,
        stride=0,
        pad_to_multiple_of=None,
        padding_side=None,
    )
    backend = tokenizer.backend_tokenizer
    backend.encode_special_tokens = tokenizer.split_special_tokens
    pairs = split.text_pairs
    rows = list(split.texts) if pairs is None else list(zip(split.texts, pairs, strict=True))
    return backend.encode_batch_fast(rows)
