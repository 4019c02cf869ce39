from __future__ import annotations

import gzip
import json
from contextlib import suppress
from pathlib import Path

import pytest

from tellapart.cli.messages import failures_in_one_line
from tellapart.data.examples import LabelSpace
from tellapart.data.label_spelling import known_labels
from tellapart.data.label_texts import read_label_texts
from tellapart.data.reading import jsontext, unpacking
from tellapart.data.reading.columns import ColumnNames
from tellapart.data.reading.rows import read_data, read_splits
from tellapart.data.reading.streams import open_rows
from tellapart.data.reading.tables import read_table, write_table
from tellapart.data.reading.unlabelled import read_unlabelled
from tellapart.errors import MOST_CHARACTERS, DataError, TellapartError, did_you_mean
from tellapart.question_answering.squad import read_squad

ROW = '{"text": "a", "label": "x"}\n'
DEEP = [98, 1_000, 100_000]


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def nested(levels: int, *, objects: bool = False) -> str:
    return '{"a":' * levels + "1" + "}" * levels if objects else "[" * levels + "]" * levels


def refusal(path: Path) -> str:
    messages = []
    for read in (read_table, open_rows, read_splits):
        with pytest.raises(DataError) as raised:
            read(str(path))
        messages.append(str(raised.value))
    return messages[0]


@pytest.mark.parametrize(
    "value", ["null", "null\n" + ROW[:-1], "\ufeffnull", " null " + ROW[:-1], "1", '"a"', "[]", "true"]
)
def test_a_json_line_that_is_no_object_never_reaches_pyarrow(tmp_path: Path, value: str) -> None:
    assert "line 1 of" in refusal(written(tmp_path, "a.jsonl", value + "\n"))
    assert "line 3 of" in refusal(
        written(tmp_path, "b.jsonl", ROW + "\n" + value.lstrip("\ufeff") + "\n" + ROW)
    )


def test_null_after_an_object_in_the_same_line_is_refused(tmp_path: Path) -> None:
    refusal(written(tmp_path, "a.jsonl", "\n" + "null" + ROW))


@pytest.mark.parametrize("levels", DEEP)
@pytest.mark.parametrize("objects", [False, True])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.gz"])
def test_json_nested_too_deep_is_refused(tmp_path: Path, name: str, levels: int, objects: bool) -> None:
    row = f'{{"text": "a", "meta": {nested(levels, objects=objects)}, "label": "x"}}\n'
    content = f"[{ROW}, {row}]" if name == "a.json" else ROW + row
    path = written(tmp_path, name, gzip.compress(content.encode()) if name.endswith("gz") else content)
    if levels < jsontext.MOST_NESTING:
        assert read_table(path).num_rows == 2
    else:
        assert f"nested more than {jsontext.MOST_NESTING} levels deep" in refusal(path)


@pytest.mark.parametrize("levels", DEEP[1:])
@pytest.mark.parametrize("opened", ['{"a":\n', '{"a":  \r\n', '{"a":\n\n'])
def test_json_nested_too_deep_over_many_lines_is_refused(tmp_path: Path, levels: int, opened: str) -> None:
    row = f'{{"text": "a", "label": "x", "meta":\n{opened * levels}1{"}" * levels}}}\n'
    path = written(tmp_path, "a.jsonl", f"{ROW}\n" * 3 + row)
    assert f"nested more than {jsontext.MOST_NESTING} levels deep" in refusal(path)


@pytest.mark.parametrize("levels", DEEP[1:])
def test_deep_nesting_in_cells_questions_and_label_texts_is_refused(tmp_path: Path, levels: int) -> None:
    deep = nested(levels)
    cells = {"text": ["a", "b"], "labels": [deep, "[]"]}
    for read in (
        lambda: read_data(cells, multi_label=True),
        lambda: read_squad(written(tmp_path, "squad.json", f'{{"data": {deep}}}')),
        lambda: read_label_texts(
            str(written(tmp_path, "texts.json", deep)), LabelSpace(("a", "b"), "single_label_classification")
        ),
    ):
        with pytest.raises(DataError, match="levels deep"):
            read()


