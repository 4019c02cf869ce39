"""Labels that are numbers to predict."""

from __future__ import annotations

import datasets
import numpy as np
import pyarrow as pa
import pytest

from tellapart.data.batches.balancing import check_balanced
from tellapart.data.benchmarks.registry import SETS
from tellapart.data.checks import check_data
from tellapart.data.examples import LARGEST_TARGET, SCORE, LabelSpace
from tellapart.data.reading.rows import MOST_FRACTIONS, is_regression_set, read_data
from tellapart.data.splits import prepare_splits
from tellapart.errors import DataError, RecipeError
from tellapart.evaluation.metrics import METRICS, metric_names

SCORES = LabelSpace((SCORE,), "regression")
STSB = 'index\tsentence1\tsentence2\tscore\n0\ta "b\tc\t5.000\n1\td\te\t3.25\n'


@pytest.mark.parametrize(
    "values", [[0.0, 2.5, 5.0], ["0", " 2.5", "5.000"], pa.array([0.0, 2.5, 5.0], pa.float32())]
)
def test_numbers_are_scores_however_they_are_written(values):
    data = read_data({"text": ["a", "b", "c"], "score": values}, regression=True)
    assert data.labels == SCORES
    assert data.train.labels == [0.0, 2.5, 5.0]
    encoded = data.labels.encode(data.train.labels)
    assert (encoded.dtype, encoded.tolist()) == (np.float32, [0.0, 2.5, 5.0])


def test_whole_numbers_are_classes_unless_scores_are_asked_for():
    rows = {"text": ["a", "b"], "label": [1, 2]}
    assert read_data(rows).labels.names == ("1", "2")
    assert read_data(rows, regression=True).train.labels == [1.0, 2.0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1", "high"], 'row 2 of the train rows has "high" in column "score", which is not a number'),
        (["1", "nan"], "row 2"),
        ([1.0, None], "1 row.* no target"),
        ([1.0, float("inf")], "1 row.* no target"),
        ([[1.0], [2.0]], "one target per row"),
        ([True, False], "not a number"),
        ([3.0, 3.0], "the same target, 3.0"),
        (["1", "4e38"], "row 2 of the train rows has the target 4e38, which is beyond 3.4e"),
        ([-1e300, 1.0], "row 1 of the train rows has the target"),
    ],
)
def test_values_that_are_no_scores_are_named(values, message):
    with pytest.raises(DataError, match=message):
        read_data({"text": ["a", "b"], "score": values}, regression=True)


def test_the_largest_targets_are_those_of_float32():
    assert SCORES.encode([-LARGEST_TARGET, LARGEST_TARGET]).tolist() == [-LARGEST_TARGET, LARGEST_TARGET]
    with pytest.raises(DataError, match="row 2 has the target"):
        SCORES.encode([1.0, 4e38])


def test_scores_and_several_labels_do_not_go_together():
    with pytest.raises(DataError, match="either a numeric target or several labels"):
        read_data({"text": ["a", "b"], "score": ["1", "2"]}, regression=True, label_delimiter=",")


def test_many_numbers_with_fractions_are_taken_for_classes_only_if_that_is_said():
    rows = {"text": [*map(str, range(60))], "target": [number / 2 for number in range(60)]}
    with pytest.raises(DataError, match=r'"target" .* 60 distinct fractional numbers.*--regression'):
        read_data(rows)
    assert len(read_data(rows, regression=False).labels) == 60
    few = {name: values[:MOST_FRACTIONS] for name, values in rows.items()}
    assert len(read_data(few).labels) == MOST_FRACTIONS
    whole = {**rows, "target": [*range(60)]}
    assert len(read_data(whole).labels) == 60


def test_numbers_with_a_decimal_comma_are_numbers_too():
    rows = {"text": [*map(str, range(60))], "target": [f"{number},5" for number in range(60)]}
    with pytest.raises(DataError, match=r"60 distinct fractional numbers.*with a decimal point"):
        read_data(rows)
    with pytest.raises(DataError, match=r'row 1 .* has "0,5" .*: write numbers with a decimal point'):
        read_data(rows, regression=True)
    assert len(read_data(rows, regression=False).labels) == 60


@pytest.mark.parametrize("change", [lambda: SCORES.in_order(["1"]), lambda: SCORES.in_hierarchy(".")])
def test_scores_have_no_order_and_no_tree_of_classes(change):
    with pytest.raises(DataError, match="numeric targets have no"):
        change()


def test_rows_are_split_at_random_and_each_score_may_go_anywhere():
    rows = {
        "text": [f"text {number}" for number in range(100)],
        "score": [number / 4 for number in range(100)],
    }
    data = prepare_splits(read_data(rows, regression=True), seed=1)
    assert [len(split) for split in data.splits.values()] == [72, 8, 20]
    other = prepare_splits(read_data(rows, regression=True), seed=2)
    assert data.test.labels != other.test.labels


def test_a_check_says_nothing_of_classes():
    rows = {"text": ["a", "a", "b"], "score": [1.0, 2.0, 3.0]}
    report = check_data(read_data(rows, regression=True))
    assert {finding.kind for finding in report.findings} == {"duplicate_texts"}


def test_balanced_batches_are_of_classes():
    with pytest.raises(RecipeError, match="have numeric targets"):
        check_balanced(np.array([0.5, 1.5], dtype=np.float32), 8, 4)


@pytest.mark.parametrize(
    "files",
    [
        {"STS-B/train.tsv": STSB, "STS-B/dev.tsv": STSB},
        {"train.csv": 'text,text_pair,score\n"a ""b",c,5.000\nd,e,3.25\n'},
    ],
    ids=["as published", "a folder of the user's"],
)
def test_stsb_brings_that_it_has_scores(put, files):
    put("stsb", files)
    data = read_data("stsb")
    assert is_regression_set("stsb")
    assert data.labels == SCORES
    assert (data.train.texts, data.train.text_pairs) == (['a "b', "d"], ["c", "e"])
    assert data.train.labels == [5.0, 3.25]


def test_stsb_of_the_hub_leaves_out_the_test_rows_without_scores(put, monkeypatch):
    put("other", {})

    def rows(scores):
        columns = {"sentence1": ["a"] * len(scores), "sentence2": ["b"] * len(scores), "label": scores}
        return datasets.Dataset.from_dict(columns)

    loaded = datasets.DatasetDict(train=rows([3.8, 1.0]), validation=rows([2.0]), test=rows([-1.0, -1.0]))
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: loaded)
    with pytest.warns(match="were expected"):
        data = read_data("stsb")
    assert (data.train.labels, data.validation.labels, data.test) == ([3.8, 1.0], [2.0], None)


def test_the_class_whose_f1_a_set_is_judged_by_is_the_second_one(put):
    lines = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t1\t2\ta\tb\n0\t1\t2\tc\td\n"
    put("mrpc", {"train.tsv": lines})
    assert read_data("mrpc").labels.names == ("not_equivalent", "equivalent")


def test_a_set_that_is_judged_by_a_metric_of_its_own_says_so(put):
    put("cola", {"train.tsv": "x\t1\t\tgood\nx\t0\t*\tbad\n"})
    data = read_data("cola")
    assert data.metric == "matthews_correlation"
    assert prepare_splits(data, test_share=0.5).metric == data.metric


def test_the_metrics_that_sets_are_judged_by_are_metrics_of_their_tasks():
    for one in SETS:
        if one.metric is not None:
            assert METRICS[one.metric]
            assert one.metric in metric_names(LabelSpace(("a", "b")))
