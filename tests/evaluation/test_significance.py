from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tellapart.errors import UserError
from tellapart.evaluation.significance import (
    holm,
    mcnemar,
    minimum_detectable_difference,
    pooled_mcnemar,
    wilcoxon_p_value,
)


def _holm_loop(p_values: list[float]) -> list[float]:
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def test_holm_multiplies_the_smallest_by_the_number_of_tests_and_the_largest_by_one():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_agrees_with_a_loop_and_lies_between_the_raw_values_and_bonferroni(p_values):
    adjusted = holm(p_values)
    assert adjusted == pytest.approx(_holm_loop(p_values))
    for raw, value in zip(p_values, adjusted, strict=True):
        assert raw <= value <= 1
    if p_values:
        assert min(adjusted) == pytest.approx(min(1, len(p_values) * min(p_values)))


def _signed_ranks_by_enumeration(differences: list[float]) -> float:
    values = [value for value in differences if value]
    ranks = stats.rankdata(np.abs(values))
    observed = sum(rank for rank, value in zip(ranks, values, strict=True) if value > 0)
    sums = [
        sum(rank for rank, kept in zip(ranks, signs, strict=True) if kept)
        for signs in itertools.product((False, True), repeat=len(values))
    ]
    up = sum(value >= observed - 1e-9 for value in sums) / len(sums)
    down = sum(value <= observed + 1e-9 for value in sums) / len(sums)
    return min(1.0, 2 * min(up, down))


@pytest.mark.parametrize(
    "differences",
    [
        [0.1, 0.2, 0.3],
        [0.1, 0.2, -0.3, 0.4, 0.5],
        [0.5, 0.5, -0.5, 0.25, 1.0, 0.0],  # ties and a zero
        [0.25] * 6,
        [0.5, -0.25, 0.25, 0.75, 1.5, -1.5, 2.0, 2.0],
    ],
)
def test_signed_ranks_are_counted_out_exactly(differences):
    assert wilcoxon_p_value(differences) == pytest.approx(_signed_ranks_by_enumeration(differences))


def test_differences_that_are_equal_but_for_rounding_have_one_rank():
    rounded = [0.1 + 0.2, 0.3, -0.3, 0.5, 0.7, 0.9]
    assert wilcoxon_p_value(rounded) == wilcoxon_p_value([0.3, 0.3, -0.3, 0.5, 0.7, 0.9])


def test_signed_ranks_say_nothing_of_one_pair_or_of_equal_scores():
    assert wilcoxon_p_value([0.1]) is None
    assert wilcoxon_p_value([0.0, 0.0]) == 1
    assert wilcoxon_p_value([0.1, 0.0]) == 1
    assert wilcoxon_p_value([1e-17, 0.0]) == 1


def test_many_tied_pairs_are_approximated_and_near_the_exact_test():
    random = np.random.default_rng(0)
    differences = random.integers(-2, 5, 40) / 4
    signed = stats.rankdata(np.abs(differences[differences != 0])) * np.sign(differences[differences != 0])
    drawn = stats.permutation_test((signed,), np.sum, permutation_type="samples", rng=random)
    assert wilcoxon_p_value(differences) == pytest.approx(drawn.pvalue, abs=0.01)


@pytest.mark.parametrize(("trials", "expected"), [(5, 1.682), (10, 0.996), (20, 0.660), (64, 0.356)])
def test_the_detectable_difference_is_that_of_the_tables_of_power(trials, expected):
    assert minimum_detectable_difference(1.0, trials) == pytest.approx(expected, abs=5e-4)
    assert minimum_detectable_difference(2.5, trials) == pytest.approx(2.5 * expected, abs=2e-3)


@pytest.mark.parametrize(("trials", "significance"), [(2, 0.05), (3, 0.05), (3, 0.005), (8, 0.01)])
def test_trials_of_the_detectable_difference_are_shown_as_often_as_promised(trials, significance):
    size = minimum_detectable_difference(1.0, trials, significance=significance)
    drawn = np.random.default_rng(1).normal(size, 1.0, (40_000, trials))
    shown = (stats.ttest_1samp(drawn, 0, axis=1).pvalue < significance).mean()
    assert shown == pytest.approx(0.8, abs=0.01)


def test_without_spread_or_with_one_trial_nothing_is_detectable():
    assert minimum_detectable_difference(0.0, 3) is None
    assert minimum_detectable_difference(1.0, 1) is None
    with pytest.raises(UserError, match="power of 1"):
        minimum_detectable_difference(1.0, 3, power=1)


def test_mcnemar_counts_the_rows_on_which_one_model_alone_is_right():
    baseline = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0], dtype=bool)
    method = np.array([1, 0, 1, 1, 1, 1, 1, 1, 1, 0], dtype=bool)
    flips = mcnemar(baseline, method)
    assert (flips.gained, flips.lost) == (6, 1)
    expected = 2 * sum(math.comb(7, k) for k in (0, 1)) / 2**7
    assert flips.p_value == pytest.approx(expected)
    mirrored = mcnemar(method, baseline)
    assert (mirrored.gained, mirrored.lost, mirrored.p_value) == (1, 6, flips.p_value)


def test_models_that_are_right_on_the_same_rows_do_not_differ():
    right = np.array([True, False])
    assert mcnemar(right, right).p_value == 1
    assert mcnemar(right[:0], right[:0]).p_value == 1


def test_trials_on_the_same_texts_are_not_more_evidence_than_the_texts():
    wrong, right = np.zeros(6, dtype=bool), np.ones(6, dtype=bool)
    numbers = np.arange(6)
    once = mcnemar(wrong, right)
    often = pooled_mcnemar(
        dict.fromkeys(range(5), wrong), dict.fromkeys(range(5), right), dict.fromkeys(range(5), numbers)
    )
    assert (often.gained, often.texts_gained) == (30, 6)
    assert often.p_value == once.p_value == pytest.approx(2 / 2**6)


def test_a_text_counts_for_the_side_that_won_it_more_often():
    baseline = {0: [False, True, False], 1: [False, True], 2: [True]}
    method = {0: [True, False, True], 1: [True, True], 2: [False]}
    texts = {0: [7, 8, 7], 1: [7, 8], 2: [9]}  # 7 gained three times, 8 lost once, 9 lost once
    flips = pooled_mcnemar(
        *({seed: np.array(values) for seed, values in side.items()} for side in (baseline, method, texts))
    )
    assert (flips.gained, flips.lost) == (3, 2)
    assert (flips.texts_gained, flips.texts_lost, flips.p_value) == (1, 2, 1.0)
