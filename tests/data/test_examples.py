from __future__ import annotations

import pytest

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.errors import DataError

STARS = LabelSpace(("bad", "fair", "good"))


def test_ranks_are_places_in_the_order_class_by_class():
    ordered = STARS.in_order(["fair", "good", "bad"])
    assert ordered.ranks.tolist() == [2, 0, 1]
    assert (ordered.names, ordered.label2id) == (STARS.names, STARS.label2id)
    assert STARS.ranks is None


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (
            ["bad", "fair", "goood"],
            'the class "goood", which does not occur in the data .did you mean "good"',
        ),
        (["good", "bad"], "lacks fair"),
        (["bad", "fair", "good", "bad"], "repeats bad"),
        ([], "lacks bad, fair, good"),
    ],
)
def test_an_order_names_every_class_once(order, message):
    with pytest.raises(DataError, match=message):
        STARS.in_order(order)


def test_a_hierarchy_needs_names_that_are_paths():
    assert LabelSpace(("a.b", "c")).in_hierarchy(".").hierarchy_separator == "."
    for separator in (".", ""):
        with pytest.raises(DataError, match="no class name contains"):
            STARS.in_hierarchy(separator)


def test_pairs_and_single_texts_are_not_joined():
    single, pairs = TextSplit(["a"], None, ["x"]), TextSplit(["b"], ["c"], ["y"])
    assert pairs.joined(pairs).text_pairs == ["c", "c"]
    for one, other in ((single, pairs), (pairs, single)):
        with pytest.raises(DataError, match="one split has pairs of texts and another single texts"):
            one.joined(other)
