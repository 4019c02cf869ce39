from __future__ import annotations

import pytest

from tellapart.data.checks import check_data
from tellapart.data.examples import TextSplit
from tellapart.data.out_of_scope import shared_out, without_label
from tellapart.data.reading.columns import ColumnNames
from tellapart.data.reading.rows import read_task
from tellapart.errors import DataError

ROWS = {
    "train": {"text": ["a", "b", "c", "d", "e"], "label": ["x", "oos", "y", "oos", "oos"]},
    "test": {"text": ["f", "g"], "label": ["oos", "x"]},
}


def test_marked_rows_leave_their_splits_and_are_no_class():
    data = read_task(ROWS, ColumnNames(out_of_scope="oos"))
    assert data.labels.names == ("x", "y")
    assert data.train.texts == ["a", "c"]
    assert data.test.texts == ["g"]
    assert {name: (rows.texts, rows.labels) for name, rows in data.out_of_scope.items()} == {
        "train": (["b", "d", "e"], None),
        "test": (["f"], None),
    }
    assert data.columns.out_of_scope == "oos"


def test_messages_name_rows_by_their_numbers_in_the_source():
    unknown = ROWS | {"test": {"text": ["f", "g", "h"], "label": ["oos", "x", "z"]}}
    with pytest.raises(DataError, match='the first is "z" in row 3'):
        read_task(unknown, ColumnNames(out_of_scope="oos"))
    data = read_task(ROWS, ColumnNames(out_of_scope="oos"))
    assert data.train.numbers == [1, 3]
    assert data.out_of_scope["train"].numbers == [2, 4, 5]
    assert data.train.select([1]).number(0) == 3
    assert data.train.joined(data.test).numbers is None
    shared = ROWS | {"test": {"text": ["f", "c", "", "c"], "label": ["oos", "x", "x", "y"]}}
    findings = {
        found.kind: found.examples
        for found in check_data(read_task(shared, ColumnNames(out_of_scope="oos"))).findings
    }
    assert findings["shared_texts"][0] == '"c": test row 2, train row 3'
    assert findings["empty_texts"] == ("test row 3",)
    assert findings["duplicate_texts"] == ('"c": test rows 2 and 4',)


def test_splits_without_any_get_rows_of_train_as_frequent_as_there():
    outside = {"train": TextSplit([str(number) for number in range(40)])}
    sizes = {"train": 160, "validation": 20, "test": 41}
    shared = shared_out(outside, 200, sizes, seed=0)
    assert {name: len(rows) for name, rows in shared.items()} == {"validation": 4, "test": 9}
    assert not {*shared["validation"].texts} & {*shared["test"].texts}
    assert shared_out(outside, 200, sizes, seed=0) == shared
    assert shared_out(outside, 200, sizes, seed=1) != shared
    few = shared_out({"train": TextSplit(["only"])}, 200, sizes, seed=0)
    assert {name: rows.texts for name, rows in few.items()} == {"validation": ["only"]}
    own = {"validation": TextSplit(["v"]), "test": TextSplit(["t"])}
    assert shared_out(outside | own, 200, sizes, seed=0) == own
    assert shared_out(outside, 200, {"train": 10}, seed=0) == {}


def test_a_split_of_which_rows_are_drawn_keeps_their_share_of_its_own_rows():
    outside = {
        name: TextSplit([f"{name} {number}" for number in range(30)]) for name in ("validation", "test")
    }
    sizes, whole = {"validation": 7, "test": 90}, {"validation": 100, "test": 90}
    drawn = shared_out(outside, 200, sizes, seed=0, whole=whole)
    assert {name: len(rows) for name, rows in drawn.items()} == {"validation": 3, "test": 30}
    assert {*drawn["validation"].texts} < {*outside["validation"].texts}
    assert shared_out(outside, 200, sizes, seed=1, whole=whole) != drawn
    assert shared_out(outside, 200, sizes, seed=0) == outside


@pytest.mark.parametrize("seed", range(5))
def test_no_text_is_drawn_both_to_validate_and_to_test(seed):
    outside = {"train": TextSplit([f"{'Ab'[number % 2]} {number // 4}" for number in range(40)])}
    shared = shared_out(outside, 100, {"validation": 40, "test": 40}, seed=seed)
    assert len(shared["validation"]) == 16
    assert not {*shared["validation"].keys()} & {*shared["test"].keys()}


def test_a_label_without_rows_is_refused_with_the_nearest_one():
    with pytest.raises(DataError, match=r'no row has the label "oss".*did you mean "oos"'):
        read_task(ROWS, ColumnNames(out_of_scope="oss"))


def test_a_source_with_nothing_else_is_refused():
    with pytest.raises(DataError, match="all training rows of memory are out of scope"):
        read_task({"text": ["a"], "label": ["oos"]}, ColumnNames(out_of_scope="oos"))


def test_rows_with_several_labels_have_no_mark():
    with pytest.raises(DataError, match="several labels"):
        without_label({"train": TextSplit(["a"], labels=[["oos"]])}, "oos")
