from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import softmax

from tellapart.data.examples import SCORE, LabelSpace, TextSplit
from tellapart.errors import DataError, ModelError, RecipeError
from tellapart.evaluation.metrics import (
    METRICS,
    classification_metrics,
    find_metric,
    main_metric,
    metric_names,
)
from tellapart.evaluation.ranking import ranking_metrics
from tellapart.evaluation.task import (
    is_ranking,
    regression_metrics,
    seen_note,
    task_metrics,
    unseen_metrics,
    unseen_rows,
)

ANSWERS = LabelSpace(("no", "yes"))
TOPICS = LabelSpace(("a", "b", "c"))
TAGS = LabelSpace(("x", "y"), "multi_label_classification")
RANKING_NAMES = {"mean_average_precision", "mean_reciprocal_rank", "precision_at_1"}


def _answers(labels: list[str], questions: list[str] | None) -> TextSplit:
    return TextSplit([f"row {row}" for row in range(len(labels))], labels=labels, question_ids=questions)


def test_only_question_ids_with_two_classes_make_a_ranking_task():
    ranked, plain = _answers(["no"], ["q"]), _answers(["no"], None)
    assert is_ranking(ANSWERS, ranked)
    assert not is_ranking(ANSWERS, plain)
    assert not is_ranking(TOPICS, ranked)
    assert not is_ranking(TAGS, ranked)


def test_the_metrics_of_a_task_without_questions_are_those_of_its_classes():
    rng = np.random.default_rng(0)
    labels, logits = rng.choice(["a", "b", "c"], 50).tolist(), rng.normal(size=(50, 3))
    for questions in (None, ["q"] * 50):  # three classes are no ranking task
        found = task_metrics(TOPICS, _answers(labels, questions), logits)
        assert found == classification_metrics(TOPICS, TOPICS.encode(labels), logits)
    tags = TextSplit(["one", "two"], labels=[["x"], []])
    logits = np.array([[1.0, 0.3], [0.3, -1.0]])
    for thresholds in (0.5, np.array([0.7, 0.9])):
        expected = classification_metrics(TAGS, TAGS.encode([["x"], []]), logits, thresholds)
        assert task_metrics(TAGS, tags, logits, thresholds) == expected
    assert task_metrics(TAGS, tags, logits)["exact_match"] == 0
    assert task_metrics(TAGS, tags, logits, np.array([0.7, 0.9]))["exact_match"] == 1


def test_a_ranking_task_has_both_kinds_of_metrics_and_the_main_one_first():
    rng = np.random.default_rng(1)
    labels, logits = rng.choice(["no", "yes"], 60).tolist(), rng.normal(size=(60, 2)).astype(np.float32)
    split = _answers(labels, [str(row % 9) for row in range(60)])
    found = task_metrics(ANSWERS, split, logits)
    assert tuple(found) == metric_names(ANSWERS, ranking=True)
    assert next(iter(found)) == main_metric(ANSWERS, ranking=True) == "mean_average_precision"
    assert set(found) == RANKING_NAMES | set(metric_names(ANSWERS))
    ranked = ranking_metrics(
        softmax(logits.astype(float), axis=1)[:, 1], ANSWERS.encode(labels), split.question_ids
    )
    assert {name: found[name] for name in RANKING_NAMES} == ranked
    plain = classification_metrics(ANSWERS, ANSWERS.encode(labels), logits)
    assert {name: found[name] for name in plain} == plain


def test_the_second_class_is_the_relevant_one():
    split = _answers(["no", "yes"], ["q", "q"])
    assert task_metrics(ANSWERS, split, np.array([[3.0, 0.0], [0.0, 3.0]]))["precision_at_1"] == 1
    assert task_metrics(ANSWERS, split, np.array([[0.0, 3.0], [3.0, 0.0]]))["precision_at_1"] == 0


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_saturated_probabilities_are_no_ties(dtype):
    split = _answers(["no", "yes"], ["q", "q"])
    logits = np.array([[-40.0, 40.0], [-40.0, 41.0]], dtype=dtype)
    assert len(set(softmax(logits.astype(float), axis=1)[:, 1])) == 1
    assert task_metrics(ANSWERS, split, logits)["precision_at_1"] == 1


def test_logits_are_subtracted_without_rounding_them_to_their_own_precision():
    split = _answers(["no", "yes"], ["q", "q"])
    logits = np.array([[-2048.0, 0.0], [-2048.0, 0.5]], dtype=np.float16)
    assert len(set(logits[:, 1] - logits[:, 0])) == 1
    assert task_metrics(ANSWERS, split, logits)["precision_at_1"] == 1


def test_the_rule_for_questions_without_a_relevant_row_is_passed_on():
    split = _answers(["no", "yes"], ["p", "q"])
    logits = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert task_metrics(ANSWERS, split, logits)["precision_at_1"] == 1
    assert task_metrics(ANSWERS, split, logits, without_positive="zero")["precision_at_1"] == 0.5
    with pytest.raises(DataError, match='the first is "p"'):
        task_metrics(ANSWERS, split, logits, without_positive="error")


def test_rows_without_labels_without_positives_or_with_broken_scores_are_refused():
    with pytest.raises(DataError, match="have no labels"):
        task_metrics(ANSWERS, TextSplit(["one"], question_ids=["q"]), np.zeros((1, 2)))
    with pytest.raises(DataError, match="relevant row"):
        task_metrics(ANSWERS, _answers(["no"], ["q"]), np.zeros((1, 2)))
    with pytest.raises(ModelError, match="diverged"):
        task_metrics(ANSWERS, _answers(["yes"], ["q"]), np.array([[0.0, np.nan]]))


