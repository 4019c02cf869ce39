from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tellapart.data.examples import SCORE, LabelSpace, TextSplit
from tellapart.errors import DataError, ModelError, RecipeError
from tellapart.evaluation.metrics import METRICS, find_metric, main_metric, metric_names
from tellapart.evaluation.regression import regression_metrics
from tellapart.evaluation.task import task_metrics

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
