"""A WordPiece tokeniser learned from raw texts, for a model that starts from nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import BertTokenizer

from tellapart.pretraining.texts import TextSource

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

# Share of the vocabulary that single characters may take: Chinese needs thousands of them, others a hundred.
_CHARACTER_SHARE = 0.75


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
