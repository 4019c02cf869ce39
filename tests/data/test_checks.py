from __future__ import annotations

import json

import pytest

from tellapart.data.checks import EXAMPLES, DataReport, Finding, check_data
from tellapart.data.examples import TextData, TextSplit
from tellapart.data.reading.rows import label_space
from tellapart.data.splits import complete_splits


def report(train: TextSplit, test: TextSplit | None = None, **options: object) -> DataReport:
    multi_label = isinstance(train.labels[0], list)  # type: ignore[index]
    data = TextData(train, None, test, label_space(train, multi_label=multi_label))
    return check_data(data, **options)  # type: ignore[arg-type]


def found(kind: str, *args: TextSplit, **options: object) -> list[Finding]:
    return [finding for finding in report(*args, **options).findings if finding.kind == kind]


def clean(rows: int = 40) -> TextSplit:
    return TextSplit([f"text {row}" for row in range(rows)], labels=["ab"[row % 2] for row in range(rows)])


class WordTokenizer:
    """One token a word, two at the ends, as a fast tokenizer counts."""

    model_max_length = 64

    def __call__(self, texts: list[str], pairs: list[str] | None = None, **_: object) -> dict:
        joined = (
            texts if pairs is None else [f"{one} [SEP] {two}" for one, two in zip(texts, pairs, strict=True)]
        )
        return {"input_ids": [[0, *range(len(text.split())), 1] for text in joined]}


def test_clean_data_have_no_findings() -> None:
    assert report(clean()).findings == ()


def test_texts_in_two_splits_are_found_whatever_their_case_and_spaces() -> None:
    test = TextSplit(["TEXT  3", "new", "text 3", "newer"], labels=["b", "a", "b", "a"])
    (finding,) = found("shared_texts", clean(), test)
    assert (finding.severity, finding.count) == ("error", 2)
    assert "2 of 4 test rows (50.0%)" in finding.message
    assert finding.examples[0] == '"TEXT 3": test row 1, train row 4'


def test_a_few_shared_texts_are_a_warning() -> None:
    test = TextSplit(["text 3", *(f"new {row}" for row in range(150))], labels=["b"] * 151)
    assert found("shared_texts", clean(), test)[0].severity == "warning"


def test_one_text_under_two_labels_is_found_across_splits() -> None:
    train = TextSplit(["One", "two", "one", "three"], labels=["a", "b", "b", "a"])
    test = TextSplit(["THREE"], labels=["b"])
    (finding,) = found("conflicting_labels", train, test)
    assert finding.count == 2
    assert finding.examples == ('"One": a | b', '"three": a | b')


def test_label_sets_that_differ_are_a_conflict_and_equal_ones_are_none() -> None:
    train = TextSplit(["one", "one", "two", "two"], labels=[["a", "b"], [], ["a", "b"], ["b", "a"]])
    assert found("conflicting_labels", train)[0].examples == ('"one": a, b | no label',)


def test_empty_texts_are_no_duplicates_or_conflicts_but_found_as_such() -> None:
    train = TextSplit(["", " ", "a", "b"], labels=["a", "b", "a", "b"])
    kinds = {finding.kind: finding for finding in report(train).findings}
    assert kinds["empty_texts"].count == 2
    assert kinds["empty_texts"].examples == ("train row 1", "train row 2")
    assert not {"duplicate_texts", "conflicting_labels"} & kinds.keys()


def test_pairs_are_empty_where_either_text_is() -> None:
    train = TextSplit(["a", "b", ""], ["x", "", "y"], ["a", "b", "a"])
    assert found("empty_texts", train)[0].count == 2


def test_duplicates_are_counted_beyond_their_first_row() -> None:
    train = TextSplit(["one", "two", "one", "one", "One"], labels=["a", "b", "a", "a", "a"])
    (finding,) = found("duplicate_texts", train)
    assert finding.count == 2
    assert finding.examples == ('"one": train rows 1 and 3', '"one": train rows 1 and 4')
    assert not found("duplicate_texts", TextSplit(["one", "one"], ["x", "y"], ["a", "b"]))


