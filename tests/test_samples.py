"""The sample files in examples/ are what their README and the tutorial say."""

from __future__ import annotations

from pathlib import Path

from tellapart.data.examples import TextSplit
from tellapart.data.reading.tables import read_table

EXAMPLES = Path(__file__).parent.parent / "examples"


def _keys(name: str) -> list[str]:
    return TextSplit(read_table(EXAMPLES / name)["text"].to_pylist()).keys()


def test_the_unlabelled_messages_are_none_of_the_labelled_ones() -> None:
    labelled, unlabelled = _keys("tickets.csv"), _keys("inbox.csv")
    assert (len(labelled), len(unlabelled)) == (224, 24)
    assert set(labelled).isdisjoint(unlabelled)
    assert len({*labelled, *unlabelled}) == 248
