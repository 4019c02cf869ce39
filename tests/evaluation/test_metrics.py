from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn import metrics as sklearn_metrics

from tellapart.data.examples import LabelSpace
from tellapart.errors import DataError, ModelError, RecipeError
from tellapart.evaluation.calibration import calibration_error
from tellapart.evaluation.metrics import (
    METRICS,
    classification_metrics,
    find_metric,
    main_metric,
    metric_label,
    metric_names,
    per_class,
    predicted_ids,
    probabilities,
)

THREE = LabelSpace(("a", "b", "c"))
TWO = LabelSpace(("no", "yes"))
TAGS = LabelSpace(("x", "y", "z"), "multi_label_classification")


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _random_task(num_labels: int, rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, num_labels, rows)
    logits = rng.normal(size=(rows, num_labels)) + 1.5 * np.eye(num_labels)[gold]
    return gold, logits.astype(np.float32)


def test_single_label_metrics_agree_with_scikit_learn():
    gold, logits = _random_task(3)
    predicted, found = logits.argmax(1), classification_metrics(THREE, gold, logits)
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(gold, predicted),
        "macro_f1": sklearn_metrics.f1_score(gold, predicted, average="macro"),
        "weighted_f1": sklearn_metrics.f1_score(gold, predicted, average="weighted"),
        "macro_precision": sklearn_metrics.precision_score(gold, predicted, average="macro"),
        "macro_recall": sklearn_metrics.recall_score(gold, predicted, average="macro"),
        "log_loss": sklearn_metrics.log_loss(gold, probabilities(THREE, logits)),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_two_classes_add_f1_of_the_second_and_matthews_correlation():
    gold, logits = _random_task(2)
    found = classification_metrics(TWO, gold, logits)
    assert found["f1"] == pytest.approx(sklearn_metrics.f1_score(gold, logits.argmax(1)))
    assert found["matthews_correlation"] == pytest.approx(
        sklearn_metrics.matthews_corrcoef(gold, logits.argmax(1))
    )


def test_multi_label_metrics_agree_with_scikit_learn():
    rng = np.random.default_rng(1)
    gold = (rng.random((200, 3)) < 0.4).astype(np.float32)
    gold[:, 0] = np.maximum(
        gold[:, 0], gold.sum(1) == 0
    )  # no empty rows: there scikit-learn's default differs
    logits = rng.normal(size=(200, 3)) + 2 * gold - 1
    predicted, found = (logits >= 0).astype(int), classification_metrics(TAGS, gold, logits)
    expected = {
        f"{average}_f1": sklearn_metrics.f1_score(gold, predicted, average=average, zero_division=0)
        for average in ("micro", "macro", "weighted", "samples")
    }
    expected["micro_precision"] = sklearn_metrics.precision_score(gold, predicted, average="micro")
    expected["micro_recall"] = sklearn_metrics.recall_score(gold, predicted, average="micro")
    expected["exact_match"] = sklearn_metrics.accuracy_score(gold, predicted)
    expected["hamming_loss"] = sklearn_metrics.hamming_loss(gold, predicted)
    expected["expected_calibration_error"] = calibration_error(expit(logits).ravel(), gold.ravel() == 1)
    assert found == pytest.approx(expected)


def test_ordered_classes_add_kappa_and_the_mean_error_in_ranks():
    ordered = THREE.in_order(["b", "c", "a"])  # ranks 2, 0, 1
    gold, predicted = np.array([0, 0, 1, 2, 1]), np.array([0, 1, 1, 1, 2])
    found = classification_metrics(ordered, gold, np.eye(3)[predicted])
    assert found["mean_absolute_error"] == pytest.approx((0 + 2 + 0 + 1 + 1) / 5)
    ranks = np.array([2, 0, 1])
    observed, expected = 0.0, 0.0
    for row in range(5):
        observed += (ranks[gold[row]] - ranks[predicted[row]]) ** 2 / 5
        expected += sum((ranks[gold[row]] - ranks[other]) ** 2 for other in predicted) / 25
    assert found["quadratic_kappa"] == pytest.approx(1 - observed / expected)
    assert {name: found[name] for name in metric_names(THREE)} == classification_metrics(
        THREE, gold, np.eye(3)[predicted]
    )


def test_a_class_of_the_order_that_does_not_occur_still_has_its_place():
    ordered = LabelSpace(("1", "2", "3", "4", "5")).in_order(["1", "2", "3", "4", "5"])
    gold, predicted = np.array([0, 4, 0, 1]), np.array([0, 4, 1, 0])
    expected = sklearn_metrics.cohen_kappa_score(gold, predicted, labels=range(5), weights="quadratic")
    found = classification_metrics(ordered, gold, np.eye(5)[predicted])["quadratic_kappa"]
    assert found == pytest.approx(expected)
    assert found > sklearn_metrics.cohen_kappa_score(gold, predicted, weights="quadratic")


def test_a_class_absent_from_the_rows_counts_as_zero_and_does_not_shrink_the_mean():
    found = classification_metrics(THREE, np.array([0, 1]), np.array([[9, 0, 0], [0, 9, 0]]))
    assert found["accuracy"] == 1
    assert found["macro_f1"] == pytest.approx(2 / 3)


