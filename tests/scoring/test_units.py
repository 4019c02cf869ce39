"""Every row is in exactly one unit, and is read from any place on."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.data.reading import streams
from tellapart.data.reading.streams import open_rows, regrouped, rows_from
from tellapart.data.reading.tables import write_table
from tellapart.scoring.units import PART_NAME, InputFile, file_state, planned_units


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 300), max_size=12), most=st.integers(1, 320))
def test_every_row_is_in_exactly_one_unit_whatever_the_sizes(sizes, most):
    files = [InputFile(str(number), "CSV", 0, 0, "", rows) for number, rows in enumerate(sizes)]
    units = [*planned_units(Path("in"), files, most, Path("out"))]
    covered = [(unit.path, row) for unit in units for row in range(unit.first, unit.first + unit.rows)]
    assert covered == [(str(Path("in", file.name)), row) for file in files for row in range(file.rows)]
    assert all(1 <= unit.rows <= most for unit in units)
    names = [Path(unit.output).name for unit in units]
    assert names == sorted(set(names))
    assert all(PART_NAME.fullmatch(name) for name in names)


def test_numbers_of_parts_have_one_width_also_beyond_five_digits():
    files = [InputFile(str(number), "CSV", 0, 0, "", 1) for number in range(100_001)]
    names = [unit.output for unit in planned_units(Path(), files, 10, Path())]
    assert names == sorted(names)
    assert names[0] == "part-000000-00000.parquet"


@settings(deadline=None)
@given(lengths=st.lists(st.integers(0, 40), max_size=8), rows=st.integers(1, 50))
def test_regrouped_tables_hold_the_same_rows_in_groups_of_one_size(lengths, rows):
    ends = [sum(lengths[: place + 1]) for place in range(len(lengths))]
    blocks = [pa.table({"n": range(end - length, end)}) for end, length in zip(ends, lengths, strict=True)]
    groups = [*regrouped(blocks, rows)]
    assert [number for group in groups for number in group["n"].to_pylist()] == [*range(sum(lengths))]
    assert all(len(group) == rows for group in groups[:-1])
    assert all(1 <= len(group) <= rows for group in groups[-1:])


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.json", "t.parquet", "t.csv.gz"])
@pytest.mark.parametrize("large", [False, True])
def test_a_file_is_read_from_any_row_on(rows, tmp_path, monkeypatch, name, large):
    if not large:
        monkeypatch.setattr(streams, "STREAM_BYTES", 1 << 20)
    path = tmp_path / name
    if name == "t.parquet":
        pq.write_table(rows, path, row_group_size=17)
    else:
        write_table(rows, path)
    stream = open_rows(path)
    for first in (0, 1, 16, 17, 33, 34, 59, 60):
        found = [*rows_from(path, stream.kind, stream.schema, first)]
        assert (
            pa.concat_tables([stream.schema.empty_table(), *found]).to_pylist()
            == rows.slice(first).to_pylist()
        )


def test_the_state_of_a_file_shows_changes_at_both_ends_and_of_its_size(tmp_path):
    file = tmp_path / "rows.csv"
    content = b"a" * 200_000
    states = set()
    for changed in (content, b"b" + content[1:], content[:-1] + b"b", content + b"a", b"", b"a"):
        file.write_bytes(changed)
        size, _, sample = file_state(file)
        states.add((size, sample))
    assert len(states) == 6
