from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellapart.data.examples import TextSplit
from tellapart.data.unlabelled import known_classes, undrawn_rows, unlabelled_rows
from tellapart.errors import DataError

TEXTS = st.lists(st.sampled_from(["", " ", "One", "one ", "two", "three", "four", "five"]), max_size=12)


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_no_text_is_empty_repeated_or_in_a_split(texts, train, validation, test):
    splits = [TextSplit(rows) for rows in (train, validation, test)]
    taken = set().union({""}, *(split.keys() for split in splits))
    usable = set(TextSplit(texts).keys()) - taken
    if not usable:
        with pytest.raises(DataError, match="no text"):
            unlabelled_rows(TextSplit(texts), *splits)
        return
    kept, (note,) = unlabelled_rows(TextSplit(texts), *splits)
    assert set(kept.keys()) == usable
    assert len(kept) == len(usable)
    assert note.startswith(f"{len(kept)} of {len(texts)} unlabelled texts")


def test_what_is_left_out_is_counted_by_its_reason():
    texts = TextSplit(["a", "B ", "b", "c", "", "d", "e", "e"], labels=list("abcdefgh"))
    kept, notes = unlabelled_rows(texts, TextSplit(["d"]), TextSplit(["c"]), TextSplit(["b"]))
    assert kept == TextSplit(["a", "e"], labels=["a", "g"])
    assert notes == (
        "2 of 8 unlabelled texts can be used: 1 are empty, 1 are repeated, 2 equal test rows, "
        "1 equal validation rows and 1 equal training rows.",
    )
    outside = [TextSplit(["E"]), TextSplit(["f"])]
    kept, (note,) = unlabelled_rows(
        texts, TextSplit(["d"]), TextSplit(["c"]), TextSplit(["b"]), outside=outside
    )
    assert kept == TextSplit(["a"], labels=["a"])
    assert "1 equal training rows and 2 equal out-of-scope rows." in note
    _, notes = unlabelled_rows(TextSplit(["a"]), TextSplit(["b"]), None, None)
    assert notes == ("1 of 1 unlabelled texts can be used.",)


def test_the_rest_are_the_rows_of_no_split():
    pool = TextSplit(["a", "A", "b", "c", "d", "e"], labels=list("xxyxyx"))
    rest = undrawn_rows(pool, TextSplit(["a"]), TextSplit(["c"]), TextSplit(["e"]))
    assert rest == TextSplit(["b", "d"], labels=["y", "y"])
    with pytest.raises(DataError, match="all were drawn"):
        undrawn_rows(pool, pool, None, None)


def test_pairs_and_questions_need_their_columns():
    pairs = TextSplit(["a"], ["b"], ["x"])
    with pytest.raises(DataError, match=r"pairs of texts, and more\.csv has one text per row"):
        unlabelled_rows(TextSplit(["c"]), pairs, None, None, where="more.csv")
    kept, _ = unlabelled_rows(TextSplit(["a", "a"], ["b", "c"]), pairs, None, None)
    assert kept.text_pairs == ["c"]  # a pair is equal only if both texts are
    with pytest.raises(DataError, match="question ids"):
        unlabelled_rows(TextSplit(["c"], ["d"]), TextSplit(["a"], ["b"], ["x"], ["q"]), None, None)
    single, _ = unlabelled_rows(TextSplit(["c"], ["d"]), TextSplit(["a"]), None, None)
    assert single.text_pairs is None


def test_labels_are_known_if_they_are_classes():
    assert known_classes(TextSplit(["a", "b"], labels=["x", "z"]), "xy").tolist() == [True, False]
    lists = TextSplit(["a", "b", "c"], labels=[["x", "y"], ["x", "z"], []])
    assert known_classes(lists, "xy").tolist() == [True, False, True]
    assert not np.any(known_classes(TextSplit(["a"]), "xy"))