def test_rows_of_one_class_only_give_zero_correlation_without_a_warning():
    found = classification_metrics(TWO, np.zeros(4, dtype=int), np.array([[1.0, 0.0]] * 4))
    assert found["accuracy"] == 1
    assert found["matthews_correlation"] == 0
    ordered = classification_metrics(
        TWO.in_order(["no", "yes"]), np.zeros(4, dtype=int), np.array([[1.0, 0.0]] * 4)
    )
    assert (ordered["quadratic_kappa"], ordered["mean_absolute_error"]) == (0, 0)


def test_an_empty_label_set_that_is_predicted_empty_is_right():
    found = classification_metrics(TAGS, np.zeros((2, 3)), np.full((2, 3), -5.0))
    assert found["samples_f1"] == found["exact_match"] == 1
    assert found["micro_f1"] == 0


def test_calibration_error_by_hand():
    # Two rows at confidence 0.8, one of them right: |0.5 − 0.8|. Two at 0.6, both right: |1 − 0.6|.
    certainties = np.array([0.8, 0.8, 0.6, 0.6])
    logits = np.log(np.stack([certainties, 1 - certainties], axis=1))
    found = classification_metrics(TWO, np.array([0, 1, 0, 0]), logits)
    assert found["expected_calibration_error"] == pytest.approx((0.3 + 0.4) / 2)


def test_log_loss_of_a_certain_error_is_the_margin_and_not_a_clipped_value():
    found = classification_metrics(TWO, np.array([1]), np.array([[1000.0, 0.0]]))
    assert found["log_loss"] == pytest.approx(1000)


def test_the_metrics_are_those_announced_and_all_are_registered():
    ordered, pair = THREE.in_order(["a", "b", "c"]), TWO.in_order(["yes", "no"])
    for labels, shape in ((THREE, (2,)), (TWO, (2,)), (TAGS, (2, 3)), (ordered, (2,)), (pair, (2,))):
        found = classification_metrics(labels, np.ones(shape, dtype=int), np.eye(3)[:2, : len(labels)])
        assert tuple(found) == metric_names(labels)
        assert set(found) <= METRICS.keys()
        assert next(iter(found)) == main_metric(labels)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3), min_size=1, max_size=8))
def test_probabilities_are_finite_and_sum_to_one(logits):
    found = probabilities(THREE, np.array(logits, dtype=np.float32))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.sum(axis=1), 1)
    one_by_one = probabilities(TAGS, np.array(logits))
    assert ((one_by_one >= 0) & (one_by_one <= 1)).all()


def test_thresholds_decide_for_each_label():
    logits = np.log(np.array([[0.6 / 0.4, 0.6 / 0.4, 0.2 / 0.8]]))  # probabilities 0.6, 0.6, 0.2
    assert predicted_ids(TAGS, logits).tolist() == [[1, 1, 0]]
    assert predicted_ids(TAGS, logits, np.array([0.7, 0.5, 0.1])).tolist() == [[0, 1, 1]]
    assert classification_metrics(TAGS, np.array([[0, 0, 0]]), logits, 0.9)["exact_match"] == 1


def test_classes_are_the_largest_logits_even_where_probabilities_saturate():
    assert predicted_ids(TWO, np.array([[1e30, 1e31], [3.0, 2.0]])).tolist() == [1, 0]


def test_scores_that_are_not_finite_are_refused():
    for value in (np.nan, np.inf):
        with pytest.raises(ModelError, match="diverged"):
            classification_metrics(TWO, np.array([0]), np.array([[value, 0.0]]))


def test_no_rows_are_refused():
    with pytest.raises(DataError, match="no rows"):
        classification_metrics(TWO, np.array([], dtype=int), np.zeros((0, 2)))


def test_per_class_names_every_class_with_its_figures():
    rows = per_class(THREE, np.array([0, 0, 1]), np.array([0, 1, 1]))
    assert rows[0] == {"name": "a", "support": 2, "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)}
    assert rows[2] == {"name": "c", "support": 0, "precision": 0.0, "recall": 0.0, "f1": 0.0}
    tags = per_class(TAGS, np.array([[1, 0, 1]]), np.array([[1, 1, 0]]))
    assert [row["f1"] for row in tags] == [1, 0, 0]


def test_a_metric_that_the_task_lacks_is_refused_with_a_suggestion():
    assert find_metric(THREE, "log_loss").greater_is_better is False
    with pytest.raises(RecipeError, match='did you mean "macro_f1"'):
        find_metric(THREE, "macrof1")
    with pytest.raises(RecipeError, match="no metric"):
        find_metric(TAGS, "accuracy")


def test_shares_are_shown_times_hundred_and_others_as_they_are():
    assert METRICS["accuracy"].display(0.8123) == "81.23"
    assert METRICS["accuracy"].display(0.004, signed=True) == "+0.40"
    assert METRICS["log_loss"].display(0.65432) == "0.6543"
    assert metric_label("macro_f1") == "macro f1 (%)"
    assert metric_label("log_loss") == "log loss"
