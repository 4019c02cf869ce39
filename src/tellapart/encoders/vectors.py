"""Initial word embeddings, trained on the texts of the task (CBOW) or read from a file."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.errors import MissingDependencyError, ModelError

TRAINED = ("random", "cbow")
"""Initial embeddings that are read from no file."""

RANDOM_RANGE = 0.25
"""Random embeddings are uniform in ± `RANDOM_RANGE` (Kim 2014, §3.1)."""

_RANDOM_SPREAD = RANDOM_RANGE / 3**0.5

# Epochs of CBOW: enough for this number of words, within bounds. gensim's default of 5 is for large corpora.
_TRAINING_WORDS = 2_000_000
_EPOCHS = (5, 100)
_WINDOW = 5
_NEGATIVES = 5

# Bytes read to detect the format of a file.
_HEAD = 1 << 16


@dataclass(frozen=True)
class WordVectors:
    """Words and their vectors from a file.

    Args:
        words: N words, usually sorted by frequency.
        vectors: float32 (N, d).
    """

    words: list[str]
    vectors: np.ndarray

    @property
    def width(self) -> int:
        """Dimensions per vector."""
        return self.vectors.shape[1]

    def table(self, vocabulary: dict[str, int], *, seed: int = 0) -> tuple[np.ndarray, int]:
        """Returns the embedding matrix of a vocabulary.

        A word that occurs in the file only in another case (Word, WORD) gets that vector. Other words get random
        vectors of the same variance (Kim 2014, §3.2).

        Args:
            vocabulary: Word to row.
            seed: Of the random vectors.

        Returns:
            float32 (V, d), and the number of words found.
        """
        rows = {word: row for row, word in enumerate(self.words)}
        spread = float(self.vectors.std()) * 3**0.5
        random = np.random.default_rng(seed)
        table = random.uniform(-spread, spread, (len(vocabulary), self.width)).astype(np.float32)
        found = 0
        for word, place in vocabulary.items():
            row = next((rows[form] for form in (word, word.capitalize(), word.upper()) if form in rows), None)
            if row is not None:
                table[place] = self.vectors[row]
                found += 1
        return table, found


def vectors_file(path: str | Path) -> Path:
    """Returns the path of a file of word vectors.

    Raises:
        ModelError: There is no such file.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ModelError(
            f"there is no file of word vectors at {path}", "check the path, or use random or cbow"
        )
    return file


def read_vectors(path: str | Path) -> WordVectors:
    """Reads word vectors in the format of word2vec or GloVe: text or binary, with or without a header line.

    Args:
        path: The file, possibly compressed (`.gz`, `.bz2`).

    Raises:
        ModelError: The file does not exist or contains no word vectors.
        MissingDependencyError: gensim is not installed.
    """
    file = vectors_file(path)
    _need_gensim("reading word vectors")
    from gensim import utils
    from gensim.models import KeyedVectors

    try:
        with utils.open(str(file), "rb") as opened:
            head = opened.read(_HEAD)
        header = _has_header(head)
        text = _is_text(head, header)
        if not (text or header):
            raise ValueError("neither text nor word2vec's binary format")
        loaded = KeyedVectors.load_word2vec_format(
            str(file), binary=not text, no_header=not header, unicode_errors="replace"
        )
        if not len(loaded) or not loaded.vector_size or not np.isfinite(loaded.vectors).all():
            raise ValueError("no vectors, or some that are not finite")
    except (ValueError, IndexError, EOFError, OSError, KeyError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{path} holds no word vectors that can be read ({first[:120]})",
            "give a file in the format of word2vec (text or binary) or of GloVe",
        ) from error
    return WordVectors(loaded.index_to_key, np.asarray(loaded.vectors, dtype=np.float32))


def _has_header(head: bytes) -> bool:
    """Returns whether the first line is a header: the number of words and the width."""
    return [part.isdigit() for part in head.split(b"\n")[0].split()] == [True, True]


def _is_text(head: bytes, header: bool) -> bool:
    """Returns whether the first vector is in text format."""
    lines = head.split(b"\n")
    line = lines[min(int(header), len(lines) - 1)].split()[1:]
    try:
        # The last number may be truncated by the end of the bytes read.
        return [float(number) for number in line[: len(line) - (len(lines) == 1 + header)]] != []
    except ValueError:
        return False


def cbow_table(tokenizer: Any, texts: Sequence[str], *, width: int, seed: int = 0) -> np.ndarray:
    """Trains CBOW embeddings with negative sampling on texts, one vector per token of the vocabulary.

    Sentences end at `[SEP]` if the tokeniser inserts it. A single thread makes the result reproducible. The vectors
    are scaled to the variance of random embeddings, because CBOW's norms are too small after few texts.

    Args:
        tokenizer: From `learn_tokenizer`.
        texts: Unlabelled training texts.
        width: d.
        seed: Of the initial vectors and the negatives.

    Returns:
        float32 (V, d); random vectors for tokens that do not occur in the texts.

    Raises:
        MissingDependencyError: gensim is not installed.

    References:
        Mikolov et al. (2013), Distributed Representations of Words and Phrases and their Compositionality.
    """
    _need_gensim("embeddings: cbow")
    from gensim.models import Word2Vec

    sentences = list(_sentences(tokenizer, texts))
    random = np.random.default_rng(seed)
    table = random.uniform(-RANDOM_RANGE, RANDOM_RANGE, (len(tokenizer), width)).astype(np.float32)
    if not sentences:
        return table
    passes = -(-_TRAINING_WORDS // sum(map(len, sentences)))
    model = Word2Vec(
        sentences,
        vector_size=width,
        window=_WINDOW,
        negative=_NEGATIVES,
        min_count=1,
        sg=0,
        workers=1,
        epochs=min(max(passes, _EPOCHS[0]), _EPOCHS[1]),
        seed=seed,
    )
    learned = np.asarray(model.wv.vectors, dtype=np.float32)
    learned *= _RANDOM_SPREAD / max(float(learned.std()), 1e-12)
    rows = tokenizer.get_vocab()
    table[[rows[word] for word in model.wv.index_to_key]] = learned
    return table


def _sentences(tokenizer: Any, texts: Sequence[str]) -> Iterator[list[str]]:
    """Yields the tokens of each sentence."""
    separator = tokenizer.sep_token
    for encoded in tokenizer.backend_tokenizer.encode_batch(list(texts)):
        sentence: list[str] = []
        for token in [*encoded.tokens, separator]:
            if token != separator:
                sentence.append(token)
            elif sentence:
                yield sentence
                sentence = []


def _need_gensim(purpose: str) -> None:
    if importlib.util.find_spec("gensim") is None:
        raise MissingDependencyError("gensim", "vectors", purpose)
