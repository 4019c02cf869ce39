"""Tokeniser vocabularies: the tokens and words of a tokeniser, and training a WordPiece tokeniser."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import BertTokenizer

from tellapart.pretraining.texts import TextSource

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

# Maximum share of single characters in the vocabulary: Chinese needs thousands, other languages a hundred.
_CHARACTER_SHARE = 0.75

_WORD_STARTS = ("Ġ", "▁")  # prefixes of word-initial tokens in byte-level BPE and SentencePiece


def vocabulary_tokens(tokenizer: Any) -> list[str]:
    """Returns the tokens by id; unused ids have the empty string."""
    by_token: dict[str, int] = tokenizer.get_vocab()
    tokens = [""] * (max(by_token.values(), default=-1) + 1)
    for token, index in by_token.items():
        tokens[index] = token
    return tokens


def vocabulary_fingerprint(tokenizer: Any) -> str:
    """Returns the SHA-256 of the tokens in the order of their ids."""
    return hashlib.sha256(
        "\0".join(vocabulary_tokens(tokenizer)).encode("utf-8", "surrogatepass")
    ).hexdigest()


def vocabulary_words(tokenizer: Any) -> list[str | None]:
    """Returns the lower-case word of each token by id; None for tokens that are not whole words.

    Not words are special tokens, continuations of a word, and tokens without a letter or digit. Continuations begin
    with `##` in WordPiece vocabularies, and lack the word-initial prefix in byte-level BPE and SentencePiece.
    """
    tokens = vocabulary_tokens(tokenizer)
    special = set(tokenizer.all_special_tokens)
    marked = {start: sum(token.startswith(start) for token in tokens) for start in _WORD_STARTS}
    start = max(marked, key=marked.__getitem__)
    if marked[start] < len(tokens) / 10:  # some WordPiece vocabularies contain the character itself
        start = ""

    def word(token: str) -> str | None:
        if token in special or token.startswith("##") or not token.startswith(start):
            return None
        if start == "Ġ" and not token.isascii():  # its other characters encode bytes
            token = tokenizer.convert_tokens_to_string([token])
        text = token.removeprefix(start).strip().lower()
        return text if any(character.isalnum() for character in text) else None

    return [word(token) for token in tokens]


def train_wordpiece(
    source: TextSource,
    size: int,
    *,
    max_length: int,
    lowercase: bool = True,
    progress: Callable[[int], Any] | None = None,
) -> BertTokenizer:
    """Trains a WordPiece tokeniser deterministically.

    Words are separated by spaces and punctuation; each Chinese character is a word. Accents are kept.

    Args:
        source: The texts, which are read three times.
        size: Maximum number of tokens, including five special tokens; small corpora yield fewer.
        max_length: The tokeniser's default truncation length.
        lowercase: Whether to lowercase texts.
        progress: Called with 1 after each text.
    """
    normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=False)

    def texts() -> Iterator[str]:
        for text in source.lines():
            yield text
            if progress is not None:
                progress(1)

    counts: Counter[str] = Counter()
    for text in texts():
        counts.update(normalizer.normalize_str(text))
    for space in [character for character in counts if character.isspace()]:
        del counts[space]
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    alphabet = ranked[: int(_CHARACTER_SHARE * size)]
    # The library numbers continuation pieces in an order that changes from run to run, and breaks ties by these
    # numbers. So they are found in a first pass, and then given as existing tokens.
    pieces = _learned(texts(), 1, alphabet, SPECIAL_TOKENS, normalizer)
    inner = sorted(piece for piece in pieces if piece.startswith("##") and len(piece) == 3)
    vocabulary = _learned(texts(), size, alphabet, [*SPECIAL_TOKENS, *inner], normalizer)
    return BertTokenizer(
        vocab=vocabulary, do_lower_case=lowercase, strip_accents=False, model_max_length=max_length
    )


def _learned(
    texts: Iterator[str], size: int, alphabet: list[str], tokens: list[str], normalizer: Any
) -> dict[str, int]:
    """Returns a vocabulary of `tokens`, the alphabet and the most frequent pieces, up to `size`."""
    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learner.normalizer = normalizer
    learner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=tokens,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        continuing_subword_prefix="##",
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    return learner.get_vocab()
