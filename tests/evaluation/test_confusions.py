from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tellapart.evaluation.confusions import (
    DENSE_CLASSES,
    among,
    as_confusions,
    cells,
    count_cells,
    from_json,
    pair_sums,
    row_sums,
    to_json,
    values_at,
)

COUNTS = arrays(np.int64, (7, 7), elements=st.sampled_from([0, 0, 1, 2, 9]))


@settings(deadline=None, max_examples=40, derandomize=True)
@given(COUNTS, COUNTS)
def test_sparse_counts_equal_full_ones(matrix, other):
    counts = as_confusions(matrix)
    assert counts.toarray().tolist() == matrix.tolist()
    assert row_sums(counts).tolist() == matrix.sum(axis=1).tolist()
    assert pair_sums(counts).toarray().tolist() == np.triu(matrix + matrix.T, k=1).tolist()
    assert as_confusions(counts - as_confusions(other)).toarray().tolist() == (matrix - other).tolist()
    assert count_cells(*cells(counts)[:2], 7, cells(counts)[2]).toarray().tolist() == matrix.tolist()
    everywhere = np.indices((7, 7)).reshape(2, -1)
    assert values_at(counts, *everywhere).tolist() == matrix.ravel().tolist()
    some = np.array([4, 0, 6])
    assert among(counts, some).tolist() == matrix[np.ix_(some, some)].tolist()


def test_cells_are_listed_row_by_row_without_zeros():
    gold, predicted, counts = cells(count_cells([2, 0, 2, 2], [1, 1, 0, 1], 3, [1, 0, 4, 1]))
    assert (gold.tolist(), predicted.tolist(), counts.tolist()) == ([2, 2], [0, 1], [4, 2])


def test_few_classes_are_written_as_lists_and_many_as_cells():
    few = count_cells([0, 1, 1], [0, 0, 1], 2)
    assert to_json(few) == [[1, 0], [1, 1]]
    many = count_cells([0, DENSE_CLASSES], [DENSE_CLASSES, 0], DENSE_CLASSES + 1, [2, 3])
    assert to_json(many) == {
        "classes": DENSE_CLASSES + 1,
        "gold": [0, DENSE_CLASSES],
        "predicted": [DENSE_CLASSES, 0],
        "counts": [2, 3],
    }


@pytest.mark.parametrize("classes", [3, DENSE_CLASSES, DENSE_CLASSES + 1])
def test_both_forms_are_read_again(classes):
    counts = count_cells([0, 2, 2], [1, 2, 2], classes)
    read = from_json(json.loads(json.dumps(to_json(counts))))
    assert read.dtype == np.int64
    assert (read.toarray() == counts.toarray()).all()


def test_no_rows_give_no_cells():
    empty = count_cells([], [], 4)
    assert empty.shape == (4, 4)
    assert values_at(empty, np.array([1]), np.array([2])).tolist() == [0]
