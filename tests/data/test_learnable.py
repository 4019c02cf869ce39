"""Training rows from which nothing can be learned."""

import pytest

from tellapart.data.checks import check_data
from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.data.learnable import check_labels_repeat, check_learnable
from tellapart.data.reading.columns import ColumnNames
from tellapart.errors import DataError


@pytest.mark.parametrize(
    ("texts", "labels", "fault"),
    [
        (["", ""], ["a", "b"], "all 2 training rows have empty texts"),
        (["", "  "], ["a", "b"], "all 2 training rows have empty texts"),
        (["one", "one", " one "], ["a", "b", "a"], "all 3 training rows have the same text"),
        (
            ["one", "two", "", "\n"],
            ["a", "a", "b", "b"],
            'the class "b" has training rows with empty texts only',
        ),
        (
            ["one", "two", "", ""],
            ["a", "a", "b", "c"],
            'the class "b" and 1 more have training rows',
        ),
        (["one", "two", ""], [["a"], ["a", "c"], ["b", "c"]], 'the class "b" has'),
        (["one", "one"], [1.0, 2.0], "all 2 training rows have the same text"),
    ],
)
def test_rows_that_say_nothing_are_refused(texts, labels, fault):
    with pytest.raises(DataError, match=fault):
        check_learnable(TextSplit(texts, labels=labels))


def test_rows_that_say_something_pass():
    check_learnable(TextSplit(["one", "two", ""], labels=["a", "b", "a"]))
    check_learnable(TextSplit(["One", "one"], labels=["a", "b"]))
    check_learnable(TextSplit([], labels=[]))


def test_pairs_say_something_if_one_text_does():
    check_learnable(TextSplit(["one", ""], ["", "two"], labels=["a", "b"]))
    check_learnable(TextSplit(["one", "one"], ["two", "three"], labels=["a", "b"]))
    with pytest.raises(DataError, match="same text"):
        check_learnable(TextSplit(["one", "one"], ["two", "two"], labels=["a", "b"]))
    with pytest.raises(DataError, match='class "b"'):
        check_learnable(TextSplit(["one", "", "x"], ["", " ", ""], labels=["a", "b", "a"]))


def test_the_texts_of_a_class_count():
    check_learnable(TextSplit(["one", ""], labels=["a", "b"]), TextSplit(["lost", "gone"], labels=["a", "b"]))


def test_check_reports_what_training_refuses():
    def kinds(texts):
        train = TextSplit(texts, labels=["a", "b", "b"])
        report = check_data(TextData(train, None, None, LabelSpace(("a", "b"))))
        return {finding.kind for finding in report.findings if finding.severity == "error"}

    assert kinds(["one", "one", "one"]) == {"one_text"}
    assert kinds(["one", "", ""]) == {"textless_classes"}
    assert kinds(["one", "two", ""]) == set()


def _ids(rows, *, columns=ColumnNames("text", label="id"), repeated=0, test=None):  # noqa: B008  frozen
    names = [f"{row:03}" for row in range(rows)]
    labels = [*names[: rows - repeated], *names[:repeated]]
    train = TextSplit([f"text {row}" for row in range(rows)], labels=labels)
    return TextData(train, None, test, LabelSpace(tuple(sorted({*labels}))), columns=columns)


def test_ids_of_the_rows_are_no_labels():
    with pytest.raises(
        DataError, match=r'every one of the 21 rows has a label of its own in column "id": .*--label'
    ):
        check_labels_repeat(_ids(21))
    assert "unique_labels" in {one.kind for one in check_data(_ids(21)).findings if one.severity == "error"}


@pytest.mark.parametrize(
    "data",
    [
        _ids(20),
        _ids(30, repeated=1),
        _ids(30, columns=None),  # lists in memory were put together on purpose
        _ids(30, test=TextSplit(["another"], labels=["000"])),
    ],
)
def test_one_row_per_class_is_allowed_where_the_labels_may_be_classes(data):
    check_labels_repeat(data)
    assert "unique_labels" not in {one.kind for one in check_data(data).findings}
