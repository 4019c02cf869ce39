from __future__ import annotations

import json
from typing import Any

import datasets
import pyarrow as pa
import pytest

from tellapart.data.examples import TextSplit
from tellapart.data.reading.columns import Columns
from tellapart.data.reading.sources import as_table
from tellapart.data.reading.values import examples_table, is_unlabelled, read_examples
from tellapart.errors import DataError

LABELLED = Columns("text", label="label")


def labels_of(values: Any, **options: Any) -> Any:
    table = pa.table({"text": ["t"] * len(values), "label": values})
    return read_examples(table, LABELLED, **options).labels


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["001", " 1.0 ", "true"], ["001", "1.0", "true"]),
        ([3, -1], ["3", "-1"]),
        ([3.0, 4.0], ["3", "4"]),
        ([0.5, 1.0], ["0.5", "1"]),
        ([True, False], ["true", "false"]),
        (pa.array(["b", "a"]).dictionary_encode(), ["b", "a"]),
    ],
)
def test_labels_of_every_kind_become_names(values: Any, names: list[str]) -> None:
    assert labels_of(values) == names


@pytest.mark.parametrize("values", [["a", None, ""], [1.0, float("nan"), None], ["a", " ", None]])
def test_missing_labels_are_counted_and_the_first_row_named(values: list) -> None:
    with pytest.raises(DataError, match=r'2 row\(s\) of the data have no label in column "label".*row 2'):
        labels_of(values)


def test_lists_make_a_multi_label_task_and_may_be_empty() -> None:
    assert labels_of([["b", " a", "b"], []]) == [["b", "a"], []]
    assert labels_of([[1], [2, 3]]) == [["1"], ["2", "3"]]


def test_a_delimiter_makes_a_multi_label_task() -> None:
    assert labels_of(["a; b;;a", "", None], label_delimiter=";") == [["a", "b"], [], []]


def test_json_lists_in_text_are_read_when_asked_for() -> None:
    assert labels_of(['["a", 1]', "", "[]"], multi_label=True) == [["a", "1"], [], []]
    with pytest.raises(DataError, match="no JSON list in row 2"):
        labels_of(["[]", "a, b"], multi_label=True)


def test_lists_in_a_task_of_one_label_a_row_are_refused() -> None:
    with pytest.raises(DataError, match="lists of labels"):
        labels_of([["a"], ["b"]], multi_label=False)


def test_a_missing_list_is_refused() -> None:
    with pytest.raises(DataError, match="first is row 2"):
        labels_of([["a"], None])


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([1, 2], "row 1 of column .* is a number, not a text"),
        ([None, 2.5], "row 2 of column .* is a number, not a text"),
        (["a", None, None], r"2 row\(s\) of the data have no text .*, the first is row 2"),
        ([["a"]], "is a list, not a text"),
    ],
)
def test_what_is_no_text_is_refused(values: list, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read_examples(pa.table({"text": values}), Columns("text"))


def test_empty_texts_are_allowed() -> None:
    assert read_examples(pa.table({"text": ["", " "]}), Columns("text")) == TextSplit(["", " "])


def test_class_label_features_give_their_names_and_minus_one_is_no_label() -> None:
    names = datasets.ClassLabel(names=["no", "yes"])
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": names, "labels": datasets.List(names)}
    )
    rows = {"text": ["a", "b"], "label": [1, 0], "labels": [[0, 1], []]}
    table = as_table(datasets.Dataset.from_dict(rows, features=features), "the data")
    assert read_examples(table, LABELLED).labels == ["yes", "no"]
    assert read_examples(table, Columns("text", label="labels")).labels == [["no", "yes"], []]
    rows["label"] = [-1, -1]
    hidden = as_table(datasets.Dataset.from_dict(rows, features=features), "the data")
    assert is_unlabelled(hidden, "label")
    assert not is_unlabelled(table, "label")


def test_the_older_notation_of_lists_of_class_labels_is_read() -> None:
    feature = [{"names": ["no", "yes"], "_type": "ClassLabel"}]
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": feature}}})}
    table = pa.table({"text": ["a"], "label": [[1]]}).replace_schema_metadata(metadata)
    assert read_examples(table, LABELLED).labels == [["yes"]]


@pytest.mark.parametrize(
    "split",
    [
        TextSplit(["a"], labels=["x"]),
        TextSplit(["a", "b"], ["c", "d"], [["x", "y"], []], ["1", "1"]),
        TextSplit(["a"]),
    ],
)
def test_examples_survive_the_way_into_a_table_and_back(split: TextSplit) -> None:
    table = examples_table(split)
    label = next((name for name in ("label", "labels") if name in table.column_names), None)
    columns = Columns(
        "text",
        "text_pair" if split.text_pairs else None,
        label,
        "question_id" if split.question_ids else None,
    )
    assert read_examples(table, columns) == split
