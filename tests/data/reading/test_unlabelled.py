from __future__ import annotations

import json

import pytest

from tellapart.data.examples import TextSplit
from tellapart.data.reading.columns import ColumnNames
from tellapart.data.reading.unlabelled import read_unlabelled
from tellapart.errors import DataError


@pytest.fixture
def write(tmp_path):
    def written(name: str, content: str) -> str:
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return str(path)

    return written


def test_a_text_file_has_a_text_per_line(write):
    texts, notes = read_unlabelled(
        write("more.txt", "one card\n\n two  cards \r\nthree"), ColumnNames(text="body")
    )
    assert texts == TextSplit(["one card", "", "two  cards", "three"])
    assert notes == ()


def test_the_only_column_of_texts_needs_no_usual_name(write):
    rows = "\n".join(json.dumps({"number": number, "words": f"card {number}"}) for number in range(3))
    texts, _ = read_unlabelled(write("more.jsonl", rows), ColumnNames(label="queue", question_id="qid"))
    assert texts == TextSplit(["card 0", "card 1", "card 2"])


def test_labels_are_kept_for_measuring_and_that_is_said(write):
    file = write("more.csv", "text,label\na,x\nb,y\n")
    texts, notes = read_unlabelled(file, ColumnNames())
    assert texts == TextSplit(["a", "b"], labels=["x", "y"])
    assert notes == (
        f'The labels of {file} (column "label") are not used for training, only to measure pseudo-labels.',
    )
    several, _ = read_unlabelled(
        write("tags.csv", "text,tags\na,x|y\nb,\n"), ColumnNames(label_delimiter="|"), multi_label=True
    )
    assert several.labels == [["x", "y"], []]


def test_rows_with_the_label_of_out_of_scope_rows_are_left_out_and_counted(write):
    names = ColumnNames(out_of_scope="oos")
    texts, notes = read_unlabelled(write("more.csv", "text,label\na,x\nb, oos\nc,\nd,oos\n"), names)
    assert texts == TextSplit(["a", "c"])
    assert "2 text(s) of" in notes[0]
    assert 'labelled "oos", out of scope, and left out.' in notes[0]
    numbers, _ = read_unlabelled(write("more.csv", "text,label\na,1\nb,2\n"), ColumnNames(out_of_scope="2"))
    assert numbers == TextSplit(["a"], labels=["1"])
    lists, _ = read_unlabelled(write("more.jsonl", '{"text": "a", "labels": ["oos"]}\n'), names)
    assert lists.texts == ["a"]


def test_missing_labels_are_no_mistake(write):
    texts, notes = read_unlabelled(write("more.csv", "text,label\na,x\nb,\n"), ColumnNames())
    assert texts == TextSplit(["a", "b"])
    assert "not used" in notes[0]


def test_of_several_splits_the_training_rows_are_read(write, tmp_path):
    write("train.csv", "text,label\na,x\nb,y\n")
    write("test.csv", "text,label\nc,x\n")
    texts, notes = read_unlabelled(str(tmp_path), ColumnNames())
    assert texts.texts == ["a", "b"]
    assert notes[0].endswith("only the train rows are read, not test.")


def test_pairs(write):
    texts, _ = read_unlabelled(write("more.csv", "premise,hypothesis\na,b\n"), ColumnNames())
    assert texts == TextSplit(["a"], ["b"])


@pytest.mark.parametrize(
    ("name", "content", "columns", "sentence"),
    [
        ("more.csv", "text,label\na,x\n", ColumnNames(text="body"), 'has no column "body"'),
        ("more.csv", "one,two\na,b\n", ColumnNames(), "not clear which column"),
        ("more.txt", "", ColumnNames(), "is empty"),
        ("more.csv", "text\n", ColumnNames(), "no rows"),
    ],
)
def test_a_mistake_is_named(write, name, content, columns, sentence):
    with pytest.raises(DataError, match=sentence):
        read_unlabelled(write(name, content), columns)


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        read_unlabelled(str(tmp_path / "more.txt"), ColumnNames())
    with pytest.raises(DataError, match="there is no file"):
        read_unlabelled(str(tmp_path / "more.csv"), ColumnNames())
    (tmp_path / "latin.txt").write_bytes("été".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_unlabelled(str(tmp_path / "latin.txt"), ColumnNames())


def test_only_line_feeds_end_a_text(tmp_path):
    texts = ["one\u2028text", "form\x0cfeed", "next\x85line"]
    (tmp_path / "a.txt").write_text("\n".join(texts), encoding="utf-8")
    assert read_unlabelled(str(tmp_path / "a.txt"), ColumnNames())[0].texts == texts
