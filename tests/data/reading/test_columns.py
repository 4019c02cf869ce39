from __future__ import annotations

import pyarrow as pa
import pytest

from tellapart.data.reading.columns import ColumnNames, Columns, check_form, find_columns, find_model_columns
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


SINGLE, PAIRS = ColumnNames("text", label="label"), ColumnNames("text", "other", label="label")


def test_texts_have_the_form_of_those_that_the_model_was_trained_on() -> None:
    for trained in (None, ColumnNames()):
        for pairs in (False, True):
            check_form(pairs, trained)
    check_form(False, SINGLE)
    check_form(True, PAIRS)
    with pytest.raises(
        DataError, match="pairs, and the model was trained on single texts: leave out the second texts"
    ):
        check_form(True, SINGLE)
    with pytest.raises(
        DataError, match="single ones, and the model was trained on pairs: give each its second text"
    ):
        check_form(False, PAIRS)


def test_a_second_text_is_not_read_for_a_model_of_single_texts() -> None:
    table, given = schema("text", "other", "label"), ColumnNames(text_pair="other")
    assert find_model_columns(table, ColumnNames(), PAIRS, labelled=False) == Columns("text", "other")
    assert find_model_columns(table, given, ColumnNames(), labelled=False) == Columns("text", "other")
    for labelled in (True, False):
        with pytest.raises(DataError, match="trained on single texts"):
            find_model_columns(table, given, SINGLE, labelled=labelled)
