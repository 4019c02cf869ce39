from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.data.examples import TextData, TextSplit
from tellapart.data.reading.rows import label_space
from tellapart.data.splits import complete_splits, draw_few_shot, prepare_splits, redraw_splits, sample
from tellapart.errors import DataError, UserError

LABELS = "abcd"


def task(split: TextSplit, validation: TextSplit | None = None, test: TextSplit | None = None) -> TextData:
    multi_label = isinstance(split.labels[0], list)  # type: ignore[index]
    return TextData(split, validation, test, label_space(split, multi_label=multi_label))


def uneven(*counts: int) -> TextSplit:
    """A split with the given number of distinct texts of each class."""
    labels = [LABELS[index] for index, count in enumerate(counts) for _ in range(count)]
    return TextSplit([f"text {row}" for row in range(len(labels))], labels=labels)


@st.composite
def splits_of_any_kind(draw: st.DrawFn) -> TextSplit:
    rows = draw(st.integers(4, 40))
    texts = draw(
        st.lists(
            st.sampled_from(["One", "one ", "two", "three", *map(str, range(30))]),
            min_size=rows,
            max_size=rows,
        )
    )
    names = st.sampled_from(LABELS)
    label = draw(st.sampled_from([names, st.lists(names, unique=True)]))
    labels = draw(st.lists(label, min_size=rows, max_size=rows))
    used = {name for row in labels for name in row}
    if len(used) < 2:
        labels[0], labels[1] = ("a", "b") if isinstance(labels[0], str) else (["a"], ["b"])
    questions = draw(st.none() | st.lists(st.sampled_from("pqrstuvw"), min_size=rows, max_size=rows))
    return TextSplit(texts, labels=labels, question_ids=questions)


def rows_of(split: TextSplit | None) -> Counter:
    if split is None:
        return Counter()
    questions = split.question_ids or [""] * len(split)
    return Counter(zip(split.texts, split.label_sets(), questions, strict=True))


@settings(deadline=None, max_examples=150)
@given(split=splits_of_any_kind(), seed=st.integers(0, 3), share=st.sampled_from([0.1, 0.25, 0.5, 0.9]))
def test_splitting_loses_no_row_parts_no_group_and_keeps_every_label_in_train(
    split: TextSplit, seed: int, share: float
) -> None:
    done = complete_splits(task(split), validation_share=share, test_share=share, seed=seed)
    assert sum((rows_of(part) for part in done.splits.values()), Counter()) == rows_of(split)
    sides = list(done.splits.values())
    for index, one in enumerate(sides):
        for other in sides[index + 1 :]:
            assert not set(one.keys()) & set(other.keys())
            assert not set(one.question_ids or ()) & set(other.question_ids or ())
    assert set().union(*done.train.label_sets()) == set().union(*split.label_sets())
    again = complete_splits(task(split), validation_share=share, test_share=share, seed=seed)
    assert again == done


def test_splits_are_stratified_to_the_row() -> None:
    done = complete_splits(task(uneven(500, 200, 100)), seed=1)
    assert done.test is not None
    assert done.validation is not None
    assert Counter(done.test.labels) == {"a": 100, "b": 40, "c": 20}
    assert Counter(done.validation.labels) == {"a": 40, "b": 16, "c": 8}


def test_small_classes_together_give_their_share() -> None:
    labels = [f"class {row // 3}" for row in range(300)]
    done = complete_splits(
        task(TextSplit([str(row) for row in range(300)], labels=labels)), validation_share=0
    )
    assert done.test is not None
    assert len(done.test) == 60
    assert max(Counter(done.test.labels).values()) == 1


def test_multi_label_splits_keep_the_share_of_rare_labels() -> None:
    generator = np.random.default_rng(0)
    drawn = generator.random((2_000, 4)) < [0.5, 0.2, 0.05, 0.01]
    labels = [[LABELS[index] for index in np.flatnonzero(row)] for row in drawn]
    done = complete_splits(
        task(TextSplit([str(row) for row in range(2_000)], labels=labels)), validation_share=0
    )
    assert done.test is not None
    counts = Counter(name for names in done.test.label_sets() for name in names)
    assert [counts[name] for name in LABELS] == pytest.approx(0.2 * drawn.sum(0), rel=0.1, abs=1.0)


def test_seeds_differ_and_a_class_of_one_text_stays_in_train_with_a_note() -> None:
    data = task(uneven(40, 40, 1))
    first, second = complete_splits(data, seed=0), complete_splits(data, seed=1)
    assert first.test != second.test
    assert "1 class(es) with a single text stay in train: c." in first.notes


def test_given_splits_are_never_touched() -> None:
    given = TextSplit(["v"], labels=["a"])
    done = prepare_splits(task(uneven(20, 20), validation=given, test=given), few_shot=2)
    assert done.validation is given
    assert done.test is given
    assert prepare_splits(task(uneven(9, 9), given, given)).train == uneven(9, 9)


