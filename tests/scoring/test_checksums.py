"""Checksums tell other rows, and another order, from another format or other parts."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.data.reading.streams import regrouped
from tellapart.data.reading.tables import write_table
from tellapart.errors import DataError
from tellapart.scoring.checksums import rows_checksum

TABLE = pa.table(
    {"text": ["a", "b", "a", "é", None], "n": [0.1, 2.0, 0.1, -1e300, None], "l": [["x"], [], [], [], []]}
)


@pytest.mark.parametrize("name", ["t.parquet", "t.jsonl", "t.json"])
def test_the_format_does_not_matter(tmp_path, name):
    write_table(TABLE, tmp_path / name)
    assert rows_checksum(tmp_path / name) == rows_checksum([TABLE])


@settings(deadline=None)
@given(rows=st.integers(1, 7), order=st.permutations(range(5)))
def test_parts_do_not_matter_and_the_order_does_if_asked(rows, order):
    other = TABLE.take(order)
    assert rows_checksum(regrouped([other], rows), ordered=False) == rows_checksum([TABLE], ordered=False)
    assert (rows_checksum([other]) == rows_checksum([TABLE])) is (other.to_pylist() == TABLE.to_pylist())


@pytest.mark.parametrize(
    "other",
    [
        TABLE.slice(1),
        pa.concat_tables([TABLE, TABLE.slice(0, 1)]),
        pa.concat_tables([TABLE, TABLE]),
        TABLE.set_column(1, "n", pa.array([0.1, 2.0, 0.1, -1e300, 0.0])),
        TABLE.rename_columns(["text", "m", "l"]),
        TABLE.drop_columns(["n"]),
    ],
)
@pytest.mark.parametrize("ordered", [True, False])
def test_other_rows_have_another_checksum(other, ordered):
    assert rows_checksum([other], ordered=ordered) != rows_checksum([TABLE], ordered=ordered)
    assert rows_checksum([other], ordered=ordered, columns=["l"]) == rows_checksum(
        [other.select(["l"])], ordered=ordered
    )


def test_what_cannot_be_compared_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match='there is no column "m": name one of text, n, l'):
        rows_checksum([TABLE], columns=["m"])
    with pytest.raises(DataError, match=r"holds no _parts.json"):
        rows_checksum(tmp_path)
