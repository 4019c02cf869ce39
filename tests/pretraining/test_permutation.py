from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from tellapart.pretraining.permutation import KeyedPermutation


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**31), st.integers(-1, 1000))
def test_it_is_a_bijection_for_every_size(size, seed, epoch):
    elements = KeyedPermutation(size, seed, epoch)(np.arange(size))
    assert (np.bincount(elements, minlength=size) == 1).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(3001, 2**62), st.integers(0, 2**31), st.integers(0, 1000))
def test_places_of_huge_sizes_have_different_elements_inside(size, seed, epoch):
    places = np.unique(np.linspace(0, size - 1, 500).astype(np.int64).clip(0, size - 1))
    elements = KeyedPermutation(size, seed, epoch)(places)
    assert len(np.unique(elements)) == len(places)
    assert elements.min() >= 0
    assert elements.max() < size


def test_a_part_of_a_permutation_is_computed_without_the_rest():
    permutation = KeyedPermutation(1000, 7, 1)
    whole = permutation(np.arange(1000))
    assert permutation(np.array([[3, 999], [0, 500]])).tolist() == whole[[[3, 999], [0, 500]]].tolist()


def test_values_are_the_same_in_every_process_and_on_every_platform():
    assert KeyedPermutation(10, 0, 0)(np.arange(10)).tolist() == [1, 8, 0, 4, 3, 6, 7, 9, 2, 5]
    assert KeyedPermutation(10**12, 1, 2)(np.arange(3)).tolist() == [929508547723, 209420342582, 318150978082]
    for size in (1, 2, 5, 33, 100):
        found = KeyedPermutation(size, 5, 6)(np.arange(size)).tolist()
        assert found == [_by_hand(place, size, (0x5EED, 5, 6)) for place in range(size)]


def _by_hand(place: int, size: int, numbers: tuple[int, ...]) -> int:
    """The same with Python's integers, one number at a time."""
    key = 0
    for number in numbers:
        key = _hash(key + number * GOLDEN + GOLDEN)
    bits = max(1, (size - 1).bit_length())
    low_bits = bits // 2
    while True:
        high, low = place >> low_bits, place % 2**low_bits
        for counter in range(1, 13):
            round_key = _hash(key + counter * GOLDEN)
            if counter % 2:
                high ^= _hash(low * GOLDEN + round_key) % 2 ** (bits - low_bits)
            else:
                low ^= _hash(high * GOLDEN + round_key) % 2**low_bits
        place = (high << low_bits) + low
        if place < size:
            return place


GOLDEN = 0x9E3779B97F4A7C15


def _hash(number: int) -> int:
    number %= 2**64
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        number = (number ^ number >> shift) * factor % 2**64
    return number ^ number >> 31


def test_epochs_and_seeds_share_no_more_places_than_chance():
    size = 20_000
    base = KeyedPermutation(size, 0, 0)(np.arange(size))
    for other in ((0, 1), (1, 0), (0, 0, 0), (0, -1)):
        agreeing = (KeyedPermutation(size, *other)(np.arange(size)) == base).sum()
        assert agreeing < 12  # on average 1; above 11 once in 10⁹


@pytest.mark.parametrize("size", [2, 3, 4])
def test_small_sizes_have_all_permutations_equally_often(size):
    drawn = 1200
    found = [tuple(KeyedPermutation(size, seed, 0)(np.arange(size)).tolist()) for seed in range(drawn)]
    counts = [found.count(one) for one in set(found)]
    assert len(counts) == {2: 2, 3: 6, 4: 24}[size]
    assert chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("size", [37, 1000, 10**9])
def test_elements_and_their_distances_are_uniform(size):
    """Chi-square tests over 40 intervals, of elements and of the distance between neighbouring places."""
    count = min(size, 200)
    elements = np.stack([KeyedPermutation(size, seed, 3)(np.arange(count)) for seed in range(300)])
    intervals = min(40, size)
    expected = np.diff(np.ceil(np.arange(intervals + 1) * size / intervals))
    for values in (elements[:, :2], elements[:, -2:]):
        counts = np.bincount((values.ravel() * intervals // size), minlength=intervals)
        assert chisquare(counts, expected / size * values.size).pvalue > 1e-4
    distances = (elements[:, 1] - elements[:, 0]) % size - 1  # 0 … size - 2, each equally likely
    counts = np.bincount(distances * 12 // (size - 1), minlength=12)
    expected = np.diff(np.ceil(np.arange(13) * (size - 1) / 12))
    assert chisquare(counts, expected / (size - 1) * 300).pvalue > 1e-4


def test_no_elements_are_an_error():
    with pytest.raises(ValueError, match="0 elements"):
        KeyedPermutation(0, 1)
