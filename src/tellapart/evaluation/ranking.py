"""Ranking metrics over questions, with exact expectations for ties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from tellapart.errors import DataError, RecipeError
from tellapart.evaluation.metrics import finite_logits

WithoutPositive = Literal["skip", "zero", "error"]


def ranking_metrics(
    scores: np.ndarray,
    relevant: np.ndarray,
    question_ids: Sequence[str],
    *,
    without_positive: WithoutPositive = "skip",
) -> dict[str, float]:
    """Computes precision at 1, mean reciprocal rank and mean average precision over questions.

    A question's rows, which need not be adjacent, are ranked by descending score. Rows with equal scores count by
    the expected value over all their orders (McSherry and Najork 2008, Computing Information Retrieval
    Performance Measures Efficiently in the Presence of Tied Scores), so no metric depends on the order of the rows.

    Args:
        scores: (N,), any float type; only their order within a question matters.
        relevant: bool or int (N,); rows above 0 are relevant.
        question_ids: The question of each row, N of them.
        without_positive: Treatment of questions without a relevant row: `skip` leaves them out of the means,
            `zero` counts them as 0, `error` raises. Default `skip`.

    Returns:
        `mean_average_precision`, `mean_reciprocal_rank` and `precision_at_1`, each 0 to 1.

    Raises:
        DataError: There are no rows, the arguments differ in length, no question has a relevant row, or one has
            none and `without_positive` is `error`.
        ModelError: A score is NaN or infinite.
        RecipeError: `without_positive` is not one of the three.
    """
    if without_positive not in get_args(WithoutPositive):
        choices = ", ".join(get_args(WithoutPositive))
        raise RecipeError(f'without_positive is "{without_positive}"', f"give one of {choices}")
    values, hits = finite_logits(scores), np.asarray(relevant) > 0
    if not values.shape == hits.shape == (len(question_ids),):
        raise DataError(
            f"there are {len(question_ids)} question ids, scores of shape {values.shape} and relevant rows of "
            f"shape {hits.shape}",
            "give one of each per row",
        )
    names = list(dict.fromkeys(question_ids))
    codes = {name: code for code, name in enumerate(names)}
    questions = np.fromiter(map(codes.__getitem__, question_ids), np.int64, len(question_ids))
    positives = np.bincount(questions, weights=hits, minlength=len(names))  # (Q,)
    _refuse_without_positive(names, positives, without_positive)
    ties = _Ties.of(values, hits, questions)
    answered = positives > 0
    figures = {
        "mean_average_precision": _precision_sums(ties, len(names))[answered] / positives[answered],
        "mean_reciprocal_rank": _reciprocal_ranks(ties),
        "precision_at_1": _first_precisions(ties)[answered],
    }
    counted = len(names) if without_positive == "zero" else answered.sum()
    return {name: float(figure.sum() / counted) for name, figure in figures.items()}


def _refuse_without_positive(names: list[str], positives: np.ndarray, rule: WithoutPositive) -> None:
    if not names:
        raise DataError("there are no rows to rank", "give a split that has labelled rows")
    lacking = np.flatnonzero(positives == 0)
    if len(lacking) == len(names):
        raise DataError(
            f"none of the {len(names)} question(s) has a relevant row, so nothing can be ranked",
            "check the labels (the second of the two classes is the relevant one) and the column of question ids",
        )
    if len(lacking) and rule == "error":
        raise DataError(
            f'{len(lacking)} of {len(names)} questions have no relevant row, the first is "{names[lacking[0]]}"',
            "remove them or give them one, or set without_positive to skip or zero",
        )


@dataclass(frozen=True)
class _Ties:
    """Runs of rows with equal question and score, sorted by question, then by descending score.

    Args:
        questions: The question of each run, int64 (T,).
        sizes: Rows of each run, at least 1.
        relevant: How many of them are relevant.
        before: Rows of the question that are ranked above the run.
        relevant_before: How many of those are relevant.
    """

    questions: np.ndarray
    sizes: np.ndarray
    relevant: np.ndarray
    before: np.ndarray
    relevant_before: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, hits: np.ndarray, questions: np.ndarray) -> _Ties:
        """Sorts the rows, each argument (N,), and finds the runs."""
        order = np.lexsort((-scores, questions))
        scores, hits, questions = scores[order], hits[order], questions[order]
        new_question = np.diff(questions, prepend=-1) != 0
        new_score = np.ones_like(new_question)
        new_score[1:] = scores[1:] != scores[:-1]
        starts = np.flatnonzero(new_question | new_score)  # (T,), the first row of each run
        first_rows = np.flatnonzero(new_question)  # (Q,)
        its_first_row = first_rows[questions[starts]]  # (T,)
        hits_above = np.concatenate(([0], np.cumsum(hits)))  # (N + 1,)
        return cls(
            questions=questions[starts],
            sizes=np.diff(starts, append=len(order)),
            relevant=np.diff(hits_above[starts], append=hits_above[-1]),
            before=starts - its_first_row,
            relevant_before=hits_above[starts] - hits_above[its_first_row],
        )


def _precision_sums(ties: _Ties, questions: int) -> np.ndarray:
    """Returns the expected sum over the relevant rows of the precision at their ranks, (Q,).

    The row at place i (from 0) of a run of n rows, r of them relevant, is relevant with probability r/n; if it
    is, each of the i rows of the run above it is relevant with probability (r − 1)/(n − 1).
    """
    starts = np.cumsum(ties.sizes) - ties.sizes
    place = np.arange(ties.sizes.sum()) - np.repeat(starts, ties.sizes)  # (N,)
    others = (ties.relevant - 1) / np.maximum(ties.sizes - 1, 1)  # (T,)
    hits_so_far = np.repeat(ties.relevant_before + 1, ties.sizes) + place * np.repeat(others, ties.sizes)
    precision = hits_so_far / (np.repeat(ties.before + 1, ties.sizes) + place)
    weight = np.repeat(ties.relevant / ties.sizes, ties.sizes)
    return np.bincount(np.repeat(ties.questions, ties.sizes), weights=weight * precision, minlength=questions)


def _reciprocal_ranks(ties: _Ties) -> np.ndarray:
    """Returns the expected reciprocal rank of each question that has a relevant row, in their order."""
    with_hits = np.flatnonzero(ties.relevant)
    _, first = np.unique(ties.questions[with_hits], return_index=True)
    runs = with_hits[first]
    kinds = np.stack([ties.before[runs], ties.sizes[runs], ties.relevant[runs]], axis=1)
    distinct, kind = np.unique(kinds, axis=0, return_inverse=True)  # few, where whole questions are tied
    means = np.array([_reciprocal_rank(*(int(count) for count in row)) for row in distinct])
    return means[kind.reshape(-1)]  # NumPy 2.0 gives the inverse of rows a second axis


def _reciprocal_rank(before: int, size: int, relevant: int) -> float:
    """Returns the mean of 1/rank of the first relevant row of a run over all orders of the run."""
    ahead = np.arange(size - relevant + 1)  # how many other rows of the run come first
    hit = relevant / (size - ahead)  # probability of a relevant row, given that none is above it
    reached = np.concatenate(([1.0], np.cumprod(1 - hit[:-1])))
    return float((reached * hit / (before + ahead + 1)).sum())


def _first_precisions(ties: _Ties) -> np.ndarray:
    """Returns the probability that the first row of each question is relevant, (Q,)."""
    runs = np.flatnonzero(ties.before == 0)
    return ties.relevant[runs] / ties.sizes[runs]
