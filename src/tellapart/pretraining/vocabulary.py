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

# Share of the vocabulary that single characters may take: Chinese needs thousands of them, others a hundred.
_CHARACTER_SHARE = 0.75

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


def train_wordpiece(
    source: TextSource,
    size: int,
    *,
    max_length: int,
    lowercase: bool = True,
    progress: Callable[[int], Any] | None = None,
) -> BertTokenizer:
    """Learns a vocabulary; the same texts always give the same one.

    Words are what stands between spaces and punctuation; each Chinese character is a word. Accents stay.

    Args:
        source: The texts, which are read three times.
        size: Tokens at most, the five special ones included; few texts give fewer.
        max_length: What the tokeniser truncates at unless told otherwise.
        lowercase: Whether capitals are taken for small letters.
        progress: Called with 1 after each text.

    Returns:
        A tokeniser of BERT's kind.
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
    # The library numbers the pieces that continue a word as it meets them, in an order that changes from run to run,
    # and breaks ties by these numbers. So they are found first, and then given as tokens that are there already.
    pieces = _learned(texts(), 1, alphabet, SPECIAL_TOKENS, normalizer)
    inner = sorted(piece for piece in pieces if piece.startswith("##") and len(piece) == 3)
    vocabulary = _learned(texts(), size, alphabet, [*SPECIAL_TOKENS, *inner], normalizer)
    return BertTokenizer(
        vocab=vocabulary, do_lower_case=lowercase, strip_accents=False, model_max_length=max_length
    )


def _learned(
    texts: Iterator[str], size: int, alphabet: list[str], tokens: list[str], normalizer: Any
) -> dict[str, int]:
    """Returns a vocabulary of `tokens`, the alphabet, and what is most frequent, up to `size`."""
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
