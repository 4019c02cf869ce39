from __future__ import annotations

import errno
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tellapart.data.reading.columns import Columns
from tellapart.data.reading.tables import read_table, table_from_columns, write_table, writing_table
from tellapart.data.reading.values import read_examples
from tellapart.errors import DataError, OutputError, UserError

ANY_SUFFIX = pytest.mark.parametrize(
    "suffix", ["csv", "tsv", "jsonl", "ndjson", "json", "parquet", "csv.gz", "jsonl.gz"]
)


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as raised:
        read_table(path)
    return str(raised.value)


@ANY_SUFFIX
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(), min_size=1, max_size=5))
def test_any_text_is_read_back_as_it_was_written(tmp_path: Path, suffix: str, texts: list[str]) -> None:
    path = tmp_path / f"rows.{suffix}"
    table = pa.table({"text": texts, "label": texts[::-1]})
    write_table(table, path)
    assert read_table(path).to_pydict() == table.to_pydict()


@pytest.mark.parametrize("text", ["2024-01-01", "NA", "null", "007", "1.0", "true", "", " ", '"', "a,b;c\td"])
@ANY_SUFFIX
def test_texts_that_look_like_something_else_stay_texts(tmp_path: Path, suffix: str, text: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    rows = {"text": [text, "b"], "label": [text, text]}
    write_table(pa.table(rows), path)
    assert read_table(path).to_pydict() == rows


def test_csv_with_bom_semicolons_quoted_newlines_and_blank_lines(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", '\ufefftext;label\r\n"a\nb, c";001\r\n\r\n"say ""hi""";1.0\r\n')
    assert read_table(path).to_pydict() == {"text": ["a\nb, c", 'say "hi"'], "label": ["001", "1.0"]}


def test_the_delimiter_is_the_one_that_fits_all_rows(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "text\tlabel\na, b, c\tx\nd; e\ty\n")
    assert read_table(path).column_names == ["text", "label"]


def test_a_field_of_some_hundred_kilobytes_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "text,label\n" + "x" * 300_000 + ",a\ny,b\n")
    assert read_table(path)["label"].to_pylist() == ["a", "b"]


def test_old_macintosh_line_ends_are_read(tmp_path: Path) -> None:
    assert read_table(written(tmp_path, "a.csv", "text,label\ra,x\rb,y\r")).num_rows == 2


def test_a_ragged_row_is_named_by_its_line(tmp_path: Path) -> None:
    message = refusal(written(tmp_path, "a.csv", 'text,label\na,x\n\n"b\nc",y\nd,e,z\n'))
    assert "3 field(s) in the row at line 6" in message
    assert "header names 2" in message


def test_a_quotation_mark_that_is_never_closed_is_named_by_its_line(tmp_path: Path) -> None:
    assert "line 3" in refusal(written(tmp_path, "a.csv", 'text,label\na,x\n"b,y\nc,z\n'))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.csv.gz"])
def test_broken_utf8_is_named_by_its_line_with_a_remedy(tmp_path: Path, name: str) -> None:
    rows = {"csv": b"text,label\na\xe9,x\n", "tsv": b"text\tlabel\na\xe9\tx\n"}
    content = rows.get(name.split(".")[1], b'{"text": "a",\n"label": "\xe9"}')
    if name == "a.jsonl":
        content = b'{"text": "a"}\n{"text": "\xe9"}\n'
    path = written(tmp_path, name, gzip.compress(content) if name.endswith("gz") else content)
    message = refusal(path)
    assert "is not UTF-8: line 2, byte " in message
    assert f"byte {content.index(0xE9)} of" in message
    assert "iconv" in message


def test_utf16_is_named_as_such(tmp_path: Path) -> None:
    assert "UTF-16" in refusal(written(tmp_path, "a.csv", "text,label\na,x\n".encode("utf-16")))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet"])
@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_without_anything_is_refused(tmp_path: Path, name: str, content: str) -> None:
    refusal(written(tmp_path, name, content))


def test_a_file_with_a_header_only_is_refused(tmp_path: Path) -> None:
    assert "has no rows" in refusal(written(tmp_path, "a.csv", "text,label\n"))


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    assert 'two columns named "text"' in refusal(written(tmp_path, "a.csv", "text,text\na,b\n"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"text": "a"}\n{"text":\n', "line 2 of {path} is not JSON"),
        ('{"text": "a"}\n[1]\n', "line 2 of {path} is a list"),
        (
            '{"label": 1}\n\n{"label": "x"}\n',
            'a text as "label" in line 3, but earlier lines have a number',
        ),
    ],
)
def test_a_broken_line_of_json_is_named(tmp_path: Path, content: str, reason: str) -> None:
    path = written(tmp_path, "a.jsonl", content)
    assert reason.format(path=path) in refusal(path)


@pytest.mark.parametrize(
    "content",
    [
        [{"text": "a", "label": 1}, {"text": "b", "label": 2}],
        {"text": ["a", "b"], "label": [1, 2]},
        {"text": {"0": "a", "1": "b"}, "label": {"0": 1, "1": 2}},
    ],
)
def test_the_usual_shapes_of_json_are_read(tmp_path: Path, content: object) -> None:
    path = written(tmp_path, "a.json", json.dumps(content, indent=1))
    assert read_table(path).to_pydict() == {"text": ["a", "b"], "label": [1, 2]}


def test_json_lines_under_the_name_of_json_are_read(tmp_path: Path) -> None:
    assert read_table(written(tmp_path, "a.json", '{"text": "a"}\n{"text": "b"}\n')).num_rows == 2


@pytest.mark.parametrize(
    ("numbers", "read"),
    [
        (["9007199254740993", "1.50", "null", "2e3"], ["9007199254740993", "1.50", None, "2e3"]),
        (["-9223372036854775809", "7"], ["-9223372036854775809", "7"]),
        (["[2, 9007199254740993]", "[1.5]", "[]"], [["2", "9007199254740993"], ["1.5"], []]),
        (["[9007199254740993]", "null", "[1.5 , 2]"], [["9007199254740993"], None, ["1.5", "2"]]),
        (["[[9007199254740993]]", "[[1.5]]"], [[[9007199254740992.0]], [[1.5]]]),
        (["18446744073709551615", "3", "null"], [18446744073709551615, 3, None]),
        (["9007199254740992", "1.5"], [9007199254740992.0, 1.5]),
        (["-9007199254740993", "null"], [-9007199254740993, None]),
        (["0.12345678901234567", "1"], [0.12345678901234567, 1.0]),
    ],
)
@pytest.mark.parametrize("name", ["id", "n°", 'a"b'])
def test_integers_of_json_lines_are_never_rounded(
    tmp_path: Path, numbers: list[str], read: list[object], name: str
) -> None:
    key = json.dumps(name)
    lines = [f'{{"text": "pay 1234567890123456 now", {key} : {number}}}\n' for number in numbers]
    table = read_table(written(tmp_path, "a.jsonl", "".join(lines)))
    assert table[name].to_pylist() == read
    assert table.column_names == ["text", name]


def test_the_first_integer_that_json_cannot_hold_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", f'[{{"id": 5}}, {{"id": {2**63}}}]')
    assert "has an integer that 64 bits with a sign do not hold, the first in row 2" in refusal(path)


def test_a_label_is_the_integer_that_is_written_beside_a_fraction(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"t": "a", "y": 9007199254740993}\n{"t": "b", "y": 1.5}\n')
    rows = read_examples(read_table(path), Columns("t", label="y", question_id="y"))
    assert rows.labels == rows.question_ids == ["9007199254740993", "1.5"]


def test_json_objects_may_lack_a_key(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", '[{"text": "a"}, {"text": "b", "label": "x"}]')
    assert read_table(path)["label"].to_pylist() == [None, "x"]


@pytest.mark.parametrize("name", ["a.parquet", "a.csv.gz", "a.json"])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, name: str) -> None:
    assert "cannot be read as" in refusal(written(tmp_path, name, "{{{ no such thing"))


def test_parquet_with_broken_texts_is_refused(tmp_path: Path) -> None:
    broken = pa.array([b"\xff"]).view(pa.string())
    pq.write_table(pa.table({"text": broken}), tmp_path / "a.parquet")
    refusal(tmp_path / "a.parquet")


def test_a_missing_file_is_refused_with_the_closest_name(tmp_path: Path) -> None:
    written(tmp_path, "tickets.csv", "text,label\na,x\n")
    assert 'did you mean "tickets.csv"' in refusal(tmp_path / "ticket.csv")


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    assert ".jsonl" in refusal(written(tmp_path, "a.xlsx", "x"))
    with pytest.raises(UserError):
        write_table(pa.table({"text": ["a"]}), tmp_path / "b.xlsx")


def test_lists_become_json_in_csv_and_stay_lists_elsewhere(tmp_path: Path) -> None:
    table = pa.table({"labels": [["a", "é"], []]})
    for name, expected in (("a.csv", ['["a", "é"]', "[]"]), ("a.jsonl", [["a", "é"], []])):
        write_table(table, tmp_path / name)
        assert read_table(tmp_path / name)["labels"].to_pylist() == expected


def test_nan_is_written_as_null_in_json(tmp_path: Path) -> None:
    write_table(pa.table({"p": [0.5, float("nan")]}), tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == [{"p": 0.5}, {"p": None}]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out" / "a.parquet"
    write_table(pa.table({"text": ["old"]}), path)

    def fail(writer: object, table: pa.Table) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", fail)
    with pytest.raises(OutputError, match="No space left"):
        write_table(pa.table({"text": ["new"]}), path)
    assert [entry.name for entry in path.parent.iterdir()] == ["a.parquet"]
    assert read_table(path)["text"].to_pylist() == ["old"]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv.gz", "a.jsonl", "a.json", "a.parquet"])
def test_a_table_written_in_parts_is_the_table_written_at_once(tmp_path: Path, name: str) -> None:
    table = pa.table({"text": ["a", 'b, "c"', "d\ne"] * 3, "labels": [["x"], [], ["y", "z"]] * 3})
    write_table(table, tmp_path / name)
    with writing_table(tmp_path / "parts" / name, table.schema) as write:
        for start in (0, 2, 7):
            write(table.slice(start, {0: 2, 2: 5, 7: 2}[start]))
    assert read_table(tmp_path / "parts" / name) == read_table(tmp_path / name)


def test_columns_that_mix_kinds_are_named_with_the_row() -> None:
    with pytest.raises(DataError, match='row 3 of column "text" in the data is a number'):
        table_from_columns({"text": ["a", None, 3]}, "the data")


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(DataError, match="differ in length"):
        table_from_columns({"text": ["a", "b"], "label": ["x"]}, "the data")
