"""Labels that look alike, truth values, and labels that a task does not have."""

import pytest

from tellapart.data.checks import check_data
from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.data.label_spelling import known_labels, shown_name, similar_names
from tellapart.data.reading.rows import read_data
from tellapart.errors import DataError


@pytest.mark.parametrize(
    "alike",
    [
        ["Card", "card"],
        ["1", "1.0"],
        ["caf\u00e9", "cafe\u0301"],
        ["card", "card\u200b"],
        ["card", "\ufeffcard"],
        ["lost card", "lost\u00a0card"],
        ["lost card", "lost  card"],
        ["ﬁne", "fine"],
        ["straße", "STRASSE"],
    ],
)
def test_labels_that_look_alike_are_noticed_by_check(alike):
    names = [*alike, "other"]
    assert similar_names(names) == [alike]
    rows = {"text": [f"text {number}" for number in range(3)], "label": names}
    finding = next(each for each in check_data(read_data(rows)).findings if each.kind == "similar_labels")
    assert (finding.severity, finding.count) == ("warning", 2)
    first, second = finding.examples[0].split(" | ")
    assert first != second


def test_labels_that_differ_are_no_finding():
    assert (
        similar_names(["card", "cards", "1", "2", "1.5", "lost card", "lostcard", "नि", "न", "nan", "inf"])
        == []
    )


def test_hidden_characters_are_escaped_and_long_names_cut():
    assert shown_name("card\u200b\u00a0") == "card\\u200b\\xa0"
    assert shown_name("cafe\u0301") == "cafe\\u0301"
    assert shown_name("café नि") == "café नि"
    assert len(shown_name("x" * 2_000_000)) < 100


def test_an_unknown_label_is_refused_with_its_row():
    labels = LabelSpace(("lost", "stolen"))
    rows = TextSplit(["a", "b", "c", "d"], labels=["lost", "lost\u200b", "stolen", "gone"])
    with pytest.raises(DataError, match=r'2 row\(s\) of f.csv .* the first is "lost\\u200b" in row 2'):
        known_labels(rows, labels, "f.csv", "the model's classes")
    several = LabelSpace(("lost", "stolen"), "multi_label_classification")
    with pytest.raises(DataError, match=r"1 row\(s\) of f.csv .* in row 2"):
        known_labels(TextSplit(["a", "b"], labels=[["lost"], ["lost", "x"]]), several, "f.csv", "the classes")


@pytest.mark.parametrize("train", [["True", "False"], ["TRUE", "FALSE"], [True, False], ["true", "false"]])
@pytest.mark.parametrize("test", [["True", "False"], [True, False]])
def test_truth_values_of_csv_and_parquet_are_equal(train, test):
    texts = ["card one lost", "card two stolen"]
    data = read_data({"train": {"text": texts, "label": train}, "test": {"text": texts, "label": test}})
    assert data.test.labels == data.train.labels