def test_ranking_metrics_can_be_chosen_by_in_ranking_tasks_alone():
    assert find_metric(ANSWERS, "precision_at_1", ranking=True) is METRICS["precision_at_1"]
    assert find_metric(ANSWERS, "accuracy", ranking=True) is METRICS["accuracy"]
    with pytest.raises(RecipeError, match='did you mean "mean_reciprocal_rank"'):
        find_metric(ANSWERS, "reciprocal_rank", ranking=True)
    for labels in (ANSWERS, TOPICS, TAGS):
        assert not RANKING_NAMES & set(metric_names(labels))
        with pytest.raises(RecipeError, match="no metric"):
            find_metric(labels, "mean_average_precision")


def test_a_row_is_unseen_unless_its_text_was_trained_on_in_any_case_and_spacing():
    train = TextSplit(["My card", "lost  it"], labels=["a", "b"])
    split = TextSplit(["my  CARD ", "my card is", "Lost it", ""], labels=["a"] * 4)
    assert unseen_rows(train, split).tolist() == [False, True, False, True]
    pairs = TextSplit(["my card", "my card"], ["yes", "no"])
    assert unseen_rows(TextSplit(["My card"], ["No"]), pairs).tolist() == [True, False]


def test_the_metrics_without_the_rows_that_were_trained_on_are_those_of_the_others():
    train = TextSplit(["one", "two"], labels=["a", "b"])
    split = TextSplit(["ONE", "three", "four"], labels=["a", "b", "c"])
    logits = np.eye(3)[[1, 1, 0]]
    found = unseen_metrics(TOPICS, train, split, logits)
    others = split.select([1, 2])
    assert found == {"rows": 2, **task_metrics(TOPICS, others, logits[1:])}
    assert found["accuracy"] == 0.5
    assert seen_note(3, found) == (
        "1 of 3 test rows have a text that is also in train; on the other 2, accuracy (%) is 50.00."
    )
    assert unseen_metrics(TOPICS, train, others, logits[1:]) is None
    only_seen = unseen_metrics(TOPICS, train, split.select([0]), logits[:1])
    assert only_seen == {"rows": 0}
    assert seen_note(1, only_seen) == "1 of 1 test rows have a text that is also in train."


def test_a_question_with_an_answer_that_was_trained_on_leaves_as_a_whole():
    train = TextSplit(["row 1"], labels=["no"], question_ids=["other"])
    split = _answers(["yes", "no", "yes", "no"], ["p", "p", "q", "q"])
    assert unseen_rows(train, split).tolist() == [False, False, True, True]
    logits = np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 2.0], [0.0, 1.0]])
    found = unseen_metrics(ANSWERS, train, split, logits)
    assert (found["rows"], found["mean_reciprocal_rank"]) == (2, 1.0)
    lost = _answers(["yes", "no", "no", "no"], ["p", "p", "q", "q"])
    assert unseen_metrics(ANSWERS, train, lost, logits) == {"rows": 2}  # nothing left that can be ranked


SCORES = LabelSpace((SCORE,), "regression")
NUMBERS = st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=3, max_size=30)


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_hand_values():
    metrics = regression_metrics(np.array([1.0, 2.0, 3.0, 4.0]), np.array([[1.0], [3.0], [2.0], [9.0]]))
    assert metrics == pytest.approx(
        {
            "pearson_correlation": 11.5 / np.sqrt(5 * 38.75),
            "spearman_correlation": 0.8,
            "mean_squared_error": (0 + 1 + 1 + 25) / 4,
            "mean_absolute_error": (0 + 1 + 1 + 5) / 4,
        }
    )


@settings(deadline=None)
@given(NUMBERS)
def test_correlations_are_those_of_scipy_and_0_where_it_has_none(rows):
    gold, predicted = np.array(rows, dtype=float).T
    metrics = regression_metrics(gold, predicted)
    if np.ptp(gold) == 0 or np.ptp(predicted) == 0:
        assert metrics["pearson_correlation"] == metrics["spearman_correlation"] == 0
        return
    assert metrics["pearson_correlation"] == pytest.approx(stats.pearsonr(gold, predicted)[0], abs=1e-9)
    assert metrics["spearman_correlation"] == pytest.approx(stats.spearmanr(gold, predicted)[0], abs=1e-9)


@settings(deadline=None)
@given(NUMBERS, st.floats(0.1, 9), st.floats(-9, 9))
def test_correlations_do_not_depend_on_the_unit_of_the_predictions(rows, factor, shift):
    gold, predicted = np.array(rows, dtype=float).T
    before, after = regression_metrics(gold, predicted), regression_metrics(gold, factor * predicted + shift)
    assert after["pearson_correlation"] == pytest.approx(before["pearson_correlation"], abs=1e-6)


def test_a_task_of_scores_has_its_metrics_the_main_one_first():
    split = TextSplit(["a", "b", "c"], labels=[0.0, 2.5, 5.0])
    metrics = task_metrics(SCORES, split, np.array([[0.0], [2.0], [5.0]], dtype=np.float32))
    assert tuple(metrics) == metric_names(SCORES)
    assert next(iter(metrics)) == main_metric(SCORES) == "pearson_correlation"
    assert metrics["mean_absolute_error"] == pytest.approx(0.5 / 3)
    assert not METRICS["mean_squared_error"].greater_is_better


def test_metrics_of_classes_are_not_those_of_scores():
    with pytest.raises(RecipeError, match="pearson_correlation"):
        find_metric(SCORES, "accuracy")


def test_no_rows_and_no_finite_predictions_are_refused():
    with pytest.raises(DataError, match="no rows"):
        regression_metrics(np.array([]), np.zeros((0, 1)))
    with pytest.raises(ModelError, match="finite"):
        regression_metrics(np.array([1.0, 2.0]), np.array([1.0, np.nan]))
