"""What is checked in all files before a model is loaded."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tellapart.data.reading import streams
from tellapart.data.reading.columns import ColumnNames, Columns
from tellapart.data.reading.streams import rows_from
from tellapart.data.reading.tables import write_table
from tellapart.errors import DataError
from tellapart.scoring.inputs import list_inputs
from tellapart.scoring.surveys import survey


@pytest.fixture(params=["small files", "large files"])
def place(request, tmp_path, monkeypatch):
    """A folder, whose files are read at once or in blocks."""
    if request.param == "small files":
        monkeypatch.setattr(streams, "STREAM_BYTES", 1 << 20)
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def _lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _survey(place):
    return survey(list_inputs(place), ColumnNames(), None)


def test_types_are_unified_over_the_files(place):
    _lines(place / "a.jsonl", {"text": "a", "n": 1, "day": "2024-01-01", "x": None})
    _lines(place / "b.jsonl", {"x": "here", "n": 1.5, "text": "b", "day": "none"})
    pq.write_table(pa.table({"text": ["c"], "x": ["d"], "n": [2], "day": ["e"]}), place / "c.parquet")
    found = _survey(place)
    assert found.columns == Columns("text")
    assert found.schema == pa.schema(
        [("text", pa.string()), ("n", pa.float64()), ("day", pa.string()), ("x", pa.string())]
    )
    read = [
        row
        for file in found.files
        for block in rows_from(place / file.name, file.kind, found.schema)
        for row in block.to_pylist()
    ]
    assert read == [
        {"text": "a", "n": 1.0, "day": "2024-01-01", "x": None},
        {"text": "b", "n": 1.5, "day": "none", "x": "here"},
        {"text": "c", "n": 2.0, "day": "e", "x": "d"},
    ]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"text": ["b"]}, r'b.parquet has no column "n", which .*a.parquet has'),
        (
            {"text": ["b"], "n": [1], "more": [1]},
            r'b.parquet has a column "more", which .*a.parquet does not have',
        ),
        (
            {"text": ["b"], "n": ["one"]},
            r'b.parquet has string values in the column "n", of which the files from .*a.parquet on have int64',
        ),
        (
            {"text": ["b", None, "c", None], "n": [1] * 4},
            r"2 row\(s\) of .*b.parquet have no text .* is row 2",
        ),
        ({"text": [7], "n": [1]}, r'b.parquet has int64 values in the column "text"'),
        ({"text": [b"\xff"], "n": [1]}, r'the column "text" of .*b.parquet holds bytes that are not UTF-8'),
        (
            {
                "text": [b"b"],
                "n": [
                    2.5,
                ],
            },
            None,
        ),
    ],
)
def test_a_file_that_does_not_fit_is_named(place, second, message):
    pq.write_table(pa.table({"text": ["a"], "n": [2]}), place / "a.parquet")
    pq.write_table(pa.table(second), place / "b.parquet")
    if message is None:
        assert _survey(place).schema.types == [pa.binary(), pa.float64()]
        return
    with pytest.raises(DataError, match=message):
        _survey(place)


def test_a_value_that_the_type_of_another_file_cannot_hold_is_found_early(place):
    pq.write_table(pa.table({"text": ["a"], "n": [2**60 + 1]}), place / "a.parquet")
    pq.write_table(pa.table({"text": ["a"], "n": [0.5]}), place / "b.parquet")
    with pytest.raises(DataError, match=r"the values of .*a.parquet cannot be converted to the types"):
        _survey(place)


BIG = 2**53 + 1  # no float


@pytest.mark.parametrize("value", [BIG, [BIG], {"of": BIG, "day": "2024-01-01"}])
def test_an_integer_that_a_float_cannot_hold_is_refused_in_lines_too(place, value):
    fraction = {int: 0.5, list: [0.5], dict: {"of": 0.5, "day": "none"}}[type(value)]
    _lines(place / "a.jsonl", {"text": "a", "n": value, "day": "2024-01-01"})
    _lines(place / "b.jsonl", {"text": "b", "n": fraction, "day": "none"})
    with pytest.raises(
        DataError, match=r"the values of .*a.jsonl cannot be converted to the types .*9007199254740993"
    ):
        _survey(place)


def test_files_without_rows_are_left_out_and_named(place):
    (place / "a.csv").write_text("body,label\n")
    (place / "b.csv").write_text("")
    with pytest.raises(DataError, match=r"no file of .* has rows"):
        _survey(place)
    (place / "c.csv").write_text("text,label\nx,y\n")
    found = _survey(place)
    assert [file.rows for file in found.files] == [0, 0, 1]
    assert found.notes == ("2 file(s) have no rows, such as a.csv.",)


def test_metadata_that_differ_are_left_out(place):
    table = pa.table({"text": ["a"]})
    for name in ("a", "b"):
        pq.write_table(table.replace_schema_metadata({"of": "both"}), place / f"{name}.parquet")
    assert _survey(place).schema.metadata == {b"of": b"both"}
    pq.write_table(table.replace_schema_metadata({"of": "c"}), place / "c.parquet")
    found = _survey(place)
    assert found.schema.metadata is None
    assert found.notes == ("The metadata of the files differ, and are left out of the parts.",)


def test_a_link_that_leads_nowhere_is_named(place):
    write_table(pa.table({"text": ["a"], "label": ["b"]}), place / "a.csv")
    (place / "b.csv").symlink_to(place / "gone.csv")
    with pytest.raises(
        DataError, match=r"b.csv cannot be read \(No such file or directory\): check the file"
    ):
        _survey(place)


def test_a_broken_file_is_named_with_its_line(place):
    write_table(pa.table({"text": ["a"], "label": ["b"]}), place / "a.csv")
    (place / "b.csv").write_text("text,label\na,b\na,b,c\n")
    with pytest.raises(DataError, match=r"b.csv has 3 field\(s\) in the row at line 3"):
        _survey(place)
