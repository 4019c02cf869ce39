"""Attributions of tokens, and the words of a text that they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tellapart.encoders.words import word_spans


class Place(NamedTuple):
    """Where a word or a token is.

    Args:
        column: 0 for the text, 1 for the second text of a pair.
        start: Its first character.
        end: The character after its last one.
    """

    column: int
    start: int
    end: int


class Attribution(NamedTuple):
    """The attribution of one output of a model to the tokens of a row.

    Args:
        output: The explained number for the row, such as the difference of two logits.
        baseline: The same for the row without information, where the method has such a baseline: `output` is
            `baseline` plus the sum of `effects`, up to the error of the method. Else None.
        places: T tokens.
        effects: What each adds to the output, T numbers.
    """

    output: float
    baseline: float | None
    places: Sequence[Place]
    effects: Sequence[float]

    def scaled(self, factor: float) -> Attribution:
        """Returns the attribution of the output multiplied by a factor."""
        baseline = None if self.baseline is None else self.baseline * factor
        return Attribution(
            self.output * factor, baseline, self.places, [one * factor for one in self.effects]
        )


def words_of(columns: Sequence[str]) -> list[Place]:
    """Returns the words and punctuation marks of a row; single letters in scripts without spaces."""
    return [
        Place(column, start, end) for column, text in enumerate(columns) for start, end in word_spans(text)
    ]


def whole_words(columns: Sequence[str], tokens: Iterable[Place]) -> list[Place]:
    """Returns the words of a row, joined where a token has characters of several words.

    The tokeniser of BERT cuts `don't` in other places than `words_of`, and byte-pair encoding has tokens of several
    Chinese letters.

    Args:
        columns: The text, and the second text of a pair.
        tokens: The tokens.
    """
    # Number of the word of each character, -1 between words.
    owners = [np.full(len(text), -1) for text in columns]
    words = words_of(columns)
    for number, word in enumerate(words):
        owners[word.column][word.start : word.end] = number
    for token in tokens:
        inside = owners[token.column][token.start : token.end]
        joined = inside[inside >= 0]
        if len(joined) and joined.min() != joined.max():
            row = owners[token.column]
            row[(row >= joined.min()) & (row <= joined.max())] = joined.min()
    found = []
    for column, row in enumerate(owners):
        numbers, starts = np.unique(row, return_index=True)
        ends = len(row) - np.unique(row[::-1], return_index=True)[1]
        found += [
            Place(column, start, end)
            for number, start, end in zip(numbers.tolist(), starts.tolist(), ends.tolist(), strict=True)
            if number >= 0
        ]
    return found


def effects_of_words(words: Sequence[Place], attribution: Attribution) -> list[float]:
    """Sums the effects of the tokens of each word; a token belongs to the word of its first character in a word."""
    sums = [0.0] * len(words)
    columns = {place.column for place in words}
    sizes = {column: max(word.end for word in words if word.column == column) for column in columns}
    owners = {column: np.full(size, -1) for column, size in sizes.items()}
    for number, word in enumerate(words):
        owners[word.column][word.start : word.end] = number
    for token, effect in zip(attribution.places, attribution.effects, strict=True):
        inside = owners.get(token.column, np.empty(0, dtype=int))[token.start : token.end]
        found = inside[inside >= 0]
        if len(found):
            sums[found[0]] += effect
    return sums
