"""Trains word, character or subword tokenisers on the texts of a run, for encoders trained from scratch.

They consist of components of the `tokenizers` library only, so that `AutoTokenizer` can load `tokenizer.json` without
tellapart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from tokenizers import Regex, Tokenizer, normalizers, processors
from tokenizers.models import BPE, WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.trainers import BpeTrainer, WordLevelTrainer
from transformers import PreTrainedTokenizerFast

from tellapart.errors import DataError

TokensName = Literal["auto", "words", "characters", "subwords"]

MINIMUM_COUNT = 2
"""Minimum frequency of a word in the training texts; rarer words are mapped to `[UNK]`."""

PADDING, UNKNOWN, SEPARATOR = "[PAD]", "[UNK]", "[SEP]"
SPECIAL_TOKENS = [PADDING, UNKNOWN, SEPARATOR]

# Scripts without spaces between words: Thai, Lao, Burmese, Khmer, kana and Han, as ranges of a character class.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
UNSPACED_SHARE = 0.2
"""Minimum share of letters in such scripts for which `auto` chooses subwords."""

# Minimum frequency and maximum length of a subword.
_PIECE_COUNT = 10
_PIECE_LENGTH = 8

_SPACED_LETTER = rf"[\w&&[^{UNSPACED}]]"


def _words(letter: str) -> str:
    """Returns the pattern of words, with contractions split as in the Penn Treebank: ca|n't, it|'s."""
    return rf"n't\b|'(?:s|re|ve|d|ll|m)\b|{letter}+?(?=n't\b)|{letter}+"


_MARK = r"[^\w\s]"
_PATTERNS = {
    "words": "|".join([_words(r"\w"), _MARK]),
    "characters": "|".join([f"[{UNSPACED}]", _words(_SPACED_LETTER), _MARK]),
    "subwords": "|".join([f"[{UNSPACED}]+", _words(_SPACED_LETTER), _MARK]),
}

_END, _WIDE_END, _CLOSING = ".!?", "。！？｡", "\"'”’)\\]」』）】"
# A sentence starts after a full-width mark; after a mark and a space; after ! and ? before a script without spaces;
# after a line break. A closing quote or bracket belongs to the previous sentence.
_SENTENCE_START = "|".join(
    [
        rf"(?<=[{_WIDE_END}])\s*(?=[^{_WIDE_END}{_CLOSING}\s])",
        rf"(?<=[{_WIDE_END}][{_CLOSING}])\s*(?=[^{_WIDE_END}{_CLOSING}\s])",
        rf"(?<=[{_END}])\s+(?=\S)",
        rf"(?<=[{_END}][{_CLOSING}])\s+(?=\S)",
        rf"(?<=[!?])(?=[{UNSPACED}])",
        r"(?<=\S)\s*\n\s*(?=\S)",
    ]
)


def word_spans(text: str) -> list[tuple[int, int]]:
    """Returns the start and end of each word of a text; marks, and letters of scripts without spaces, are words.

    The words are those of `learn_tokenizer` with `characters`.
    """
    found = Split(Regex(_PATTERNS["characters"]), "removed", invert=True).pre_tokenize_str(text)
    return [span for _, span in found]


def learn_tokenizer(
    texts: Sequence[str],
    *,
    tokens: TokensName = "auto",
    vocabulary_size: int = 30_000,
    minimum_count: int = 2,
    lowercase: bool = True,
    sentences: bool = False,
) -> PreTrainedTokenizerFast:
    """Trains a tokeniser and its vocabulary on texts.

    Args:
        texts: N training texts.
        tokens: `words`: runs of letters and digits, and single punctuation marks; for languages with spaces.
            `characters`: the same, but with each Han character, kana, Thai letter … as a token. `subwords`:
            byte-pair encoding (Sennrich et al. 2016) within runs of letters, for languages without spaces.
            `auto`: `subwords` if at least `UNSPACED_SHARE` of the letters are of such scripts, else `words`.
        vocabulary_size: Maximum number of tokens, special tokens included; the most frequent are kept.
        minimum_count: Minimum frequency of a word; all rarer words are mapped to `[UNK]`.
        lowercase: Whether to lowercase.
        sentences: Whether to insert `[SEP]` between the sentences of a text: after `.`, `!` and `?` before a space,
            after 。！？ and at line breaks.

    Returns:
        A tokeniser with `[PAD]` (0), `[UNK]` (1) and `[SEP]` (2), which also separates the texts of a pair.

    Raises:
        DataError: No word occurs often enough.

    References:
        Sennrich, Haddow, Birch (2016), Neural Machine Translation of Rare Words with Subword Units, §3.2.
    """
    kind = _resolved(tokens, texts)
    tokenizer = Tokenizer(
        BPE(unk_token=UNKNOWN, fuse_unk=True, ignore_merges=True)
        if kind == "subwords"
        else WordLevel(unk_token=UNKNOWN)
    )
    # [SEP] is inserted between sentences only after training, so that its characters are not learned.
    tokenizer.normalizer = _normalizer(lowercase)
    tokenizer.pre_tokenizer = Split(Regex(_PATTERNS[kind]), "removed", invert=True)
    tokenizer.train_from_iterator(texts, _trainer(kind, vocabulary_size, minimum_count), length=len(texts))
    if tokenizer.get_vocab_size() <= len(SPECIAL_TOKENS):
        raise DataError(
            f"no {'piece' if kind == 'subwords' else 'word'} occurs often enough in the training texts to be learned",
            "give more texts, or a trained encoder",
        )
    if sentences:
        tokenizer.normalizer = _normalizer(lowercase, sentences=True)
        pattern = re.escape(SEPARATOR) + "|" + _PATTERNS[kind]
        tokenizer.pre_tokenizer = Split(Regex(pattern), "removed", invert=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A", pair=f"$A {SEPARATOR} $B", special_tokens=[(SEPARATOR, SPECIAL_TOKENS.index(SEPARATOR))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PADDING,
        unk_token=UNKNOWN,
        sep_token=SEPARATOR,
        model_input_names=["input_ids", "attention_mask"],
    )


def build_tokenizer(
    name: str,
    texts: Sequence[str],
    *,
    tokens: TokensName = "auto",
    vocabulary_size: int = 30_000,
    minimum_count: int = MINIMUM_COUNT,
) -> PreTrainedTokenizerFast:
    """Trains the tokeniser of `textcnn`, or of `han` with sentence separators; see `learn_tokenizer`."""
    return learn_tokenizer(
        texts,
        tokens=tokens,
        vocabulary_size=vocabulary_size,
        minimum_count=minimum_count,
        sentences=name == "han",
    )


def add_words(tokenizer: PreTrainedTokenizerFast, words: Iterable[str], vocabulary_size: int) -> int:
    """Adds words to the vocabulary of a trained tokeniser, in order, up to the vocabulary size.

    Args:
        tokenizer: From `learn_tokenizer`, of words or characters; one of subwords is not changed.
        words: Words that cannot be a single token, such as two words with a space, are skipped.
        vocabulary_size: Maximum number of tokens.

    Returns:
        The number of words added.
    """
    backend = tokenizer.backend_tokenizer
    if not isinstance(backend.model, WordLevel):
        return 0
    vocabulary = backend.get_vocab()
    before = len(vocabulary)
    for word in words:
        if len(vocabulary) >= vocabulary_size:
            break
        normal = backend.normalizer.normalize_str(word)
        if normal not in vocabulary and _is_one_token(backend, normal):
            vocabulary[normal] = len(vocabulary)
    backend.model = WordLevel(vocabulary, unk_token=UNKNOWN)
    return len(vocabulary) - before


def unspaced_share(texts: Iterable[str]) -> float:
    """Returns the share of letters in scripts without spaces between words; 0 without letters."""
    unspaced = letters = 0
    for text in texts:
        unspaced += len(_UNSPACED_LETTERS.findall(text))
        letters += len(_LETTERS.findall(text))
    return unspaced / letters if letters else 0.0


_UNSPACED_LETTERS = re.compile(f"[{UNSPACED}]")
_LETTERS = re.compile(r"[^\W\d_]")


def _resolved(tokens: TokensName, texts: Sequence[str]) -> str:
    if tokens != "auto":
        return tokens
    sample = texts[:: max(1, len(texts) // 2000)]
    return "subwords" if unspaced_share(sample) >= UNSPACED_SHARE else "words"


def _normalizer(lowercase: bool, sentences: bool = False) -> normalizers.Normalizer:
    steps: list[normalizers.Normalizer] = [normalizers.Replace("’", "'")]
    if lowercase:
        steps.append(normalizers.Lowercase())
    if sentences:  # before NFKC, which maps ！ to !
        steps.append(normalizers.Replace(Regex(_SENTENCE_START), f" {SEPARATOR} "))
    return normalizers.Sequence([*steps, normalizers.NFKC()])


def _trainer(kind: str, vocabulary_size: int, minimum_count: int) -> WordLevelTrainer | BpeTrainer:
    if kind == "subwords":
        return BpeTrainer(
            vocab_size=vocabulary_size,
            min_frequency=max(minimum_count, _PIECE_COUNT),
            max_token_length=_PIECE_LENGTH,
            special_tokens=SPECIAL_TOKENS,
            show_progress=False,
        )
    return WordLevelTrainer(
        vocab_size=vocabulary_size,
        min_frequency=minimum_count,
        special_tokens=SPECIAL_TOKENS,
        show_progress=False,
    )


def _is_one_token(tokenizer: Tokenizer, word: str) -> bool:
    return [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(word)] == [word]