def test_small_and_uneven_classes_are_named() -> None:
    labels = ["a"] * 50 + ["b"] * 5 + ["c"]
    train = TextSplit([str(row) for row in range(len(labels))], labels=labels)
    assert found("single_text_classes", train)[0].examples == ("c: 1",)
    assert found("small_classes", train)[0].examples == ("b: 5",)
    assert found("class_imbalance", train)[0].examples == ("a: 50", "c: 1")


def test_repeated_texts_make_no_class_larger() -> None:
    train = TextSplit(["same", "same", "other", "more"], labels=["a", "a", "b", "b"])
    assert found("single_text_classes", train)[0].examples == ("a: 1",)


def test_classes_without_rows_in_a_split_are_named() -> None:
    (finding,) = found("absent_classes", clean(), TextSplit(["new"], labels=["a"]))
    assert (finding.count, finding.examples) == (1, ("b",))
    assert "test" in finding.message


def test_truncation_counts_all_tokens_of_all_splits() -> None:
    texts = ["word " * count for count in range(1, 101)]
    train = TextSplit([f"{text}{row}" for row, text in enumerate(texts)], labels=["a", "b"] * 50)
    result = report(train, tokenizer=WordTokenizer(), max_length=53)
    assert result.lengths is not None
    assert (result.lengths.truncated, result.lengths.share, result.lengths.longest) == (50, 0.5, 103)
    assert (result.lengths.percentile_95, result.lengths.percentile_99) == (99, 103)
    assert result.lengths.suggested == 64
    (finding,) = [one for one in result.findings if one.kind == "truncation"]
    assert (finding.severity, finding.count) == ("warning", 50)
    assert "the model reads at most 64, or longer texts with --windows" in finding.message


def test_a_length_that_keeps_nearly_all_texts_is_suggested() -> None:
    train = TextSplit(["word " * 20, "word " * 21], ["x", "y"], ["a", "b"])
    (finding,) = found("truncation", train, tokenizer=WordTokenizer(), max_length=16)
    assert "--max-length 32 keeps 99 %" in finding.message


def test_no_shorter_length_is_suggested_where_few_texts_are_cut() -> None:
    train = TextSplit(
        [f"word {row}" for row in range(300)] + ["word " * 40], labels=["a", "b", "c"] * 100 + ["a"]
    )
    (finding,) = found("truncation", train, tokenizer=WordTokenizer(), max_length=24)
    assert "--max-length" not in finding.message
    assert "99 % are whole; the longest has 42" in finding.message


@pytest.mark.parametrize("max_length", [24, 128])
def test_nothing_is_said_where_nothing_is_cut(max_length: int) -> None:
    assert not found("truncation", clean(), tokenizer=WordTokenizer(), max_length=max_length)


def test_the_report_is_json_with_stable_keys_errors_first_and_few_examples() -> None:
    train = TextSplit(["same"] * 30 + [""], labels=["a", "b"] * 15 + ["a"])
    result = report(train, TextSplit(["same"], labels=["a"]))
    content = json.loads(json.dumps(result.to_dict()))
    assert content.keys() == {"source", "problem_type", "rows", "classes", "findings", "lengths", "notes"}
    assert content["classes"]["train"] == {"a": 16, "b": 15}
    assert content["findings"][0].keys() == {"kind", "severity", "count", "message", "examples"}
    severities = [finding["severity"] for finding in content["findings"]]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    assert max(len(finding["examples"]) for finding in content["findings"]) == EXAMPLES


def test_splits_that_tellapart_makes_share_no_text() -> None:
    train = TextSplit([f"Text {row % 30}" for row in range(90)], labels=["ab"[row % 2] for row in range(90)])
    data = complete_splits(TextData(train, None, None, label_space(train, multi_label=False)))
    assert data.test is not None
    assert not [finding for finding in check_data(data).findings if finding.kind == "shared_texts"]
