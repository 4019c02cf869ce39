from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tellapart.errors import UserError
from tellapart.evaluation.trials import corrected, paired_difference, summarise, verdict

BASELINE = {1: 0.80, 2: 0.82, 3: 0.78, 4: 0.81, 5: 0.79}
BETTER = {1: 0.83, 2: 0.84, 3: 0.80, 4: 0.85, 5: 0.81}


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_a_summary_agrees_with_scipy():
    scores = list(BASELINE.values())
    summary = summarise(scores)
    assert summary.mean == pytest.approx(0.8)
    assert summary.standard_deviation == pytest.approx(np.std(scores, ddof=1))
    assert summary.interval == pytest.approx(stats.ttest_1samp(scores, 0).confidence_interval())
    assert summary.trials == 5


def test_a_wider_confidence_gives_a_wider_interval():
    narrow, wide = (summarise([0.7, 0.8, 0.9], level).interval for level in (0.5, 0.99))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_the_trimmed_mean_leaves_out_the_best_and_the_worst():
    assert summarise([0.1, 0.5, 0.6, 0.99]).trimmed_mean == pytest.approx(0.55)
    assert summarise([0.1, 0.5]).trimmed_mean is None


def test_one_trial_has_a_mean_and_nothing_else():
    summary = summarise([0.8])
    assert (summary.mean, summary.standard_deviation, summary.interval) == (0.8, None, None)


def test_equal_scores_give_a_point_as_interval():
    summary = summarise([0.8, 0.8, 0.8])
    assert summary.interval == (summary.mean, summary.mean)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_outside_zero_and_one_is_refused(confidence):
    with pytest.raises(UserError, match="confidence"):
        summarise([0.1, 0.2], confidence)


@pytest.mark.parametrize(
    ("metric", "scores", "bound"),
    [
        ("accuracy", [0.99, 1.0, 0.9], (None, 1.0)),
        ("accuracy", [0.0, 0.1, 0.01], (0.0, None)),
        ("pearson_correlation", [-0.9, -0.99, -0.5], (-1.0, None)),
        ("log_loss", [0.01, 0.4, 0.02], (0.0, None)),
    ],
)
def test_an_interval_does_not_leave_the_range_of_the_metric(metric, scores, bound):
    exact, bounded = summarise(scores).interval, summarise(scores, metric=metric).interval
    assert bounded == tuple(one if limit is None else limit for one, limit in zip(exact, bound, strict=True))


def test_two_seeds_have_no_interval_and_show_no_difference():
    summary = summarise([0.2, 0.9], metric="accuracy")
    assert (summary.mean, summary.interval) == (0.55, None)
    pair = paired_difference({1: 0.5, 2: 0.6}, {1: 0.9, 2: 0.9998}, metric="accuracy")
    assert pair.interval is None
    assert pair.p_value < 0.01
    assert verdict(pair) == "+39.99 points on 2 seeds, too few to show a difference: take 3 or more"
    same = paired_difference({1: 0.5, 2: 0.6}, {1: 0.5, 2: 0.6})
    assert verdict(same) == "the same metric on all 2 seeds"


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=6))
def test_the_interval_of_a_difference_is_possible_and_has_the_difference(scores):
    pair = paired_difference(
        {seed: first for seed, (first, _) in enumerate(scores)},
        {seed: second for seed, (_, second) in enumerate(scores)},
        metric="accuracy",
    )
    low, high = pair.interval
    assert -1 <= low <= pair.difference + 1e-12
    assert pair.difference - 1e-12 <= high <= 1


def test_the_error_reduction_is_the_share_of_the_errors_that_the_method_avoids():
    # True Negatives, footnote 10: an average of 82.7 on GLUE after 82.1 has (82.7 - 82.1) / (100 - 82.1)
    pair = paired_difference({0: 0.821}, {0: 0.827}, metric="accuracy")
    assert pair.error_reduction == pytest.approx(0.006 / 0.179)
    worse = paired_difference({0: 0.5, 1: 0.7}, {0: 0.4, 1: 0.6}, metric="accuracy")
    assert worse.error_reduction == pytest.approx(-0.1 / 0.4)
    loss = paired_difference({0: 0.5}, {0: 0.4}, metric="mean_squared_error")
    assert loss.error_reduction == pytest.approx(0.2)
    assert paired_difference({0: 1.0}, {0: 0.9}, metric="accuracy").error_reduction is None
    assert paired_difference({0: 0.5}, {0: 0.9}).error_reduction is None


def test_no_trials_are_refused():
    with pytest.raises(UserError, match="no trials"):
        summarise([])


def test_a_difference_agrees_with_the_paired_t_test_and_the_exact_permutations():
    pair = paired_difference(BASELINE, BETTER)
    expected = stats.ttest_rel([BETTER[s] for s in BETTER], [BASELINE[s] for s in BETTER])
    assert pair.difference == pytest.approx(0.026)
    assert pair.p_value == pytest.approx(expected.pvalue)
    assert pair.interval == pytest.approx(expected.confidence_interval())
    assert pair.permutation_p_value == pytest.approx(2 / 2**5)  # all five signs agree
    assert pair.wilcoxon_p_value == pytest.approx(2 / 2**5)
    assert pair.standard_deviation == pytest.approx(np.std([0.03, 0.02, 0.02, 0.04, 0.02], ddof=1))
    assert (pair.comparisons, pair.adjusted_p_value) == (1, pair.p_value)
    assert pair.minimum_detectable_difference == pytest.approx(1.682 * 0.0089443, abs=1e-5)
    assert (pair.wins, pair.ties, pair.losses, pair.trials) == (5, 0, 0, 5)