def test_too_few_rows_leave_the_split_missing_with_a_note() -> None:
    done = complete_splits(task(uneven(1, 1)))
    assert done.test is None
    assert "There are too few rows to split off test rows." in done.notes


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_impossible_shares_are_refused(share: float) -> None:
    with pytest.raises(UserError, match="share of test rows"):
        complete_splits(task(uneven(5, 5)), test_share=share)


def test_few_shot_takes_the_same_number_of_each_class_for_train_and_validation() -> None:
    done = prepare_splits(task(uneven(50, 30, 20)), few_shot=4, seed=3)
    assert done.validation is not None
    assert done.test is not None
    assert Counter(done.train.labels) == Counter(done.validation.labels) == {"a": 4, "b": 4, "c": 4}
    assert len(done.test) == 20
    assert not set(done.train.texts) & set(done.validation.texts)
    assert done.test == prepare_splits(task(uneven(50, 30, 20)), seed=3).test


def test_few_shot_takes_all_rows_of_a_small_class_with_a_note() -> None:
    done = draw_few_shot(task(uneven(20, 3), test=uneven(1)), 5)
    assert Counter(done.train.labels) == {"a": 5, "b": 3}
    assert "1 class(es) have fewer in train: b." in done.notes


def test_few_shot_validation_repeats_no_text_of_train() -> None:
    split = TextSplit(["Same", "same ", *"pqr", *"stu"], labels=["a"] * 5 + ["b"] * 3)
    for seed in range(20):
        done = draw_few_shot(task(split, test=uneven(1)), 2, seed=seed)
        assert done.validation is not None
        assert not set(done.train.keys()) & set(done.validation.keys())


def test_few_shot_serves_every_label_of_a_multi_label_task() -> None:
    labels = [["a", "b"], ["a"], ["b", "c"], [], ["c"], ["a", "c"], [], ["b"], ["a"], ["a", "b", "c"]]
    split = TextSplit([str(row) for row in range(len(labels))], labels=labels)
    for seed in range(20):
        drawn = draw_few_shot(task(split, validation=split, test=split), 2, seed=seed).train
        counts = Counter(name for names in drawn.labels or [] for name in names or [""])
        assert min(counts[name] for name in ("a", "b", "c", "")) >= 2
        assert len(drawn) <= 8


@settings(deadline=None, max_examples=100)
@given(split=splits_of_any_kind(), rows=st.integers(1, 45), seed=st.integers(0, 3))
def test_a_sample_has_the_rows_asked_for_in_their_order(split: TextSplit, rows: int, seed: int) -> None:
    drawn = sample(split, rows, seed)
    if split.question_ids is None:
        assert len(drawn) == min(rows, len(split))
    assert not rows_of(drawn) - rows_of(split)
    texts = [str(row) for row in range(len(split))]
    numbered = TextSplit(texts, labels=split.labels, question_ids=split.question_ids)
    assert [*map(int, sample(numbered, rows, seed).texts)] == sorted(
        map(int, sample(numbered, rows, seed).texts)
    )


@settings(deadline=None, max_examples=150)
@given(
    split=splits_of_any_kind().filter(lambda split: split.question_ids is not None),
    rows=st.integers(1, 45),
    seed=st.integers(0, 3),
)
def test_a_sample_has_whole_questions_and_only_the_last_one_exceeds_the_rows_asked_for(
    split: TextSplit, rows: int, seed: int
) -> None:
    drawn = sample(split, rows, seed)
    sizes, found = Counter(split.question_ids), Counter(drawn.question_ids)
    assert all(count == sizes[question] for question, count in found.items())
    assert len(drawn) >= min(rows, len(split))
    assert len(drawn) - max(found.values()) < rows
    assert sample(split, rows, seed) == drawn


