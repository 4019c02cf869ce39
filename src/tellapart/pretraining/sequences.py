"""Tokenises texts and cuts them into sequences, a bounded number of texts at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np

from tellapart.pretraining.texts import TextPart

SequenceKind = Literal["lines", "documents"]

# Maximum texts and characters per tokeniser call.
_BATCH_TEXTS, _BATCH_CHARACTERS = 2048, 1 << 22


@dataclass(frozen=True)
class SequenceBlock:
    """Some consecutive sequences.

    Args:
        ids: Token ids of all sequences, int32 (T,), without special tokens.
        words: Whether each token begins a word, bool (T,).
        lengths: Tokens of each sequence, int64 (N,); their sum is T.
        texts: Number of texts with tokens that end here.
        empty: Number of texts without tokens.
        cut: Number of texts that were split into several sequences.
    """

    ids: np.ndarray
    words: np.ndarray
    lengths: np.ndarray
    texts: int
    empty: int
    cut: int


@dataclass(frozen=True)
class SequenceMaker:
    """Makes sequences from texts.

    Args:
        tokenizer: A Transformers tokeniser.
        room: Maximum tokens per sequence, without special tokens.
        sequences: `lines`: each non-empty line is a sequence, longer ones are split into equal parts. `documents`:
            each document is split into sequences of full length.
        whole_words: Whether to find the starts of words, as split by the tokeniser.
    """

    tokenizer: Any
    room: int
    sequences: SequenceKind = "lines"
    whole_words: bool = False

    def blocks(self, part: TextPart, progress: Callable[[int], Any] | None = None) -> Iterator[SequenceBlock]:
        """Yields the sequences of a part in order.

        Args:
            part: The texts.
            progress: Called with the number of texts after each batch.
        """
        if self.sequences == "documents" and part.spans:  # a row of a table is one text either way
            for document in part.documents():
                yield from self._packed(document, progress)
            return
        for ids, words, counts in self._encoded(part.lines(), progress):
            parts, lengths = self._cut(counts)
            yield SequenceBlock(
                ids,
                words,
                lengths,
                texts=int((counts > 0).sum()),
                empty=int((counts == 0).sum()),
                cut=int((parts > 1).sum()),
            )

    def _packed(
        self, document: Iterable[str], progress: Callable[[int], Any] | None
    ) -> Iterator[SequenceBlock]:
        """Yields a document as sequences of full length and one with the rest."""
        rest, rest_words = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.bool_)
        found = 0
        for ids, words, _ in self._encoded(document, progress):
            ids, words = np.concatenate([rest, ids]), np.concatenate([rest_words, words])
            full = len(ids) // self.room
            end = full * self.room
            found += full
            yield SequenceBlock(ids[:end], words[:end], np.full(full, self.room), texts=0, empty=0, cut=0)
            rest, rest_words = ids[end:], words[end:]
        found += len(rest) > 0
        yield SequenceBlock(
            rest,
            rest_words,
            np.full(int(len(rest) > 0), len(rest)),
            texts=int(found > 0),
            empty=int(found == 0),
            cut=int(found > 1),
        )

    def _cut(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the number of sequences of each text, and the lengths of all sequences."""
        parts = -(-counts // self.room)
        first = np.cumsum(parts) - parts
        place = np.arange(parts.sum()) - np.repeat(first, parts)  # of a sequence within its text
        count, of_text = np.repeat(parts, parts), np.repeat(counts, parts)
        if self.sequences == "documents":
            return parts, np.where(place < count - 1, self.room, of_text - self.room * (count - 1))
        return parts, of_text // np.maximum(count, 1) + (place < of_text % np.maximum(count, 1))

    def _encoded(
        self, texts: Iterable[str], progress: Callable[[int], Any] | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yields the ids and word starts of a batch of texts, flat, and the number of tokens of each text."""
        for batch in _batches(texts):
            encoded = self.tokenizer(
                batch,
                add_special_tokens=False,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )
            rows: Sequence[Sequence[int]] = encoded["input_ids"]
            counts = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
            ids = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(counts.sum()))
            words = np.ones(len(ids), dtype=np.bool_)
            if self.whole_words:
                _mark_words(words, encoded, counts)
            yield ids, words, counts
            if progress is not None:
                progress(len(batch))


def special_ends(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns the special tokens that a tokeniser puts before and after a text."""
    encoded = tokenizer("a", return_special_tokens_mask=True)
    ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
    inside = [place for place, is_special in enumerate(special) if not is_special]
    return tuple(ids[: inside[0]]), tuple(ids[inside[-1] + 1 :])


def _mark_words(words: np.ndarray, encoded: Any, counts: np.ndarray) -> None:
    """Marks the tokens that begin a word, in place."""
    ends = np.cumsum(counts)
    for row, (start, end) in enumerate(zip(ends - counts, ends, strict=True)):
        if start < end:
            # Special tokens spelled out in a text belong to no word (None): each counts as a word.
            word = np.array([-1 if number is None else number for number in encoded.word_ids(row)])
            words[start + 1 : end] = (word[1:] != word[:-1]) | (word[1:] < 0)


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if len(batch) >= _BATCH_TEXTS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