@pytest.mark.parametrize("text", ["{", "[" * 300, "}{" * 200, '"', "null", "\\", "[[{" * 90 + "]"])
def test_brackets_within_texts_are_no_nesting(tmp_path: Path, text: str) -> None:
    rows = [{"text": text, "label": "x"}, {"text": "\n".join(text), "label": "y"}]
    path = written(tmp_path, "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert read_table(path).to_pylist() == rows
    pretty = written(tmp_path, "b.jsonl", "\n".join(json.dumps(row, indent=1) for row in rows))
    assert read_table(pretty).to_pylist() == rows


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_numbers_beyond_what_is_stored_are_no_crash(tmp_path: Path, name: str) -> None:
    for number in ("9" * 5_000, "9" * 30, "1e999", "-1e999"):
        path = written(tmp_path, name, ROW[:-2] + f', "id": {number}}}')
        with suppress(DataError):
            read_table(path)
    with pytest.raises(DataError, match="thousands of digits"):
        read_squad(written(tmp_path, "squad.json", f'{{"data": [{"9" * 5_000}]}}'))
    with pytest.raises(DataError, match="thousands of digits"):
        read_data({"text": ["a", "b"], "labels": [f"[{'9' * 5_000}]", "[]"]}, multi_label=True)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_half_a_surrogate_pair_is_refused(tmp_path: Path, name: str) -> None:
    refusal(
        written(
            tmp_path,
            name,
            '{"text": "\\ud83d", "label": "x"}\n' if name == "a.jsonl" else '[{"text": "\\ud83d"}]',
        )
    )
    paragraph = '{"data": [{"paragraphs": [{"context": "\\udc00", "qas": []}]}]}'
    with pytest.raises(DataError, match="surrogate"):
        read_squad(written(tmp_path, "squad.json", paragraph))
    with pytest.raises(DataError, match="surrogate"):
        read_data({"text": ["a", "b"], "labels": ['["\\ud800"]', "[]"]}, multi_label=True)


def test_whole_surrogate_pairs_are_read(tmp_path: Path) -> None:
    assert read_table(written(tmp_path, "a.json", '[{"text": "\\ud83d\\ude00"}]'))["text"].to_pylist() == [
        "😀"
    ]


def test_a_key_that_occurs_twice_in_json_is_named(tmp_path: Path) -> None:
    classes = LabelSpace(("lost", "stolen"), "single_label_classification")
    twice = written(tmp_path, "texts.json", '{"lost": "a", "stolen": "b", "lost": "c"}')
    with pytest.raises(DataError, match='has the key "lost" twice'):
        read_label_texts(str(twice), classes)
    with pytest.raises(DataError, match='has the key "text" twice'):
        read_table(written(tmp_path, "rows.json", '[{"text": "a", "text": "b"}]'))
    assert "twice" in refusal(written(tmp_path, "rows.jsonl", '{"text": "a", "text": "b"}\n'))
    assert "line 1 of" in refusal(written(tmp_path, "odd.jsonl", ' \ufeff{"text": "a", "text": "b"}\n'))
    assert "twice" in refusal(written(tmp_path, "lists.jsonl", '{\n"text": "a", "text": "b"}\n'))
    digits = '{\n"text": "a", "id": ' + "9" * 5_000 + "}\n"
    assert "thousands of digits" in refusal(written(tmp_path, "digits.jsonl", digits))


def test_columns_written_by_pandas_are_joined_by_their_keys(tmp_path: Path) -> None:
    content = {"text": {"7": "a", "3": "b", "5": "c"}, "label": {"3": "y", "5": "z", "7": "x"}}
    table = read_table(written(tmp_path, "a.json", json.dumps(content)))
    assert table.to_pydict() == {"text": ["a", "b", "c"], "label": ["x", "y", "z"]}


def test_a_row_that_a_column_lacks_is_missing_there(tmp_path: Path) -> None:
    content = {"text": {"0": "a", "1": "b"}, "label": {"1": "y"}}
    assert read_table(written(tmp_path, "a.json", json.dumps(content)))["label"].to_pylist() == [None, "y"]
    refusal(written(tmp_path, "b.json", json.dumps({"text": {"0": "a"}, "label": ["x"]})))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_csv_of_many_columns_is_read_and_its_messages_are_short(tmp_path: Path, name: str) -> None:
    names = [f"c{number}" for number in range(5_000)]
    row = json.dumps(dict.fromkeys(names[:1_000], "x"))
    path = written(tmp_path, name, row if name == "a.jsonl" else ",".join(names) + "\n" + ",".join(names))
    assert read_table(path).num_rows == 1
    with pytest.raises(DataError) as raised:
        read_data(str(path))
    assert len(str(raised.value)) < 2_500


def test_a_file_of_more_columns_than_texts_need_is_refused(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(100_000)]
    assert "has 100,000 columns" in refusal(
        written(tmp_path, "a.csv", ",".join(names) + "\n" + ",".join(names))
    )
    sparse = json.dumps([{name: "x"} for name in names[:5_000]])
    assert "5000 different keys" in refusal(written(tmp_path, "a.json", sparse))


def test_long_names_are_cut_in_messages(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 2_000_000
    error = TellapartError(f'the label "{long}" in line 3', f"use one of {long}")
    assert len(error.cause) < MOST_CHARACTERS + 10
    assert error.cause.startswith('the label "xx')
    assert error.cause.endswith('" in line 3')
    assert len(str(error)) < 2 * MOST_CHARACTERS + 50
    assert did_you_mean(long, [long, "a"]) == did_you_mean("abcdef", [long]) == ""
    with pytest.raises(SystemExit), failures_in_one_line(debug=False):
        raise ValueError(long)
    assert len(capsys.readouterr().err) < 3_000


@pytest.mark.parametrize(
    "name", ["x" * 300 + ".csv", "~nosuchuser/a.csv", "a\0.csv", "~nosuchuser", "x" * 5_000]
)
def test_names_that_no_file_can_have_are_refused(name: str) -> None:
    for read in (read_splits, read_squad, lambda source: read_unlabelled(source, ColumnNames())):
        with pytest.raises(DataError):
            read(name)
    with pytest.raises(DataError):
        read_label_texts(name, LabelSpace(("a", "b"), "single_label_classification"))


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
@pytest.mark.parametrize("line", [True, False])
def test_an_archive_that_unpacks_to_far_more_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, line: bool
) -> None:
    monkeypatch.setattr(unpacking, "MOST_UNPACKED", 1 << 20)
    rows = "text,label\n" + "a,x\n" * (1 << 19) if name == "a.csv.gz" else ROW * (1 << 17)
    path = written(tmp_path, name, gzip.compress(b"x" * (1 << 22) if line else rows.encode()))
    assert "unpacks to more than 100 times its size" in refusal(path)


def test_gzipped_texts_of_any_usual_ratio_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_UNPACKED", 0)
    rows = "text,label\n" + "".join(f"the text {number * number},x\n" for number in range(2_000))
    assert read_table(written(tmp_path, "a.csv.gz", gzip.compress(rows.encode()))).num_rows == 2_000


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "потерял карту, и не помню где и когда это случилось со мной"),
        ("gb18030", "我的卡丢了"),
        ("cp932", "カードをなくしました"),
    ],
)
def test_the_encoding_of_a_file_is_a_guess_with_what_it_reads(
    tmp_path: Path, encoding: str, text: str
) -> None:
    content = "text,label\n" + "".join(f'"{text}",{label}\n' for label in "xyzxyz")
    message = refusal(written(tmp_path, "a.csv", content.encode(encoding)))
    assert "if this guess is right" in message
    if encoding != "cp1251":  # single bytes are guessed less surely
        assert f"iconv -f {encoding.upper()} -t UTF-8" in message
        assert text in message


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Das Päckchen ist für mich verspätet"),
        ("cp1252", "où est mon colis ? déjà payé, l’été dernier"),
        ("cp1252", "as duas ações não são minhas"),
        ("cp1250", "Paczka jest spóźniona, żółć gęś"),
    ],
)
def test_a_single_line_with_letters_of_western_europe_is_of_the_encoding_that_spreadsheets_write(
    tmp_path: Path, encoding: str, text: str
) -> None:
    content = "text,label\n" + "where is it,x\n" * 20 + f'"{text}",x\n'
    message = refusal(written(tmp_path, "a.csv", content.encode(encoding)))
    assert f"iconv -f {encoding.upper()} -t UTF-8" in message
    assert text[:25] in message


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;\r", "\ufeffsep=;"])
def test_the_line_by_which_excel_names_the_delimiter_is_read(tmp_path: Path, first: str) -> None:
    path = written(tmp_path, "a.csv", f"{first}\ntext;label\na, b;x\nc;y\n")
    assert read_table(path).to_pydict() == {"text": ["a, b", "c"], "label": ["x", "y"]}
    path.write_text("sep=;\ntext;label\na;x\nb;y;z\n")
    assert "3 field(s) in the row at line 4" in refusal(path)


