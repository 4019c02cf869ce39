from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import datasets
import pytest

from tellapart.data.examples import TextSplit
from tellapart.data.reading.rows import label_space, read_data
from tellapart.errors import DataError

TRAIN = {"text": ["a", "b", "c"], "label": ["x", "y", "x"]}


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, config: str | None = None) -> Any:
        raise ConnectionError(f"{name} {config}")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    monkeypatch.delenv("TELLAPART_DATA", raising=False)


def test_a_file_is_the_training_split(tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text("id,body,queue\n1,card lost,cards\n2,money gone,fraud\n")
    data = read_data(path, text="body", label="queue")
    assert data.train == TextSplit(["card lost", "money gone"], labels=["cards", "fraud"])
    assert data.splits.keys() == {"train"}
    assert (data.source, data.labels.names) == (str(path), ("cards", "fraud"))
    assert data.notes == ('Columns: texts from "body", labels from "queue".',)


def test_pairs_and_question_ids_are_read_from_every_split() -> None:
    train = {"qid": [1, 1], "question": ["q", "q"], "answer": ["a", "b"], "label": [0, 1]}
    test = {"QID": [2], "Question": ["r"], "Answer": ["c"], "Label": [1]}
    data = read_data({"train": train, "test": test})
    assert data.test == TextSplit(["r"], ["c"], ["1"], ["2"])
    assert data.train.question_ids == ["1", "1"]


def test_multi_label_tasks_are_told_by_their_column() -> None:
    data = read_data({"text": ["a", "b"], "labels": [["x", "y"], []]})
    assert data.labels.multi_label
    assert data.labels.names == ("x", "y")
    assert read_data((["a", "b"], ["x;y", ""]), label_delimiter=";").train.labels == [["x", "y"], []]


def test_one_class_suffices_only_in_multi_label_tasks() -> None:
    assert read_data((["a", "b"], [["x"], []])).labels.names == ("x",)
    with pytest.raises(DataError, match='same label, "x"'):
        read_data((["a", "b"], ["x", "x"]))
    with pytest.raises(DataError, match="there are no labels in the train rows"):
        read_data((["a"], [[]]))


def test_classes_are_sorted_by_number_then_by_name() -> None:
    names = ["b", "10", "9", "-1", "2.5", "a", "nan", "1e3"]
    random.Random(0).shuffle(names)
    space = label_space(TextSplit(names, labels=names), multi_label=False)
    assert space.names == ("-1", "2.5", "9", "10", "1e3", "a", "b", "nan")


def test_a_label_that_train_does_not_have_is_refused_with_split_row_and_count() -> None:
    test = {"text": ["d", "e", "f"], "label": ["xx", "x", "xx"]}
    with pytest.raises(DataError, match=r'2 row\(s\) of the test rows .* "xx" in row 1'):
        read_data({"train": TRAIN, "test": test})


@pytest.mark.parametrize("test", [{"text": ["d"]}, {"text": ["d"], "label": [None]}])
def test_splits_without_labels_are_left_out_with_a_note(test: dict) -> None:
    data = read_data({"train": TRAIN, "test": test})
    assert data.test is None
    assert "The test split has no labels and is left out." in data.notes


def test_a_split_without_the_columns_of_train_is_refused() -> None:
    with pytest.raises(DataError, match=r'the test rows has no column "text".*body'):
        read_data({"train": TRAIN, "test": {"body": ["d"], "label": ["x"]}})


def test_training_rows_are_required(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("text,label\na,x\n")
    with pytest.raises(DataError, match="no training rows, only test"):
        read_data(tmp_path)


def test_empty_texts_are_noted() -> None:
    assert "2 text(s) of train are empty." in read_data((["", " ", "a"], ["x", "y", "x"])).notes


def test_a_path_comes_before_a_registered_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r8").mkdir()
    (tmp_path / "r8" / "train.csv").write_text("text,label\na,x\nb,y\n")
    assert read_data("r8").labels.names == ("x", "y")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tickets.csv", "there is no file tickets.csv"),
        ("./tickets", "there is no file or folder"),
        ("/no/such/folder", "there is no file or folder"),
        ("bankin77", r'did you mean "banking77".*Hub cannot be reached'),
        ("organisation/name", "Hub cannot be reached"),
    ],
)
def test_a_source_that_is_not_there_is_one_clear_error(name: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read_data(name)


@pytest.mark.parametrize(
    ("name", "expected"), [("o/name", ("o/name", None)), ("o/name/config", ("o/name", "config"))]
)
def test_the_third_part_of_a_hub_name_is_its_configuration(
    monkeypatch: pytest.MonkeyPatch, name: str, expected: tuple[str, str | None]
) -> None:
    def load(name: str, config: str | None = None) -> datasets.DatasetDict:
        assert (name, config) == expected
        return datasets.DatasetDict(train=datasets.Dataset.from_dict(TRAIN))

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert len(read_data(name).train) == 3
