from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.errors import DataError, ModelError, RecipeError
from tellapart.evaluation.metrics import METRICS
from tellapart.evaluation.ranking import ranking_metrics


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _figures(metrics: dict[str, float]) -> tuple[float, float, float]:
    return metrics["precision_at_1"], metrics["mean_reciprocal_rank"], metrics["mean_average_precision"]


def _of_an_order(relevant: list[int]) -> tuple[float, float, float]:
    """Precision at 1, reciprocal rank and average precision of one question's rows in their order."""
    ranks = [rank for rank, hit in enumerate(relevant, start=1) if hit]
    if not ranks:
        return 0.0, 0.0, 0.0
    precisions = [sum(relevant[:rank]) / rank for rank in ranks]
    return float(relevant[0]), 1 / ranks[0], sum(precisions) / len(ranks)


def _orders(scores: list[float], relevant: list[int]) -> Iterator[list[int]]:
    """Yields the labels in every order that falling scores allow, each order of tied rows once."""
    levels = sorted(set(scores), reverse=True)
    runs = [[hit for value, hit in zip(scores, relevant, strict=True) if value == level] for level in levels]
    for order in itertools.product(*(itertools.permutations(run) for run in runs)):
        yield list(itertools.chain.from_iterable(order))


def _by_enumeration(scores: list[float], relevant: list[int]) -> np.ndarray:
    return np.mean([_of_an_order(order) for order in _orders(scores, relevant)], axis=0)


def test_a_question_by_hand():
    found = ranking_metrics(np.array([0.9, 0.8, 0.7]), np.array([0, 1, 1]), ["q"] * 3)
    assert _figures(found) == pytest.approx((0, 0.5, (1 / 2 + 2 / 3) / 2))
    assert found["mean_average_precision"] == pytest.approx(0.58333, abs=1e-5)
    assert set(found) <= METRICS.keys()
    assert all(METRICS[name].percentage and METRICS[name].greater_is_better for name in found)


def test_tied_rows_by_hand():
    # Orders 01 and 10: precision at 1 of 0 and 1, reciprocal rank and average precision of 1/2 and 1.
    assert _figures(ranking_metrics(np.zeros(2), np.array([0, 1]), "qq")) == pytest.approx((0.5, 0.75, 0.75))
    # A row that is not relevant above two tied ones, of which one is: ranks 2 and 3.
    found = ranking_metrics(np.array([2.0, 1.0, 1.0]), np.array([0, 1, 0]), "qqq")
    assert _figures(found) == pytest.approx((0, (1 / 2 + 1 / 3) / 2, (1 / 2 + 1 / 3) / 2))


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.sampled_from([-1.5, 0.0, 0.25]), st.integers(0, 1)), min_size=1, max_size=6))
def test_ties_count_by_the_mean_over_all_their_orders(rows):
    scores, relevant = ([row[column] for row in rows] for column in (0, 1))
    found = ranking_metrics(
        np.array([*scores, 1.0]),
        np.array([*relevant, 1]),
        [*["q"] * len(rows), "sure"],
        without_positive="zero",
    )
    expected = (_by_enumeration(scores, relevant) + 1) / 2  # the second question's figures are 1
    assert _figures(found) == pytest.approx(tuple(expected), abs=1e-12)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(-2, 2), st.booleans()), min_size=1, max_size=30
    ).filter(lambda rows: any(hit for _, _, hit in rows)),
    st.randoms(use_true_random=False),
)
def test_figures_are_means_over_questions_whatever_the_order_of_the_rows(rows, random):
    shuffled = random.sample(rows, len(rows))
    found, again = (
        ranking_metrics(np.array([r[1] for r in some]), np.array([r[2] for r in some]), [r[0] for r in some])
        for some in (rows, shuffled)
    )
    assert _figures(again) == pytest.approx(_figures(found), abs=1e-12)
    one_by_one = []
    for question in sorted({row[0] for row in rows}):
        its_scores, its_hits = zip(*[row[1:] for row in rows if row[0] == question], strict=True)
        if any(its_hits):
            one_by_one.append(
                _figures(
                    ranking_metrics(np.array(its_scores), np.array(its_hits), [question] * len(its_hits))
                )
            )
    assert _figures(found) == pytest.approx(tuple(np.mean(one_by_one, axis=0)), abs=1e-12)