def test_a_missing_line_of_column_names_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "my card is lost,lost\na thief took it,stolen\n")
    with pytest.raises(DataError, match="begin the file with a line of column names"):
        read_data(str(path))
    _, notes = read_unlabelled(
        str(written(tmp_path, "b.csv", "my card is lost\na thief took it\n")), ColumnNames()
    )
    assert any('"my card is lost", is read as the name of its column' in note for note in notes)
    _, notes = read_unlabelled(str(written(tmp_path, "c.csv", "text\na thief took it\n")), ColumnNames())
    assert not notes


def test_files_of_fasttext_are_read(tmp_path: Path) -> None:
    path = written(
        tmp_path, "train.txt", "__label__lost my card is gone\n\n__label__stolen a thief , it seems\n"
    )
    assert read_table(path).to_pydict() == {
        "text": ["my card is gone", "a thief , it seems"],
        "label": ["lost", "stolen"],
    }
    written(tmp_path, "valid.txt", "__label__lost where is it\n")
    data = read_data(str(tmp_path))
    assert data.labels.names == ("lost", "stolen")
    assert len(data.validation or ()) == 1
    assert open_rows(path).rows == 2
    texts, _ = read_unlabelled(str(path), ColumnNames())
    assert texts.texts == ["my card is gone", "a thief , it seems"]


