from __future__ import annotations

import json
from decimal import Decimal

import pyarrow as pa
import pytest

from tellapart.data.examples import TextData, TextSplit
from tellapart.data.reading.rows import label_space
from tellapart.data.relabelling import Change, label_changes, with_changes
from tellapart.errors import DataError


def task(labels: list, pairs: list[str] | None = None) -> TextData:
    split = TextSplit([f"text {row}" for row in range(1, len(labels) + 1)], pairs, labels)
    return TextData(split, None, None, label_space(split, multi_label=isinstance(labels[0], list)))


def suspect(
    row: int, label: object, suggested: object, text: str | None = None, split: str = "train"
) -> dict:
    return {
        "split": split,
        "row": row,
        "text": text or f"text {row}",
        "label": label,
        "suggested_label": suggested,
    }


def changes(data: TextData, *suspects: dict) -> list[Change]:
    return label_changes(data, pa.Table.from_pylist(list(suspects)), where="suspects.csv")


def test_a_suggestion_changes_a_label_and_an_empty_or_equal_one_keeps_it() -> None:
    data = task(["a", "b", "a", "b"])
    found = changes(data, suspect(1, "a", "b"), suspect(2, "b", ""), suspect(3, "a", "a"))
    assert found == [Change("train", 1, "text 1", "a", "b")]


def test_the_text_may_differ_in_case_and_spaces_as_spreadsheets_change_them() -> None:
    assert changes(task(["a", "b"]), suspect(1, "a", "b", text=" Text  1"))


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (suspect(2, "b", "a", text="text 1"), "row 2 .* has another text than train row 2"),
        (suspect(2, "a", "b"), 'row 2 .* has another label than train row 2 of the data, "b"'),
        (suspect(3, "b", "a"), 'row 2 .* names the row "3" of train, which has the rows 1 to 2'),
        (suspect("2.0", "b", "a"), 'row 2 .* names the row "2.0"'),  # type: ignore[arg-type]
        (suspect(2, "b", "a", split="test"), 'row 2 .* names the split "test"'),
        (suspect(2, "b", "aa"), 'row 2 .* suggests the label "aa", which is no class'),
        (suspect(1, "a", "b"), "row 2 .* is the same row of the data as row 1"),
    ],
)
def test_a_row_that_does_not_fit_the_data_is_refused_with_its_number(wrong, problem) -> None:
    first = suspect(1, "a", "b") | {"row": str(1)}
    wrong["row"] = str(wrong["row"])
    with pytest.raises(DataError, match=problem):
        changes(task(["a", "b"]), first, wrong)


def test_a_missing_column_is_named() -> None:
    row = suspect(1, "a", "b")
    del row["suggested_label"]
    with pytest.raises(DataError, match='no column "suggested_label"'):
        changes(task(["a", "b"]), row)


def test_several_labels_are_json_lists() -> None:
    data = task([["a", "b"], [], ["b"]])
    rows = [suspect(1, '["b", "a"]', '["b"]'), suspect(2, "[]", ""), suspect(3, '["b"]', "[]")]
    assert [(one.row, one.new_label) for one in changes(data, *rows)] == [(1, ["b"]), (3, [])]
    with pytest.raises(DataError, match=r"row 1 of suspects\.csv has no JSON list"):
        changes(data, suspect(1, '["a", "b"]', "b"))


@pytest.mark.parametrize(
    ("column", "labels", "expected"),
    [
        (pa.array(["a", "b"]), ["a", "b"], pa.array(["b", "b"])),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"], pa.array(["b", "b"])),
        (pa.array([1, 2], pa.int8()), ["1", "2"], pa.array([2, 2], pa.int8())),
        (pa.array([1.0, 2.0]), ["1", "2"], pa.array([2.0, 2.0])),
        (pa.array([False, True]), ["false", "true"], pa.array([True, True])),
        (
            pa.array([Decimal("1.5"), Decimal("2.5")]),
            ["1.5", "2.5"],
            pa.array([Decimal("2.5"), Decimal("2.5")]),
        ),
        (pa.array([0, 1]), ["a", "b"], pa.array(["b", "b"])),  # ids of a ClassLabel feature
        (pa.array([" a", " b "]), ["a", "b"], pa.array(["b", " b "])),
    ],
)
def test_a_column_keeps_its_type_and_its_other_cells(column, labels, expected) -> None:
    table = pa.table({"label": column, "id": [7, 8]})
    change = Change("train", 1, "text 1", labels[0], labels[1])
    (changed,) = with_changes({"train": table}, {"train": "label"}, task(labels), [change]).values()
    assert changed["label"].combine_chunks() == expected
    assert changed["id"] == table["id"]


@pytest.mark.parametrize(
    ("column", "delimiter", "expected"),
    [
        (pa.array([["a", "b"], ["b"]]), None, [["b"], ["b"]]),
        (pa.array(["a;b", "b"]), ";", ["b", "b"]),
        (pa.array([json.dumps(["a", "b"]), json.dumps(["b"])]), None, ['["b"]', '["b"]']),
        (pa.array([[1, 1], [0, 1]]), None, [["b"], ["b"]]),  # vectors of 0 and 1 become lists of names
        (pa.array([[1.0, 1.0], [0.0, 1.0]]), None, [["b"], ["b"]]),
        (pa.array([[True, True], [False, True]]), None, [["b"], ["b"]]),
        (pa.array(["[1, 1]", "[0, 1]"]), None, ['["b"]', '["b"]']),
    ],
)
def test_several_labels_are_written_as_the_column_has_them(column, delimiter, expected) -> None:
    data = task([["a", "b"], ["b"]])
    change = Change("train", 1, "text 1", ["a", "b"], ["b"])
    (changed,) = with_changes(
        {"train": pa.table({"label": column})}, {"train": "label"}, data, [change], delimiter
    ).values()
    assert changed["label"].to_pylist() == expected
