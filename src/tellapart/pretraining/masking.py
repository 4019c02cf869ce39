"""Masking of tokens as a pure function of the seed, the epoch, the sequence and the position.

Random numbers are counter-based (`tellapart.pretraining.counters`), so that a sequence is masked the same way in any
batch, in any worker and in resumed runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tellapart.pretraining.counters import STEP, key, mixed

# Purposes of random numbers. Each position of a sequence has one number for each.
_CHOICE, _ACTION, _TOKEN, _COUNT = range(4)
_PURPOSES = 4


@dataclass(frozen=True)
class Masking:
    """Chooses and replaces tokens.

    Args:
        mask_id: Id of the mask token.
        ordinary: Ids that are not special tokens, int64; only these are chosen, or used as random replacements.
        share: Share of the ordinary tokens of a sequence to choose. Their number is rounded randomly so that it is
            correct on average, and is at least 1.
        masked: Share of the chosen tokens replaced by `mask_id`.
        random: Share of the chosen tokens replaced by a random token; the rest is kept.
        seed: Seed of every choice.
    """

    mask_id: int
    ordinary: np.ndarray
    share: float = 0.15
    masked: float = 0.8
    random: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        is_ordinary = np.zeros(int(self.ordinary.max()) + 1, dtype=np.bool_)
        is_ordinary[self.ordinary] = True
        object.__setattr__(self, "_is_ordinary", is_ordinary)

    def __call__(
        self, ids: np.ndarray, samples: np.ndarray, epoch: int, words: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Masks a batch.

        Args:
            ids: Token ids, int64 (B, L), padded with a special token on the right.
            samples: Number of each row's sequence in the corpus, (B,).
            epoch: Number of the pass over the corpus, from 0.
            words: Whether each token begins a word, bool (B, L), for whole word masking.

        Returns:
            The masked ids (B, L), and whether each token was chosen, bool (B, L).
        """
        keys = _keys(self.seed, epoch, samples)
        candidates = self._candidates(ids)
        wanted = self.share * candidates.sum(1) + _uniform(keys, np.zeros(1), _COUNT)[:, 0]  # (B,)
        places = np.arange(ids.shape[1])
        order = np.where(candidates, _uniform(keys, places, _CHOICE), 2.0)
        if words is None:
            chosen = _smallest(order, np.maximum(wanted.astype(np.int64), 1)) & candidates
        else:
            chosen = _words_within(order, wanted, words, candidates)
        action = _uniform(keys, places, _ACTION)
        result = ids.copy()
        result[chosen & (action < self.masked)] = self.mask_id
        swapped = chosen & (action >= self.masked) & (action < self.masked + self.random)
        if swapped.any():
            drawn = _uniform(keys, places, _TOKEN)[swapped]
            result[swapped] = self.ordinary[(drawn * len(self.ordinary)).astype(np.int64)]
        return result, chosen

    def _candidates(self, ids: np.ndarray) -> np.ndarray:
        is_ordinary: np.ndarray = self._is_ordinary  # type: ignore[attr-defined]
        return is_ordinary[np.minimum(ids, len(is_ordinary) - 1)] & (ids < len(is_ordinary))


def masking_for(tokenizer: Any, *, vocabulary_size: int, **options: Any) -> Masking:
    """Returns the masking for a tokeniser.

    Args:
        tokenizer: A Transformers tokeniser with a mask token.
        vocabulary_size: Size of the model's vocabulary, which may exceed the tokeniser's.
        options: `share`, `masked`, `random` and `seed` of `Masking`.
    """
    ids = np.arange(min(len(tokenizer), vocabulary_size))
    return Masking(tokenizer.mask_token_id, ids[~np.isin(ids, tokenizer.all_special_ids)], **options)


def _keys(seed: int, epoch: int, samples: np.ndarray) -> np.ndarray:
    """Returns one key per sequence, uint64 (B,)."""
    return mixed(key(seed, epoch) + np.asarray(samples, dtype=np.int64).view(np.uint64) * STEP + STEP)


def _uniform(keys: np.ndarray, places: np.ndarray, purpose: int) -> np.ndarray:
    """Returns a uniform number in [0, 1) for each key (B,) and position (L,), float64 (B, L)."""
    counters = places.astype(np.uint64) * np.uint64(_PURPOSES) + np.uint64(purpose + 1)
    return (mixed(keys[:, None] + counters * STEP) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _smallest(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Marks the `counts` (B,) smallest values of each row (B, L)."""
    last = np.minimum(counts, values.shape[1]) - 1
    return values <= np.take_along_axis(np.sort(values, axis=1), last[:, None], axis=1)


def _words_within(
    order: np.ndarray, wanted: np.ndarray, words: np.ndarray, candidates: np.ndarray
) -> np.ndarray:
    """Marks whole words, in the order of their first token's number, until `wanted` tokens are reached.

    The last word is included if its middle is reached, so that the number is correct on average.
    """
    rows, width = order.shape
    begins = words | ~candidates  # each special token is a separate word
    begins[:, 1:] |= ~candidates[:, :-1]
    begins[:, 0] = True
    word = np.cumsum(begins, axis=1)  # (B, L), from 1 up
    first = np.maximum.accumulate(np.where(begins, np.arange(width), 0), axis=1)
    order = np.take_along_axis(order, first, axis=1)
    flat = word + np.arange(rows)[:, None] * (width + 1)
    size = np.bincount(flat.ravel(), minlength=rows * (width + 1))[flat]
    sorting = np.argsort(order, axis=1, kind="stable")
    rank = np.empty_like(sorting)
    np.put_along_axis(rank, sorting, np.broadcast_to(np.arange(width), rank.shape), axis=1)
    before = np.take_along_axis(rank, first, axis=1)  # tokens of earlier words
    return candidates & ((before + (size + 1) / 2 <= wanted[:, None]) | (before == 0))
