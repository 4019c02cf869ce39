"""Builds synonym tables from the nearest neighbours of word vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tellapart.errors import DataError, MissingDependencyError, RecipeError
from tellapart.pretraining.synonyms import SynonymTable, build_table, candidate_words

_ROWS_A_BLOCK = 1024


def build_vector_table(
    tokenizer: Any,
    vectors_file: str | Path,
    *,
    neighbours: int = 10,
    stop_words: bool = True,
    symmetric: bool = False,
) -> SynonymTable:
    """Builds a table from word vectors: V[w] are the words with the highest cosine similarity to w.

    Neighbours are searched among the words that are single tokens, since only these can be predicted. Words without a
    vector have no synonyms and are not synonyms.

    Args:
        tokenizer: A Transformers tokeniser.
        vectors_file: Vectors in GloVe's text format, or in word2vec's text or binary format; also compressed
            (`.gz`, `.bz2`).
        neighbours: Number of synonyms per word; 10 in the paper.
        stop_words: Whether to exclude English stop words, as gold and predicted tokens.
        symmetric: Whether to add the reverse of every pair.

    Raises:
        MissingDependencyError: gensim is not installed.
        DataError: The file does not exist, cannot be read, or has no vector for any token.
        RecipeError: `neighbours` is below 1.

    References:
        - Zhang et al. 2023, Language Model Pre-training on True Negatives, section 5 (GloVe 6B, 50 dimensions).
    """
    if neighbours < 1:
        raise RecipeError(f"the number of neighbours is {neighbours}", "give at least 1")
    file = Path(vectors_file).expanduser()
    vectors = _read_vectors(file)
    words = [
        word for word in candidate_words(tokenizer, stop_words=stop_words) if word in vectors.key_to_index
    ]
    if not words:
        raise DataError(
            f"{file} has no vector for any word of the vocabulary", "give vectors of the encoder's language"
        )
    rows = torch.from_numpy(vectors.vectors[[vectors.key_to_index[word] for word in words]])
    related = {
        word: [words[index] for index in nearest.tolist()]
        for word, nearest in zip(words, _nearest_rows(rows, neighbours), strict=True)
    }
    return build_table(
        tokenizer,
        related,
        source=f"vectors {file.name}",
        options={"stop_words": stop_words, "symmetric": symmetric, "neighbours": neighbours},
    )


def _nearest_rows(rows: Tensor, count: int) -> Tensor:
    """Returns the indices of the nearest rows by cosine of each row (N, d), without itself, (N, count).

    Computed in blocks, since all N × N cosines would take gigabytes.
    """
    units = torch.nn.functional.normalize(rows.float(), dim=1)
    blocks = []
    for start in range(0, len(units), _ROWS_A_BLOCK):
        block = units[start : start + _ROWS_A_BLOCK]
        cosines = block @ units.T
        cosines[torch.arange(len(block)), torch.arange(start, start + len(block))] = -torch.inf
        blocks.append(cosines.topk(min(count, len(units) - 1), dim=1).indices)
    return torch.cat(blocks)


def _read_vectors(file: Path) -> Any:
    """Returns gensim's KeyedVectors."""
    try:
        from gensim.models import KeyedVectors
    except ImportError:
        raise MissingDependencyError("gensim", "vectors", "a synonym table from word vectors") from None
    if not file.is_file():
        raise DataError(f"there is no file {file}", "check the path of the word vectors")
    try:
        has_header, binary = _layout(file)
        return KeyedVectors.load_word2vec_format(
            str(file), binary=binary, no_header=not has_header, unicode_errors="replace"
        )
    except (ValueError, TypeError, EOFError, OSError) as error:  # TypeError: gensim's on an empty file
        raise DataError(
            f"{file} cannot be read as word vectors ({error})",
            "give a file in GloVe's text format, or in word2vec's text or binary format",
        ) from error


def _layout(file: Path) -> tuple[bool, bool]:
    """Returns whether a file has word2vec's header (number of words and dimensions), and whether it is binary."""
    from gensim.utils import open as open_compressed

    with open_compressed(str(file), "rb") as content:
        header = content.readline().split()
        if len(header) != 2:
            return False, False
        row = content.readline(1 << 20).split()
    dimensions = int(header[1])
    return True, len(row) != dimensions + 1 or not _is_number(row[-1])


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
