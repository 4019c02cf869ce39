from __future__ import annotations

import pytest

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.data.reading.columns import ColumnNames
from tellapart.data.reading.out_of_scope import read_out_of_scope
from tellapart.errors import DataError

ROWS, LABELS = TextSplit(["a", "b"], labels=["x", "y"]), LabelSpace(("x", "y"))
NOTHING, TRAINED = ColumnNames(), ColumnNames(text="message", label="queue")


@pytest.fixture
def read(tmp_path):
    def written(name: str, content: str, *, names=NOTHING, trained=None, rows=ROWS, labels=LABELS):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        texts, notes = read_out_of_scope(str(path), names, rows, labels, trained)
        return texts, tuple(note.replace(str(path), name) for note in notes)

    return written


def test_blank_and_repeated_lines_are_left_out_and_counted(read):
    texts, notes = read("others.txt", "the weather\n\n  \nThe  weather\ntwo cats\nthe weather\n")
    assert texts == TextSplit(["the weather", "two cats"])
    assert notes == ("Of the 6 texts of others.txt, 2 blank and 2 repeated are left out.",)
    assert read("others.txt", "the weather\ntwo cats\n")[1] == ()
    with pytest.raises(DataError, match="has no texts, only blank ones"):
        read("blank.txt", "\n \n")


def test_the_columns_are_those_of_the_training_where_the_user_names_no_others(read):
    table = "title,message,note\nhello,the weather,n\nbye,two cats,m\n"
    texts, notes = read("others.csv", table, trained=TRAINED)
    assert texts == TextSplit(["the weather", "two cats"])
    assert notes == ('Columns of others.csv: texts from "message".',)
    assert read("others.csv", table, names=ColumnNames(text="note"), trained=TRAINED)[0].texts == ["n", "m"]
    assert read("others.csv", "title,note\nhello,n\n", trained=TRAINED)[0].texts == ["hello"]


def test_pairs_take_both_columns_of_the_training(read):
    pairs, trained = (
        TextSplit(["a"], ["b"], ["x"]),
        ColumnNames(text="first", text_pair="other", label="same"),
    )
    table = "first,other,third\nc,d,e\nc,f,g\nC,d,h\n"
    texts, notes = read("others.csv", table, rows=pairs, trained=trained)
    assert texts == TextSplit(["c", "c"], ["d", "f"])
    assert notes[-1] == "Of the 3 texts of others.csv, 1 repeated are left out."
    with pytest.raises(DataError, match=r"pairs of texts, and .*one text per row"):
        read("others.txt", "c\n", rows=pairs, trained=trained)


def test_second_texts_beside_rows_of_single_texts_are_named(read):
    texts, notes = read("others.csv", "text,text_pair\na cat,the weather\na cat,two cats\n")
    assert texts == TextSplit(["a cat"])
    assert any("second texts of" in note and "are not used" in note for note in notes)


@pytest.mark.parametrize(
    ("kind", "words"),
    [("multi_label_classification", "any number of labels"), ("regression", "numeric targets")],
)
def test_tasks_without_one_class_per_text_have_no_out_of_scope_file(read, kind, words):
    with pytest.raises(DataError, match=f"one class per text, but the rows have {words}: leave out"):
        read("others.txt", "the weather\n", labels=LabelSpace(("x",), kind))