def test_pairs_are_made_by_seed_and_not_by_order():
    reordered = dict(reversed(BETTER.items()))
    assert paired_difference(BASELINE, reordered) == paired_difference(BASELINE, BETTER)


def test_different_seeds_are_refused():
    with pytest.raises(UserError, match=r"seeds \[1, 2\] against \[1, 3\]"):
        paired_difference({1: 0.5, 2: 0.5}, {1: 0.5, 3: 0.5})


def test_a_lower_loss_is_a_win():
    pair = paired_difference({1: 0.5, 2: 0.5, 3: 0.5}, {1: 0.4, 2: 0.5, 3: 0.6}, greater_is_better=False)
    assert (pair.wins, pair.ties, pair.losses) == (1, 1, 1)


def test_equal_scores_show_no_difference():
    pair = paired_difference(BASELINE, BASELINE)
    assert (pair.difference, pair.interval, pair.p_value, pair.permutation_p_value) == (0, (0, 0), 1, 1)
    assert (pair.wins, pair.ties, pair.losses) == (0, 5, 0)
    assert verdict(pair) == "the same metric on all 5 seeds"


def test_a_difference_that_never_varies_is_judged_by_its_signs():
    # 0.8 − 0.7 and 0.9 − 0.8 differ by rounding: t would call that certain.
    pair = paired_difference({1: 0.7, 2: 0.8, 3: 0.9}, {1: 0.8, 2: 0.9, 3: 1.0})
    assert pair.interval == (pair.difference, pair.difference)
    assert pair.p_value == pytest.approx(0.25)
    assert verdict(pair) == "+10.00 points on each of 3 seeds (sign-flip p = 0.25)"


def test_one_pair_claims_nothing():
    pair = paired_difference({7: 0.8}, {7: 0.9})
    assert (pair.interval, pair.p_value, pair.permutation_p_value) == (None, None, None)
    assert (pair.wilcoxon_p_value, pair.adjusted_p_value, pair.standard_deviation) == (None, None, None)
    assert pair.minimum_detectable_difference is None
    assert verdict(pair) == "+10.00 points on one seed, which cannot show a difference"


def test_a_clear_gain_and_its_mirror_image():
    assert verdict(paired_difference(BASELINE, BETTER)) == (
        "better by 2.60 points (95 % interval 1.49 to 3.71, 5 paired seeds)"
    )
    assert verdict(paired_difference(BETTER, BASELINE)) == (
        "worse by 2.60 points (95 % interval 1.49 to 3.71, 5 paired seeds)"
    )


def test_a_lower_loss_is_called_better_and_has_no_points():
    pair = paired_difference(BETTER, BASELINE, greater_is_better=False)
    assert verdict(pair, "log_loss").startswith("better by 0.0260 (95 % interval")


def test_a_gain_within_the_noise_is_not_claimed():
    pair = paired_difference({1: 0.7, 2: 0.8, 3: 0.9}, {1: 0.75, 2: 0.79, 3: 0.92})
    assert verdict(pair).startswith("no difference that 3 seeds could show: +2.00 points (95 % interval -")
    assert verdict(pair).endswith("; detectable with power 0.8: 9.79 points)")


def test_a_gain_that_one_of_many_methods_would_show_by_chance_is_not_claimed():
    clear, faint = paired_difference(BASELINE, BETTER), paired_difference(BASELINE, BASELINE | {1: 0.84})
    assert verdict(clear).startswith("better")
    first, *others = corrected([clear, *[faint] * 30])
    assert first.adjusted_p_value == pytest.approx(31 * clear.p_value)
    assert first.minimum_detectable_difference > clear.minimum_detectable_difference
    assert (first.difference, first.interval, first.p_value) == (
        clear.difference,
        clear.interval,
        clear.p_value,
    )
    assert verdict(first).startswith(
        "no difference that 5 seeds could show: +2.60 points (95 % interval +1.49"
    )
    assert f"Holm-adjusted p = {31 * clear.p_value:.2g} for 31 comparisons" in verdict(first)
    assert others[0].adjusted_p_value == 1
    two, _ = corrected([clear, faint])
    assert verdict(two) == (
        "better by 2.60 points (95 % interval 1.49 to 3.71, 5 paired seeds, Holm-adjusted p = 0.0058 "
        "for 2 comparisons)"
    )


def test_a_comparison_of_one_seed_counts_for_nothing_in_the_correction():
    clear, single = paired_difference(BASELINE, BETTER), paired_difference({1: 0.8}, {1: 0.9})
    assert corrected([single, clear]) == [single, clear]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=9),
    st.sampled_from([0.8, 0.95]),
)
def test_p_values_are_probabilities_and_agree_with_the_interval(scores, confidence):
    baseline = {seed: first / 50 for seed, (first, _) in enumerate(scores)}
    method = {seed: second / 50 for seed, (_, second) in enumerate(scores)}
    pair = paired_difference(baseline, method, confidence)
    assert 0 <= pair.p_value <= 1
    assert 0 < pair.permutation_p_value <= 1
    assert pair.wins + pair.ties + pair.losses == len(scores)
    if len(scores) < 3:
        assert pair.interval is None
        assert "better" not in verdict(pair)
        assert "worse" not in verdict(pair)
        return
    low, high = pair.interval
    assert low <= pair.difference <= high
    if low < high and not math.isclose(pair.p_value, 1 - confidence, abs_tol=1e-9):
        assert (pair.p_value < 1 - confidence) == (low > 0 or high < 0)
