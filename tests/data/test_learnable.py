"""Training rows from which nothing can be learned."""

import pytest

from tellapart.data.checks import check_data
from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.data.learnable import check_learnable
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
