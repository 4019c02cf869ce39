from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.fitting.pseudo_labels import predicted_probability, pseudo_labelled, select_confident

ROWS = st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.2, 0.5, 0.7, 0.9])), min_size=1, max_size=60)


def _arrays(rows: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([confidence for _, confidence in rows]), np.array([label for label, _ in rows])


@given(ROWS, st.floats(0.01, 1.0), st.booleans())
def test_the_share_is_selected_once_each_in_order(rows, share, balanced):
    confidence, predicted = _arrays(rows)
    chosen = select_confident(confidence, predicted, share, balanced=balanced)
    assert len(chosen) == max(1, round(share * len(rows)))
    assert (np.diff(chosen) > 0).all()
    assert chosen.min() >= 0
    assert chosen.max() < len(rows)


@given(ROWS, st.floats(0.01, 1.0))
def test_no_row_left_out_is_more_confident_than_a_selected_one(rows, share):
    confidence, predicted = _arrays(rows)
    chosen = select_confident(confidence, predicted, share, balanced=False)
    left = np.setdiff1d(np.arange(len(rows)), chosen)
    assert not len(left) or confidence[chosen].min() >= confidence[left].max()


@given(ROWS, st.floats(0.01, 1.0))
def test_balanced_counts_differ_by_one_unless_a_class_is_used_up(rows, share):
    confidence, predicted = _arrays(rows)
    chosen = select_confident(confidence, predicted, share, balanced=True)
    used, there = Counter(predicted[chosen].tolist()), Counter(predicted.tolist())
    most = max(used.values())
    for label, count in there.items():
        assert used[label] in (most, most - 1) or used[label] == count
        left = [row for row in np.flatnonzero(predicted == label) if row not in chosen]
        taken = [row for row in np.flatnonzero(predicted == label) if row in chosen]
        if left and taken:
            assert confidence[taken].min() >= confidence[left].max()


@given(ROWS, st.floats(0.01, 1.0))
def test_of_each_class_the_share_is_selected(rows, share):
    confidence, predicted = _arrays(rows)
    chosen = select_confident(confidence, predicted, share, balanced=True, of_each=True)
    there = Counter(predicted.tolist())
    for label, count in there.items():
        members = np.flatnonzero(predicted == label)
        taken = np.intersect1d(members, chosen)
        # Each class is rounded by at most half a row, and so the share that makes up the total of all of them.
        assert abs(len(taken) - share * count) <= 0.5 + count * (len(there) / 2 + 1) / len(rows) + 1e-9
        left = np.setdiff1d(members, chosen)
        if len(left) and len(taken):
            assert confidence[taken].min() >= confidence[left].max()


def test_an_easy_class_does_not_crowd_out_a_hard_one():
    confidence = np.array([0.99, 0.98, 0.97, 0.96, 0.6, 0.5])
    predicted = np.array([0, 0, 0, 0, 1, 1])
    assert select_confident(confidence, predicted, 0.67, balanced=False).tolist() == [0, 1, 2, 3]
    assert select_confident(confidence, predicted, 0.67, balanced=True).tolist() == [0, 1, 4, 5]
    # what the small class leaves of its quota is filled, and the odd row goes to the more confident class
    assert select_confident(confidence, predicted, 0.83, balanced=True).tolist() == [0, 1, 2, 4, 5]
    assert select_confident(confidence, predicted, 0.5, balanced=True).tolist() == [0, 1, 4]


def test_equally_confident_rows_are_taken_in_their_order():
    chosen = select_confident(np.full(6, 0.5), np.array([0, 0, 0, 1, 1, 1]), 0.67, balanced=True)
    assert chosen.tolist() == [0, 1, 3, 4]


def test_the_confidence_in_a_set_of_labels_is_its_probability():
    chances = np.array([[0.9, 0.2, 0.5]])
    assert predicted_probability(chances, np.array([[1, 0, 1]])) == pytest.approx([0.9 * 0.8 * 0.5])
    assert predicted_probability(chances, np.array([1])) == pytest.approx([0.2])


LABELS = LabelSpace(("a", "b"))


def test_predictions_become_labels_and_known_labels_only_measure_them():
    logits = np.log([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.45, 0.55]])
    texts = TextSplit(["one", "two", "three", "four"], labels=["a", "a", "b", "unknown"])
    pseudo = pseudo_labelled(texts, LABELS, logits, share=1.0, balanced=True)
    assert pseudo.split == TextSplit(["one", "two", "three", "four"], labels=["a", "b", "b", "b"])
    assert pseudo.targets == pytest.approx(np.exp(logits))
    assert pseudo.report["per_class"] == {"a": 1, "b": 3}
    assert pseudo.report["mean_confidence"] == pytest.approx((0.9 + 0.6 + 0.8 + 0.55) / 4)
    assert pseudo.report["known_labels"] == {
        "rows": 3,
        "accuracy": pytest.approx(2 / 3),
        "accuracy_of_all": pytest.approx(2 / 3),
    }
    without = pseudo_labelled(TextSplit(texts.texts), LABELS, logits, share=1.0, balanced=True)
    assert "known_labels" not in without.report
    assert without.split == pseudo.split


def test_a_share_of_confident_texts_is_used():
    logits = np.log([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.45, 0.55]])
    texts = TextSplit(["one", "two", "three", "four"], labels=["a", "a", "a", "b"])
    pseudo = pseudo_labelled(texts, LABELS, logits, share=0.5, balanced=True)
    assert pseudo.split.texts == ["one", "three"]
    assert pseudo.report["known_labels"] == {"rows": 2, "accuracy": 0.5, "accuracy_of_all": 0.5}


def test_several_labels_a_text():
    labels = LabelSpace(("a", "b", "c"), "multi_label_classification")
    logits = np.array([[3.0, -3.0, 3.0], [-3.0, -3.0, -3.0]])
    texts = TextSplit(["both", "none"], labels=[["a", "c"], ["b"]])
    pseudo = pseudo_labelled(texts, labels, logits, share=1.0, balanced=True)
    assert pseudo.split.labels == [["a", "c"], []]
    assert pseudo.report["per_class"] == {"a": 1, "b": 0, "c": 1}
    assert pseudo.report["known_labels"]["accuracy"] == 0.5
    strict = pseudo_labelled(
        texts, labels, logits, share=1.0, balanced=True, thresholds=np.array([0.99, 0.5, 0.5])
    )
    assert strict.split.labels == [["c"], []]
