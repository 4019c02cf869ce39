from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellapart.pretraining.masking import Masking, masking_for

SPECIAL, MASK = range(5), 4
MASKING = Masking(MASK, np.arange(5, 60))


def _padded(rows: list[list[int]]) -> np.ndarray:
    width = max(map(len, rows))
    return np.array([[2, *row, 3, *[0] * (width - len(row))] for row in rows])


@st.composite
def corpora(draw):
    lengths = draw(st.lists(st.integers(1, 30), min_size=2, max_size=12))
    seed = draw(st.integers(0, 1000))
    random = np.random.default_rng(seed)
    rows = [random.integers(5, 60, length).tolist() for length in lengths]
    words = [random.random(length) < 0.6 for length in lengths]
    order = draw(st.permutations(range(len(rows))))
    return rows, words, order, draw(st.integers(1, len(rows)))


@given(corpora(), st.integers(-1, 2**40), st.integers(0, 2**40), st.booleans())
def test_a_sequence_is_masked_the_same_way_in_any_batch(drawn, epoch, seed, whole):
    rows, words, order, size = drawn
    masking = replace(MASKING, seed=seed)

    def one_by_one(numbers):
        ids = _padded([rows[number] for number in numbers])
        starts = np.ones(ids.shape, dtype=bool)
        for place, number in enumerate(numbers):
            starts[place, 1 : 1 + len(rows[number])] = words[number]
        masked, chosen = masking(ids, np.array(numbers), epoch, starts if whole else None)
        return {
            number: (masked[place, : len(rows[number]) + 2], chosen[place, : len(rows[number]) + 2])
            for place, number in enumerate(numbers)
        }

    alone = {number: one_by_one([number])[number] for number in range(len(rows))}
    for start in range(0, len(order), size):
        for number, (masked, chosen) in one_by_one(list(order[start : start + size])).items():
            assert np.array_equal(masked, alone[number][0])
            assert np.array_equal(chosen, alone[number][1])


@given(corpora(), st.integers(0, 100))
def test_special_tokens_are_never_chosen_and_one_token_always_is(drawn, epoch):
    rows = drawn[0]
    ids = _padded(rows)
    ids[0, 1:-1] = 1  # nothing but unknown tokens
    masked, chosen = MASKING(ids, np.arange(len(rows)), epoch)
    assert not chosen[np.isin(ids, list(SPECIAL))].any()
    assert np.array_equal(masked[~chosen], ids[~chosen])
    assert not chosen[0].any()
    assert (chosen[1:].sum(1) >= 1).all()
    assert (chosen.sum(1) <= np.maximum(1, np.ceil(0.15 * (ids >= 5).sum(1)))).all()


@pytest.mark.parametrize(("masked", "random"), [(0.8, 0.1), (0.85, 0.0)])
@pytest.mark.parametrize("length", [9, 33])
def test_the_shares_are_right_on_average(masked, random, length):
    sequences = 6000
    ids = np.full((sequences, length), 7)
    result, chosen = replace(MASKING, masked=masked, random=random)(ids, np.arange(sequences), 0)
    counts = chosen.sum(1)
    assert set(counts) <= {int(0.15 * length), int(0.15 * length) + 1}
    assert counts.mean() == pytest.approx(0.15 * length, rel=0.02)
    assert (result[chosen] == MASK).mean() == pytest.approx(masked, abs=0.02)
    other = (result != MASK) & (result != 7) & chosen
    assert other.sum() / chosen.sum() == pytest.approx(random * 54 / 55, abs=0.01)
    if random:
        assert set(result[other]) == set(range(5, 60)) - {7}
    # No place is preferred, and neighbours are chosen independently.
    assert chosen.mean(0) == pytest.approx(0.15, abs=0.02)


def test_epochs_seeds_and_sequences_are_masked_differently():
    ids = np.full((1, 200), 9)

    def chosen(seed=0, epoch=0, sample=0):
        return replace(MASKING, seed=seed)(ids, np.array([sample]), epoch)[1]

    others = [chosen(1), chosen(0, 1), chosen(0, 0, 1), chosen(1, 0), chosen(-1), chosen(0, -1)]
    assert all(not np.array_equal(chosen(), other) for other in others)
    assert not np.array_equal(chosen(1, 0, 0), chosen(0, 1, 0))


def test_whole_words_are_chosen_whole_and_as_often():
    random = np.random.default_rng(0)
    ids = random.integers(5, 60, (4000, 40))
    ids[:, 0] = 2
    starts = random.random(ids.shape) < 0.5
    starts[:, 1] = False  # a sequence that was cut within a word
    _, chosen = MASKING(ids, np.arange(len(ids)), 3, starts)
    same_word = ~starts[:, 2:]
    assert np.array_equal(chosen[:, 2:][same_word], chosen[:, 1:-1][same_word])
    assert not chosen[:, 0].any()
    assert chosen[:, 1:].mean() == pytest.approx(0.15, rel=0.03)


def test_words_of_one_token_are_chosen_as_tokens_are():
    ids = np.random.default_rng(0).integers(5, 60, (50, 30))
    alone = MASKING(ids, np.arange(50), 0)
    words = MASKING(ids, np.arange(50), 0, np.ones(ids.shape, dtype=bool))
    assert np.array_equal(alone[1], words[1])


def test_the_masking_of_a_tokeniser_knows_its_special_tokens(tokenizer):
    masking = masking_for(tokenizer, vocabulary_size=len(tokenizer) + 10, seed=5)
    assert (masking.mask_id, masking.seed) == (tokenizer.mask_token_id, 5)
    assert not set(masking.ordinary) & set(tokenizer.all_special_ids)
    assert len(masking.ordinary) == len(tokenizer) - len(tokenizer.all_special_ids)
    ids = np.array([[tokenizer.cls_token_id, len(tokenizer) + 3, tokenizer.sep_token_id]])
    assert not masking(ids, np.array([0]), 0)[1].any()  # an id that the tokeniser does not have