def test_rankings_without_ties_agree_with_trec_eval():
    rng = np.random.default_rng(0)
    judged: dict[str, dict[str, int]] = {}
    ranked: dict[str, dict[str, float]] = {}
    rows = []
    for question in map(str, range(200)):
        size = int(rng.integers(1, 40))
        scores, relevant = rng.permutation(size), (rng.random(size) < 0.2).astype(int)
        judged[question] = {str(row): int(hit) for row, hit in enumerate(relevant)}
        ranked[question] = {str(row): float(score) for row, score in enumerate(scores)}
        rows += [(score, hit, question) for score, hit in zip(scores, relevant, strict=True)]
    rows = [rows[index] for index in rng.permutation(len(rows))]
    theirs = pytrec_eval.RelevanceEvaluator(judged, {"P_1", "recip_rank", "map"}).evaluate(ranked)
    lacking = [question for question, hits in judged.items() if not any(hits.values())]
    assert 10 < len(lacking) < 190
    assert len(theirs) == 200
    for rule in ("skip", "zero"):
        counted = [theirs[question] for question in judged if rule == "zero" or question not in lacking]
        expected = [np.mean([its[name] for its in counted]) for name in ("P_1", "recip_rank", "map")]
        scores, relevant, questions = (list(column) for column in zip(*rows, strict=True))
        found = ranking_metrics(np.array(scores), np.array(relevant), questions, without_positive=rule)
        assert _figures(found) == pytest.approx(tuple(expected), abs=1e-6)  # trec_eval has single precision


def test_long_ties_keep_their_precision():
    # One relevant row among n tied ones: each rank has the chance 1/n, so both means are H_n / n.
    n = 60_000
    found = ranking_metrics(np.zeros(n), np.arange(n) == 7, ["q"] * n)
    harmonic = (1 / np.arange(1, n + 1)).sum() / n
    assert _figures(found) == pytest.approx((1 / n, harmonic, harmonic), rel=1e-10)


def test_what_questions_without_a_relevant_row_do():
    scores, relevant = np.array([3.0, 2.0, 1.0, 5.0, 4.0]), np.array([0, 0, 1, 0, 1])
    questions = ["none", "also none", "one", "two", "two"]
    assert _figures(ranking_metrics(scores, relevant, questions)) == (0.5, 0.75, 0.75)
    zero = ranking_metrics(scores, relevant, questions, without_positive="zero")
    assert _figures(zero) == (0.25, 0.375, 0.375)
    with pytest.raises(DataError, match='2 of 4 questions have no relevant row, the first is "none"'):
        ranking_metrics(scores, relevant, questions, without_positive="error")
    kept = slice(2, None)
    assert ranking_metrics(scores[kept], relevant[kept], questions[kept], without_positive="error")
    with pytest.raises(RecipeError, match="skip, zero, error"):
        ranking_metrics(scores, relevant, questions, without_positive="drop")  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", ["skip", "zero", "error"])
def test_no_relevant_row_at_all_is_refused_whatever_the_rule(rule):
    with pytest.raises(DataError, match=r"none of the 2 question\(s\) has a relevant row"):
        ranking_metrics(np.arange(3.0), np.zeros(3), ["a", "b", "b"], without_positive=rule)
    with pytest.raises(DataError, match="no rows"):
        ranking_metrics(np.zeros(0), np.zeros(0), [], without_positive=rule)


def test_scores_that_are_not_finite_and_lengths_that_differ_are_refused():
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(ModelError, match="diverged"):
            ranking_metrics(np.array([value, 0.0]), np.array([1, 0]), "qq")
    with pytest.raises(DataError, match="2 question ids"):
        ranking_metrics(np.zeros(3), np.ones(3), "qq")
    with pytest.raises(DataError, match=r"relevant rows of shape \(2,\)"):
        ranking_metrics(np.zeros(3), np.ones(2), "qqq")


def test_ids_are_compared_whole():
    found = ranking_metrics(np.array([2.0, 1.0]), np.array([0, 1]), ["q", "q\0"])
    assert found["precision_at_1"] == 1
