from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from tellapart.arrays import Target, texts_of
from tellapart.errors import DataError

TEXTS = ["a", "b", "c"]


@pytest.mark.parametrize(
    "X", [TEXTS, tuple(TEXTS), np.array(TEXTS), np.array(TEXTS, dtype=object), pd.Series(TEXTS)]
)
def test_texts_come_in_every_container_that_holds_a_column(X):
    assert texts_of(X) == (TEXTS, None)
    assert {type(text) for text in texts_of(X)[0]} == {str}


@pytest.mark.parametrize(
    "container", [list, np.array, pd.DataFrame, lambda rows: [tuple(row) for row in rows]]
)
def test_pairs_come_as_two_columns(container):
    assert texts_of(container([["a", "x"], ["b", "y"]])) == (["a", "b"], ["x", "y"])


def test_a_frame_of_one_column_holds_single_texts():
    assert texts_of(pd.DataFrame({"text": TEXTS})) == (TEXTS, None)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([], "no rows"),
        ("a text", "single text"),
        (["a", None], "row 1 of X is not a text but None"),
        (["a", float("nan")], "row 1 of X is not a text but nan"),
        (np.eye(2), "row 0 of X is not a text but 1.0"),
        ([["a", "b", "c"]], "neither texts nor pairs"),
        ([["a", "b"], ["a"]], "neither texts nor pairs"),
    ],
)
def test_what_holds_no_texts_is_refused(X, message):
    with pytest.raises(DataError, match=message):
        texts_of(X)


@pytest.mark.parametrize(
    "y",
    [
        ["b", "a"],
        [2, 1],
        [10, 9],
        [True, False],
        [1, 2.0],
        [np.str_("b"), "a"],
        np.array(["b", "a"]),
        pd.Series(["b", "a"]),
        np.array([[2], [1]]),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
def test_classes_are_sorted_keep_their_type_and_come_back(y):
    target = Target.of(y)
    np.testing.assert_array_equal(target.classes, np.unique(y))
    assert target.classes.dtype.kind == np.asarray(y).dtype.kind
    ids = target.labels.encode(target.names(y))
    np.testing.assert_array_equal(target.decoded(ids), np.ravel(y))
    np.testing.assert_array_equal(Target.from_dict(target.to_dict()).classes, target.classes)


@pytest.mark.parametrize("container", [np.array, csr_array, pd.DataFrame, list])
def test_an_indicator_matrix_comes_back_as_one(container):
    matrix = [[1, 0, 1], [0, 0, 0], [0, 1, 1]]
    target = Target.of(container(matrix))
    assert target.labels.multi_label
    np.testing.assert_array_equal(target.classes, [0, 1, 2])
    np.testing.assert_array_equal(target.labels.encode(target.names(container(matrix))), matrix)
    np.testing.assert_array_equal(target.decoded(np.array(matrix)), matrix)


@settings(deadline=None)
@given(st.lists(st.sets(st.sampled_from(["x", "y", "z"])), min_size=1).filter(any))
def test_lists_of_labels_come_back_sorted(sets):
    target = Target.of(sets)
    multi_hot = target.labels.encode(target.names(sets))
    assert target.decoded(multi_hot) == [sorted(labels) for labels in sets]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "y is None"),
        ([], "y is empty"),
        (["a", "a"], r"one class only \(a\)"),
        (["a", None], "label 1 of y is missing"),
        (["a", float("nan")], "label 1 of y is missing"),
        (pd.Series(["a", pd.NA]), "label 1 of y is missing"),
        (np.array([1.0, np.nan]), "label 1 of y is missing"),
        (np.array(["a", 1], dtype=object), "several types"),
        (["a", 1], "several types"),
        ([1, "2", "1", 2], "several types"),
        ((True, "True"), "several types"),
        ([["a", 1], ["b"]], "several types"),
        ([["1"], [1]], "several types"),
        ([[]] * 3, "there are no labels in y"),
    ],
)
def test_labels_that_cannot_be_learned_from_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        Target.of(y)


def test_numbers_that_are_no_classes_are_refused():
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        Target.of([0.5, 1.5, 2.25])


def test_labels_of_another_form_than_those_that_were_learned_from_are_refused():
    with pytest.raises(DataError, match="another form"):
        Target.of(["a", "b"]).names([["a"], ["b", "c"]])
    with pytest.raises(DataError, match="another form"):
        Target.of(np.eye(3, dtype=int)).names(np.eye(2, dtype=int))


LONE = "card \ud83d lost"


@pytest.mark.parametrize("X", [["a", LONE], [("a", "b"), ("c", LONE)], np.array(["a", LONE], dtype=object)])
def test_texts_with_half_a_character_are_refused(X):
    with pytest.raises(DataError, match=r"row 1 of X has half a character \(the lone surrogate '\\ud83d'\)"):
        texts_of(X)
    assert texts_of(["a", "card \U0001f4b3 lost"])[0][1].endswith("lost")


@pytest.mark.parametrize("y", [["a", LONE], [["a"], [LONE]]])
def test_classes_with_half_a_character_are_refused(y):
    with pytest.raises(DataError, match="class 1 of y has half a character"):
        Target.of(y)
