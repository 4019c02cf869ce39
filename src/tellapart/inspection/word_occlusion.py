"""Occlusion: how an output changes if a word is left out (Li et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tellapart.data.examples import TextSplit
from tellapart.inspection.word_pieces import Attribution, Place, words_of


def occlusion(columns: Sequence[str], outputs: Callable[[TextSplit], np.ndarray]) -> Attribution:
    """Attributes an output to the words of a row: the decrease of the output if the word is left out.

    It needs no gradient, so it works for every model. A row of W words is scored W + 1 times. The effects do not sum
    to the output: words that repeat each other have small effects, because the other one remains.

    Args:
        columns: The text, and the second text of a pair.
        outputs: Computes the output of N rows, (N,).

    References:
        Li, Monroe, Jurafsky (2016), Understanding Neural Networks through Representation Erasure.
    """
    words = words_of(columns)
    variants = [list(columns), *(_without(columns, word) for word in words)]
    texts, *pairs = map(list, zip(*variants, strict=True))
    found = outputs(TextSplit(texts, pairs[0] if pairs else None))
    return Attribution(float(found[0]), None, words, (found[0] - found[1:]).tolist())


def _without(columns: Sequence[str], word: Place) -> list[str]:
    """Returns the row without a word and the space beside it."""
    text = columns[word.column]
    before, after = text[: word.start], text[word.end :]
    if before.endswith(" "):
        before = before[:-1]
    elif not before:
        after = after.removeprefix(" ")
    return [*columns[: word.column], before + after, *columns[word.column + 1 :]]
