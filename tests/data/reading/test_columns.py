from __future__ import annotations

import pyarrow as pa
import pytest

from tellapart.data.reading.columns import ColumnNames, Columns, find_columns
from tellapart.errors import DataError


def schema(*names: str, **types: pa.DataType) -> pa.Schema:
    return pa.schema({**dict.fromkeys(names, pa.string()), **types})


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("text", "label"), Columns("text", label="label")),
        (("id", "Sentence ", "LABEL"), Columns("Sentence ", label="LABEL")),
        (("premise", "hypothesis", "label"), Columns("premise", "hypothesis", "label")),
        (("question", "sentence", "label", "idx"), Columns("question", "sentence", "label")),
        (
            ("question_id", "question", "answer", "label"),
            Columns("question", "answer", "label", "question_id"),
        ),
        (("title", "text", "category"), Columns("text", label="category")),
        (("what they said", "intent"), Columns("what they said", label="intent")),
        (("utterance", "queue"), Columns("utterance", label="queue")),
    ],
)
def test_columns_are_found_by_their_usual_names(names: tuple[str, ...], expected: Columns) -> None:
    assert find_columns(schema(*names)) == expected


def test_named_columns_come_first_and_bring_no_second_text() -> None:
    found = find_columns(
        schema("text", "text_pair", "body", "label", "queue"), ColumnNames("Body", label="queue")
    )
    assert found == Columns("body", label="queue")
    assert find_columns(schema("text", "text_pair", "label"), ColumnNames("text")).text_pair is None


def test_the_only_column_of_texts_beside_a_label_is_the_text() -> None:
    found = find_columns(schema("message", score=pa.float64(), label=pa.int64()))
    assert found == Columns("message", label="label")


def test_without_labels_none_is_wanted_or_returned() -> None:
    assert find_columns(schema("text", "label", "x"), labelled=False) == Columns("text")


def test_a_wrong_name_is_answered_with_the_closest_and_all_columns() -> None:
    with pytest.raises(DataError, match=r'no column "txet" \(did you mean "text"\?\).*text, label'):
        find_columns(schema("text", "label"), ColumnNames("txet"))


@pytest.mark.parametrize(
    ("names", "option"),
    [
        (("a", "b", "c"), "--text"),
        (("a", "b"), "--text"),
        (("text", "x", "y"), "--label"),
        (("text",), "--label"),
    ],
)
def test_what_is_not_clear_is_asked_for_with_the_columns(names: tuple[str, ...], option: str) -> None:
    with pytest.raises(DataError, match=option) as raised:
        find_columns(schema(*names))
    assert ", ".join(names) in str(raised.value)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (ColumnNames("label", label=" Label"), r"the texts and the labels: name .* --text and --label"),
        (ColumnNames("text", "text"), "the texts and the second texts"),
        (
            ColumnNames("text", "other", "other"),
            "second texts and the labels: name .*--text-pair and --label",
        ),
        (ColumnNames(label="other", question_id="other"), "the labels and the question ids"),
    ],
)
def test_a_column_has_one_role(names: ColumnNames, message: str) -> None:
    with pytest.raises(
        DataError, match=f'the column "(label|text|other)" of the data is to hold .*{message}'
    ):
        find_columns(schema("text", "label", "other"), names)


def test_a_question_may_be_its_own_id() -> None:
    found = find_columns(
        schema("question", "answer", "label"), ColumnNames("question", "answer", question_id="question")
    )
    assert found == Columns("question", "answer", "label", "question")
