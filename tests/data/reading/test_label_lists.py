"""Vectors of 0 and 1, one column per label, and lists written as texts."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.data.reading.columns import ColumnNames
from tellapart.data.reading.label_lists import named_lists, one_label_column
from tellapart.data.reading.rows import read_data
from tellapart.errors import DataError

TEXTS = ["card one lost", "card two stolen", "card three lost", "card four stolen"]
VECTORS = [[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]]
NAMED = [["y", "z"], ["x"], [], ["x", "y", "z"]]
NUMBERED = [["1", "2"], ["0"], [], ["0", "1", "2"]]
COLUMNS = {"text": TEXTS, "toxic": [0, 1, 0, 1], "obscene": [1, 1, 0, 0], "insult": [0, 0, 0, 0]}


@pytest.mark.parametrize(
    "labels",
    [
        VECTORS,
        [[float(value) for value in row] for row in VECTORS],
        [[bool(value) for value in row] for row in VECTORS],
        [str(row) for row in VECTORS],
        [str(row).replace(" ", "") for row in VECTORS],
    ],
    ids=["integers", "floats", "truth values", "written", "written without spaces"],
)
def test_vectors_are_the_labels_at_their_ones(labels):
    named = read_data({"text": TEXTS, "labels": labels}, label_names=["x", "y", "z"])
    assert (named.train.labels, named.labels.names) == (NAMED, ("x", "y", "z"))
    assert named.labels.multi_label
    numbered = read_data({"text": TEXTS, "labels": labels})
    assert (numbered.train.labels, numbered.labels.names) == (NUMBERED, ("0", "1", "2"))
    assert any("name them with --label-names" in note for note in numbered.notes)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.data())
def test_named_vectors_name_every_one_and_nothing_else(data):
    size = data.draw(st.integers(2, 6))
    rows = data.draw(
        st.lists(st.lists(st.integers(0, 1), min_size=size, max_size=size), min_size=1, max_size=8)
    )
    names = ColumnNames(label_names=tuple(f"label {position}" for position in range(size)))
    table, _, _ = named_lists(pa.table({"labels": rows}), "labels", names)
    positions = [[position for position, value in enumerate(row) if value] for row in rows]
    assert table["labels"].to_pylist() == [[f"label {each}" for each in row] for row in positions]


def test_two_labels_of_which_each_row_has_one_are_refused_without_names():
    rows = {"text": TEXTS, "labels": [[0, 1], [1, 0], [0, 1], [1, 0]]}
    with pytest.raises(
        DataError, match="of length 2, do not name their labels: name them in order: --label-names"
    ):
        read_data(rows)
    assert read_data(rows, label_names=["no", "yes"]).train.labels == [["yes"], ["no"], ["yes"], ["no"]]


@pytest.mark.parametrize(
    "labels",
    [
        [[0], [1, 2], [2], [0]],
        [[0], [0, 1], [1], [0]],
        [[0, 2], [0, 1], [1, 2], [0, 1]],
        [[0], [1], [0], [1]],
        [["0", "1"], ["1", "0"], ["0", "1"], ["1", "0"]],
    ],
    ids=str,
)
def test_other_lists_are_lists_of_names(labels):
    assert read_data({"text": TEXTS, "labels": labels}).train.labels == [
        list(map(str, row)) for row in labels
    ]


@pytest.mark.parametrize(
    ("labels", "names", "fault"),
    [
        (VECTORS, ["x", "y"], "of length 3, need 3 names, but the names are 2"),
        (VECTORS, ["x", "y", "x"], "the names repeat one another"),
        ([["a"], ["b"], ["a"], []], ["a", "b"], "holds no vectors of 0 and 1"),
        ([[0], [1, 2], [2], [0]], ["a", "b"], "are no such vectors of one length"),
        (["a", "b", "a", "b"], ["a", "b"], "holds no vectors of 0 and 1"),
        (
            [VECTORS[0], None, VECTORS[1], VECTORS[2]],
            None,
            "have no list of labels .* the first is row 2",
        ),
        ([VECTORS[0], [], VECTORS[1], VECTORS[2]], None, "have no list of labels .* the first is row 2"),
        (["[0, 1, 1]", "", "[1, 0, 0]", "[1, 1, 0]"], None, "have no list of labels .* the first is row 2"),
        (
            [[0, 1, 1], [1, 0, 0], [1, 1], [1, 1, 0]],
            None,
            r"row 3 of .* has 2 value\(s\) of 0 and 1, .* have 3",
        ),
    ],
    ids=str,
)
def test_names_that_do_not_fit_and_missing_vectors_are_refused(labels, names, fault):
    with pytest.raises(DataError, match=fault):
        read_data({"text": TEXTS, "labels": labels}, label_names=names)


@pytest.mark.parametrize("form", [int, float, bool, str, lambda value: str(bool(value))])
def test_several_label_columns_are_the_labels_of_their_ones(form):
    table = {name: values if name == "text" else [*map(form, values)] for name, values in COLUMNS.items()}
    data = read_data(table, label="toxic, obscene,insult")
    assert data.train.labels == [["obscene"], ["toxic", "obscene"], [], ["toxic"]]
    assert data.labels.names == ("toxic", "obscene", "insult")
    renamed = read_data(table, label="toxic,obscene,insult", label_names=["a", "b", "c"])
    assert renamed.train.labels == [["b"], ["a", "b"], [], ["a"]]


def test_label_columns_that_do_not_fit_are_refused_and_name_the_row():
    with pytest.raises(
        DataError, match=r"row 3 of label column .insult. in the train rows is '2', not 0 or 1"
    ):
        read_data(COLUMNS | {"insult": [0, 1, 2, 0]}, label="toxic,obscene,insult")
    with pytest.raises(DataError, match=r"row 3 of label column .insult. in the train rows is missing"):
        read_data(COLUMNS | {"insult": [0, 1, None, 0]}, label="toxic,obscene,insult")
    with pytest.raises(DataError, match=r"did you mean .obscene"):
        read_data(COLUMNS, label="toxic,obscen")
    with pytest.raises(DataError, match=r"no column .toxic,obscene"):
        read_data(COLUMNS, label="toxic,obscene", regression=True)


def test_a_column_whose_name_has_a_comma_is_one_column():
    rows = {"text": TEXTS, "a,b": ["x", "y"] * 2, "a": [0] * 4, "b": [1] * 4}
    assert read_data(rows, label="a,b").train.labels == ["x", "y"] * 2
    table = pa.table({"text": TEXTS})
    assert one_label_column(table, ColumnNames(label="a,b"), "the rows")[0] is table


def test_splits_are_read_as_the_training_rows():
    train = {"text": TEXTS, "labels": [[0, 0], [1, 1], [0, 1], [1, 0]]}
    test = {"text": TEXTS, "labels": [[0, 1], [1, 0]] * 2}
    assert read_data({"train": train, "test": test}).test.labels == [["1"], ["0"]] * 2
    ids = {"text": TEXTS, "labels": [[0], [1, 0], [1], [0]]}
    assert read_data({"train": ids, "test": test}).test.labels == [["0", "1"], ["1", "0"]] * 2
    assert read_data({"train": COLUMNS, "test": {"text": TEXTS}}, label="toxic,obscene").test is None


def test_lists_written_as_python_are_several_labels_and_the_guess_is_a_note():
    rows = {"text": TEXTS, "labels": ["['a','b']", "['a']", "[]", '["b"]']}
    data = read_data(rows)
    assert data.train.labels == [["a", "b"], ["a"], [], ["b"]]
    assert any("data.multi_label=false" in note for note in data.notes)
    assert not read_data(rows, multi_label=False).labels.multi_label


@pytest.mark.parametrize(
    "labels",
    [
        ["[a]", "[b]"],
        ["['a']", "b"],
        ["['a' 'b']", "['b']"],
        ["[" * 50_000 + "]" * 50_000, "[1]"],
        ["[" * 500, "x"],
    ],
    ids=["brackets", "some", "numpy", "deep", "open"],
)
def test_texts_that_are_no_lists_stay_classes(labels):
    data = read_data({"text": TEXTS, "label": labels * 2})
    assert data.train.labels == labels * 2
    assert not data.labels.multi_label


@pytest.mark.parametrize("multi_label", [None, True])
@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ('["a", null]', "a missing label"),
        ("['a', None]", "a missing label"),
        ('["a", NaN]', "a missing label"),
        ('["a", ["b"]]', "a list"),
        ('[{"name": "a"}]', "an object"),
    ],
)
def test_a_list_with_something_that_is_no_label_is_refused_and_names_the_row(cell, found, multi_label):
    rows = {"text": TEXTS, "labels": ['["a"]', '["b"]', cell, "[]"]}
    with pytest.raises(
        DataError, match=f'the list in row 3 of the column "labels" of the train rows has {found}: write'
    ):
        read_data(rows, multi_label=multi_label)


def test_a_long_written_list_has_no_missing_label_either():
    long = '["a", null, "' + "b" * 10_000 + '"]'
    with pytest.raises(DataError, match=r"the list in row 2 of .* has a missing label"):
        read_data({"text": TEXTS, "labels": ['["a"]', long, '["b"]', "[]"]}, multi_label=True)


def test_a_separator_that_no_cell_contains_is_a_note():
    rows = {"text": TEXTS, "labels": ["a,b", "a", "b", "c"]}
    wrong = read_data(rows, label_delimiter=";")
    note = 'No cell of the column "labels" contains the separator ";": each row has one label.'
    assert note in wrong.notes
    assert note not in read_data(rows, label_delimiter=",").notes
    test = {"text": TEXTS, "labels": ["a", "b"] * 2}
    assert not any(
        "separator" in one for one in read_data({"train": rows, "test": test}, label_delimiter=",").notes
    )
    lists = {"text": TEXTS, "labels": [["a"], ["b"], ["a", "b"], []]}
    assert not any("separator" in one for one in read_data(lists, label_delimiter=";").notes)