def test_several_labels_in_a_line_of_fasttext_are_a_list(tmp_path: Path) -> None:
    data = read_data(str(written(tmp_path, "a.txt", "__label__a __label__b both\n__label__b one\n")))
    assert data.labels.multi_label
    assert data.train.labels == [["a", "b"], ["b"]]


def test_lines_of_one_label_in_another_split_are_lists_where_the_training_rows_have_several(
    tmp_path: Path,
) -> None:
    written(tmp_path, "train.txt", "__label__a __label__b both\n__label__b one\n__label__a other\n")
    written(tmp_path, "test.txt", "__label__b one\n__label__a none\n")
    data = read_data(str(tmp_path))
    assert data.train.labels == [["a", "b"], ["b"], ["a"]]
    assert data.test is not None
    assert data.test.labels == [["b"], ["a"]]
    single = written(tmp_path, "single.txt", "__label__a one\n__label__b other\n")
    assert read_data(str(single), multi_label=True).train.labels == [["a"], ["b"]]
    assert read_data(str(single)).train.labels == ["a", "b"]


def test_a_line_of_fasttext_without_a_label_is_named(tmp_path: Path) -> None:
    assert "line 2 of" in refusal(written(tmp_path, "a.txt", "__label__a one\ntwo\n"))
    with pytest.raises(DataError, match="unknown"):
        read_table(written(tmp_path, "b.txt", "one\ntwo\n"))


def test_truth_values_are_the_same_labels_in_every_format(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(4)]
    write_table(read_table_of(texts, [True, False] * 2), tmp_path / "train.parquet")
    written(tmp_path, "test.csv", "text,label\nnew,True\nother,FALSE\n")
    data = read_data(str(tmp_path))
    assert data.labels.names == ("false", "true")
    assert data.test is not None
    assert data.test.labels == ["true", "false"]
    mixed = read_data({"text": ["a", "b", "c"], "label": ["True", "Maybe", "true"]})
    assert known_labels(mixed.train, mixed.labels, "the file", "the classes") == mixed.train


def read_table_of(texts: list[str], labels: list[bool]):
    import pyarrow as pa

    return pa.table({"text": texts, "label": labels})


UNQUOTED = "text\tlabel\n" + "\n".join(
    ['"Where is it\tlate', "it broke\tdamaged", '"Refund me\tlate', '"Sent" it says\tlate', "the end\tlate\n"]
)


@pytest.mark.parametrize("suffix", ["tsv", "csv", "csv.gz"])
@pytest.mark.parametrize("first", ["", "\ufeff", "sep={}\n"])
def test_an_unquoted_text_that_begins_with_a_quotation_mark_takes_no_rows_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, first: str
) -> None:
    delimiter = "," if suffix.startswith("csv") else "\t"
    content = (first.format(delimiter) + UNQUOTED.replace("\t", delimiter)).encode()
    path = written(tmp_path, f"a.{suffix}", gzip.compress(content) if suffix.endswith("gz") else content)
    line = 2 + ("sep" in first)
    assert f"quotation mark at line {line} of" in refusal(path)
    monkeypatch.setattr("tellapart.data.reading.streams.STREAM_BYTES", 0)
    assert f"would reach to line {line + 2}" in refusal(path)


def test_quoted_texts_of_several_lines_are_read_beside_odd_quotation_marks(tmp_path: Path) -> None:
    rows = ["two\nlines, a comma", 'say ""no""\n"" now', "", "x" * 200_000 + "\nlong"]
    content = "".join(f'"{row}",a\n' for row in rows) + '"Sent" it says,b\na 5" screen,b\n'
    table = read_table(written(tmp_path, "a.csv", "text,label\n" + content))
    assert table["text"].to_pylist() == [
        *(row.replace('""', '"') for row in rows),
        "Sent it says",
        'a 5" screen',
    ]


@pytest.mark.parametrize("large", [False, True])
def test_an_empty_line_of_a_single_column_is_an_empty_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    monkeypatch.setattr("tellapart.data.reading.streams.STREAM_BYTES", 0 if large else 1 << 20)
    stream = open_rows(written(tmp_path, "a.csv", "text\nfirst\n\nthird\n"))
    assert [text for part in stream.parts() for text in part["text"].to_pylist()] == ["first", "", "third"]
    two = open_rows(written(tmp_path, "b.csv", "text,label\nfirst,a\n\nthird,a\n"))
    assert two.rows == 2