def test_a_sample_of_questions_is_stratified_by_whether_they_have_an_answer() -> None:
    ids = [f"{row // 10}" for row in range(6_000)]
    labels = ["yes" if row % 10 == 0 and row // 10 % 4 == 0 else "no" for row in range(6_000)]  # 150 of 600
    split = TextSplit([str(row) for row in range(6_000)], labels=labels, question_ids=ids)
    for seed in range(5):
        drawn = sample(split, 1_200, seed)
        assert len(drawn) == 1_200
        assert Counter(drawn.labels) == pytest.approx({"yes": 30, "no": 1_170}, abs=2)
    assert sample(split, 1_200, 0) != sample(split, 1_200, 1)


def test_a_small_sample_of_questions_has_an_answer_and_one_larger_than_it_is_drawn_whole() -> None:
    labels = ["no"] * 30 + ["no", "yes"] + ["no"] * 20
    ids = ["long"] * 30 + ["answered"] * 2 + [f"{row}" for row in range(20)]
    split = TextSplit([str(row) for row in range(52)], labels=labels, question_ids=ids)
    for seed in range(20):
        for rows in (1, 5, 20, 40):
            drawn = sample(split, rows, seed)
            assert "yes" in (drawn.labels or [])
            assert Counter(drawn.question_ids)["long"] in (0, 30)


def test_a_sample_of_unlabelled_questions_is_drawn_too() -> None:
    split = TextSplit([str(row) for row in range(40)], question_ids=[str(row // 4) for row in range(40)])
    drawn = sample(split, 9)
    assert len(drawn) == 12
    assert set(Counter(drawn.question_ids).values()) == {4}


def test_a_sample_of_rows_without_questions_stays_as_it_was_in_earlier_versions() -> None:
    assert sample(uneven(18, 9, 3), 8, 0).texts == [f"text {row}" for row in (1, 4, 7, 10, 19, 22, 25, 29)]
    assert sample(uneven(18, 9, 3), 8, 7).texts == [f"text {row}" for row in (0, 6, 14, 17, 18, 22, 26, 29)]
    tags = [["a", "b", "c"][: row % 4] for row in range(24)]
    assert sample(TextSplit([str(row) for row in range(24)], labels=tags), 6, 1).texts == [
        *("0", "5", "7", "15", "17", "22")
    ]
    assert sample(TextSplit([str(row) for row in range(20)]), 5, 2).texts == ["3", "7", "11", "12", "16"]


def test_a_sample_is_stratified_and_keeps_every_label() -> None:
    assert Counter(sample(uneven(600, 390, 9, 1), 100).labels) == pytest.approx(
        {"a": 60, "b": 39, "c": 1, "d": 1}, abs=1
    )
    assert len(sample(TextSplit(["a", "b", "c"]), 2)) == 2


def test_draws_do_not_depend_on_the_order_of_hashes() -> None:
    code = (
        "from tellapart.data.splits import *; from tellapart.data.examples import *;"
        "s = TextSplit([str(i) for i in range(60)], labels=[['a', 'b', 'c'][: i % 4] for i in range(60)]);"
        "d = TextData(s, None, None, LabelSpace(('a', 'b', 'c'), 'multi_label_classification'));"
        "print(complete_splits(d).test.texts, prepare_splits(d, few_shot=3).train.texts, sample(s, 7).texts)"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    train=st.integers(20, 60),
    published=st.integers(0, 20),
    validation=st.integers(1, 5),
    test=st.integers(1, 8),
    seed=st.integers(0, 3),
)
def test_rows_are_drawn_anew_in_exact_numbers_and_none_is_lost(train, published, validation, test, seed):
    texts = [f"text {row // 2 if row % 7 == 1 else row}" for row in range(train + published)]
    rows = TextSplit(texts, labels=[LABELS[row % 2] for row in range(len(texts))])
    given_test = rows.select(range(train, len(texts))) if published else None
    data = task(rows.select(range(train)), test=given_test)
    drawn = redraw_splits(data, validation=validation, test=test, seed=seed)
    assert (len(drawn.validation), len(drawn.test)) == (validation, test)
    assert rows_of(drawn.train) + rows_of(drawn.validation) + rows_of(drawn.test) == rows_of(rows)
    keys = [set(split.keys()) for split in (drawn.train, drawn.validation, drawn.test)]
    assert not keys[0] & keys[1]
    assert not keys[0] & keys[2]
    assert not keys[1] & keys[2]
    assert redraw_splits(data, validation=validation, test=test, seed=seed).splits == drawn.splits


def test_counts_of_published_splits_are_met_and_classes_keep_their_shares():
    """MR of Ohashi et al. 2020, Table 2, from a source with splits of its own."""
    sizes = (8530, 1066, 1066)
    parts = [
        TextSplit([f"{part} {row}" for row in range(size)], labels=["a", "b"] * (size // 2))
        for part, size in enumerate(sizes)
    ]
    drawn = redraw_splits(task(*parts), validation=1706, test=2133)
    assert [len(split) for split in (drawn.train, drawn.validation, drawn.test)] == [6823, 1706, 2133]
    for split in drawn.splits.values():
        assert abs(split.labels.count("a") - split.labels.count("b")) <= 2
    kept = redraw_splits(task(*parts), validation=1706)
    assert kept.test == parts[2]
    assert len(kept.train) == 8530 + 1066 - 1706


def test_more_rows_than_there_are_cannot_be_drawn():
    with pytest.raises(DataError, match="20 test rows cannot be drawn from 20 rows"):
        redraw_splits(task(uneven(10, 10)), test=20)
    doubled = TextSplit(["x"] * 10 + ["y"] * 10, labels=["a"] * 10 + ["b"] * 10)
    with pytest.raises(DataError, match="rows with the same text stay together"):
        redraw_splits(task(doubled), test=7)
