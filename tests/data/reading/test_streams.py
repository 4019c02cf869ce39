from __future__ import annotations

import csv
import gzip
import json
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tellapart.data.reading import streams, tables
from tellapart.data.reading.columns import Columns
from tellapart.data.reading.streams import one_ahead, open_rows
from tellapart.data.reading.tables import read_table, write_table
from tellapart.errors import DataError


@pytest.fixture
def small_blocks(monkeypatch):
    """Every file is a large one, of many small blocks."""
    monkeypatch.setattr(streams, "STREAM_BYTES", 0)
    monkeypatch.setattr(streams, "ROWS_A_PART", 7)
    monkeypatch.setattr(tables, "BLOCK_BYTES", 512)


ROWS = pa.table(
    {
        "text": [
            f'text {number} with, a comma "and" more' + "\n" * (number % 5 == 0) for number in range(100)
        ],
        "number": [None if number % 3 else float(number) for number in range(100)],
        "tags": [["a"] * (number % 4) for number in range(100)],
    }
)


@pytest.mark.parametrize(
    "name", ["t.csv", "t.tsv", "t.jsonl", "t.json", "t.parquet", "t.csv.gz", "t.jsonl.gz"]
)
def test_the_parts_of_a_large_file_are_the_whole_file(tmp_path, small_blocks, name):
    write_table(ROWS, tmp_path / name)
    opened, whole = open_rows(tmp_path / name), read_table(tmp_path / name)
    parts = list(opened.parts())
    assert len(parts) >= 100 / 7
    assert max(map(len, parts)) <= 7
    joined = pa.concat_tables(parts)
    assert opened.schema == joined.schema
    assert joined.to_pylist() == whole.to_pylist()
    assert opened.rows == 100
    assert list(opened.parts())[3].to_pylist() == parts[3].to_pylist()  # and once more


@pytest.mark.parametrize("place", ["header", "first row", "later row"])
@pytest.mark.parametrize("text", ["x" * 3000, "x\n" * 1500])
def test_a_row_longer_than_a_block_is_read_with_all_others(tmp_path, monkeypatch, place, text):
    monkeypatch.setattr(streams, "STREAM_BYTES", 0)
    monkeypatch.setattr(streams, "CSV_BLOCK_BYTES", 1000)
    names, rows = ["id", "text"], [[str(number), f"text {number}"] for number in range(300)]
    if place == "header":
        names[1] = text
    else:
        rows.insert(0 if place == "first row" else 200, ["long", text])
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    opened = open_rows(tmp_path / "t.csv")
    assert opened.schema.names == names
    for _ in range(2):
        assert [[*row.values()] for part in opened.parts() for row in part.to_pylist()] == rows
    assert opened.rows == len(rows)


def test_a_small_file_is_read_as_it_always_was(tmp_path):
    write_table(ROWS, tmp_path / "t.csv")
    (part,) = open_rows(tmp_path / "t.csv").parts()
    assert part == read_table(tmp_path / "t.csv")


def test_types_that_only_later_lines_show_hold_for_all_parts(tmp_path, small_blocks):
    lines = [{"text": "x" * 100, "n": 1, "day": "2024-01-01"} for _ in range(20)]
    lines += [{"text": "y", "n": 1.5, "day": "none", "late": "z"}]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    parts = list(open_rows(path).parts())
    assert {str(part.schema) for part in parts} == {str(parts[0].schema)}
    assert pa.concat_tables(parts).to_pylist() == read_table(path).to_pylist()
    assert parts[0]["day"][0].as_py() == "2024-01-01"


def test_an_integer_that_no_float_holds_is_refused_beside_a_later_fraction(tmp_path, small_blocks):
    lines = [{"text": "x" * 100, "id": 2**53 + 1} for _ in range(20)]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert open_rows(path).schema.field("id").type == pa.int64()
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {"text": "y", "id": 0.5}]))
    with pytest.raises(DataError, match=r'column "id" of .*t.jsonl has integers that no float holds'):
        open_rows(path)


def test_an_integer_that_no_float_holds_is_refused_beside_a_fraction_in_one_block(tmp_path, small_blocks):
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a", "id": 9007199254740993}\n{"text": "b", "id": 1.5}\n' * 20)
    with pytest.raises(DataError, match=r'column "id" of .* has integers that no float holds, beside fract'):
        open_rows(path)


def test_integers_of_64_bits_without_a_sign_are_read_exactly(tmp_path, small_blocks):
    lines = [{"text": "x" * 100, "id": number, "ids": [number]} for number in (3, 2**64 - 1)]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines * 9))
    opened = open_rows(path)
    assert opened.schema.field("id").type == pa.uint64()
    assert pa.concat_tables(opened.parts()).to_pylist() == lines * 9 == read_table(path).to_pylist()


@pytest.mark.parametrize("large", [False, True])
def test_missing_texts_are_counted_over_the_whole_file_before_anything_is_done(tmp_path, monkeypatch, large):
    if large:
        monkeypatch.setattr(streams, "STREAM_BYTES", 0)
        monkeypatch.setattr(streams, "ROWS_A_PART", 7)
    texts = [None if number in (40, 90) else "text" for number in range(100)]
    pq.write_table(pa.table({"text": texts, "other": [None] * 100}), tmp_path / "t.parquet")
    opened = open_rows(tmp_path / "t.parquet")
    with pytest.raises(
        DataError, match=r'2 row\(s\) of .* have no text in column "text", the first is row 41'
    ):
        opened.check_texts(Columns("text"))
    assert opened.missing["other"] == (100, 1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "text,label\n" + "a,b\n" * 500 + "a,b,c\n", "3 field"),
        ("t.jsonl", '{"text": "a"}\n' * 500 + "{\n", "line 501 of .* is not JSON"),
        ("t.jsonl", '{"text": "a"}\n' * 500 + '{"text": 1}\n', 'a number as "text" in line 501'),
        ("t.csv", "text,label\n", "no rows"),
    ],
)
def test_what_is_wrong_at_the_end_of_a_large_file_is_found_when_it_is_opened(
    tmp_path, small_blocks, name, content, message
):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        open_rows(tmp_path / name)


def test_bytes_that_are_no_text_are_found_when_a_large_file_is_opened(tmp_path, small_blocks):
    with gzip.open(tmp_path / "t.csv.gz", "wb") as file:
        file.write(b"text,label\n" + b"a,b\n" * 500 + b"\xff,b\n")
    with pytest.raises(DataError, match="is not UTF-8: line 502"):
        open_rows(tmp_path / "t.csv.gz")


def test_the_next_item_is_made_while_one_is_worked_on():
    second_made = threading.Event()

    def items():
        yield 1
        second_made.set()
        yield 2

    found = []
    for item in one_ahead(items()):
        assert second_made.wait(10)
        found.append(item)
    assert found == [1, 2]


def test_an_error_in_making_an_item_is_raised_where_it_is_used():
    def items():
        yield 1
        raise DataError("broken", "mend it")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(DataError, match="broken"):
        next(ahead)
