"""Reads tokenised corpora of version 0.1: one array of tokens, and the lengths of all sequences in memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tellapart.errors import DataError
from tellapart.pretraining.shards import CorpusFacts, mapped

META_FILE, TOKENS_FILE, LENGTHS_FILE, WORDS_FILE = "meta.json", "tokens.npy", "lengths.npy", "words.npy"

_REMEDY = "start the run again with --overwrite"


def read_facts(folder: Path) -> CorpusFacts:
    """Reads the metadata of a corpus of version 0.1.

    Raises:
        DataError: The file is damaged.
    """
    try:
        meta = json.loads((folder / META_FILE).read_text(encoding="utf-8"))
        ends = {name: tuple(map(int, meta[name])) for name in ("prefix", "suffix")}
        return CorpusFacts(**meta | ends)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder / META_FILE} is damaged ({error})", _REMEDY) from error


class EarlierArrays:
    """The one shard of a corpus of version 0.1.

    Args:
        folder: The corpus folder.
        facts: Its metadata.

    Raises:
        DataError: A file is missing or damaged.
    """

    def __init__(self, folder: Path, facts: CorpusFacts) -> None:
        lengths = np.array(mapped(folder / LENGTHS_FILE), dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(lengths)])
        self._tokens = mapped(folder / TOKENS_FILE)
        self._words = mapped(folder / WORDS_FILE) if (folder / WORDS_FILE).is_file() else None
        of_tokens = [array for array in (self._tokens, self._words) if array is not None]
        right = {len(array) for array in of_tokens} == {facts.tokens} == {int(self._starts[-1])}
        if not right or len(lengths) != facts.sequences:
            raise DataError(f"the files in {folder} do not belong together", _REMEDY)

    def starts(self, shard: int) -> np.ndarray:
        """Start of each sequence and the number of tokens, int64 (N + 1,)."""
        return self._starts

    def tokens(self, shard: int) -> np.ndarray:
        """Token ids, int32 (T,)."""
        return self._tokens

    def words(self, shard: int) -> np.ndarray | None:
        """Whether each token begins a word, bool (T,); None if not recorded."""
        return self._words
