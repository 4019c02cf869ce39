from __future__ import annotations

import gzip
import hashlib
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.errors import DataError
from tellapart.pretraining import texts
from tellapart.pretraining.texts import open_texts


def test_lines_come_without_their_ends_and_the_empty_ones_too(tmp_path):
    path = tmp_path / "notes"  # any name that is no table's
    path.write_bytes("\ufeffone\r\n\r\n  two three \nlast".encode())
    assert list(open_texts(path).lines()) == ["one", "", "two three", "last"]


def test_a_folder_is_read_in_the_order_of_its_paths_and_only_its_text_files(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "one.txt").write_text("third\n")
    (tmp_path / "a.txt").write_text("first\n")
    with gzip.open(tmp_path / "b" / "a.txt.gz", "wt") as file:
        file.write("second\n")
    (tmp_path / ".hidden.txt").write_text("never\n")
    (tmp_path / "picture.png").write_bytes(b"\0")
    source = open_texts(tmp_path)
    assert list(source.lines()) == ["first", "second", "third"]
    assert [list(document) for document in source.documents()] == [["first\n"], ["second\n"], ["third\n"]]


def test_a_table_gives_its_text_column_and_says_which(ticket_file, tickets):
    source = open_texts(ticket_file)
    assert list(source.lines()) == [text for text, _ in tickets]
    assert source.notes == ('Texts from the column "text".',)
    assert list(open_texts(ticket_file, text="label").lines()) == [label for _, label in tickets]


def test_of_a_folder_of_splits_the_training_rows_are_read(tmp_path):
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").write_text(f"text,label\nof {split},a\nmore,b\n")
    source = open_texts(tmp_path)
    assert next(source.lines()) == "of train"
    assert source.notes[-1] == f"Only the train split of {tmp_path} is read, not test."


def test_another_split_is_read_where_it_is_asked_for_and_files_are_read_whatever_is(tmp_path):
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").write_text(f"text,label\nof {split},a\nmore,b\n")
    source = open_texts(tmp_path, split="test")
    assert next(source.lines()) == "of test"
    assert source.notes[-1] == f"Only the test split of {tmp_path} is read, not train."
    with pytest.raises(DataError, match="has no validation rows, only train, test"):
        open_texts(tmp_path, split="validation")
    (tmp_path / "a.txt").write_text("plain")
    for file, line in (("a.txt", "plain"), ("train.csv", "of train")):
        assert next(open_texts(tmp_path / file, split="validation").lines()) == line


def test_a_line_without_an_end_comes_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "_PIECE", 4)
    path = tmp_path / "long.txt"
    path.write_text("äöü1234567\nab\n", encoding="utf-8")
    assert list(open_texts(path).lines()) == ["äöü1", "2345", "67", "ab"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a text\nand\0a zero\n", "line 2 has a zero byte"),
        (b"fine\nna\xefve\n", "is not UTF-8: line 2, byte 7"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is not UTF-8: line 1"),
    ],
)
def test_what_is_not_text_is_refused_and_the_line_named(tmp_path, content, sentence):
    path = tmp_path / "odd.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        list(open_texts(path).lines())


def test_mistakes_in_the_source_are_named(tmp_path, ticket_file):
    (tmp_path / "notes.txt").write_text("a\n")
    with pytest.raises(DataError, match=r'note\.txt \(did you mean "notes\.txt"'):
        open_texts(tmp_path / "note.txt")
    with pytest.raises(DataError, match="plain text and has no column"):
        open_texts(tmp_path / "notes.txt", text="body")
    with pytest.raises(DataError, match='no column "bdy"'):
        open_texts(ticket_file, text="bdy")
    (tmp_path / "numbers.jsonl").write_text('{"text": 1}\n')
    with pytest.raises(DataError, match="holds no texts"):
        open_texts(tmp_path / "numbers.jsonl", text="text")


def test_the_fingerprint_follows_the_content(tmp_path, ticket_file):
    path = tmp_path / "a.txt"
    path.write_text("one\n")
    first = open_texts(path).fingerprint
    (tmp_path / "b.txt").write_text("one\n")
    assert open_texts(tmp_path / "b.txt").fingerprint == first
    path.write_text("two\n")
    assert open_texts(path).fingerprint != first
    assert open_texts(ticket_file).fingerprint != open_texts(ticket_file, text="label").fingerprint


LINES = st.lists(
    st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"]), max_size=9), max_size=25
)


@settings(max_examples=40, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=4), st.integers(1, 60), st.booleans(), st.booleans())
def test_parts_have_every_line_once_in_order(tmp_path_factory, files, size, last_end, whole_files):
    folder = tmp_path_factory.mktemp("parts")
    for number, lines in enumerate(files):
        content = ("\n".join(lines) + "\n" * last_end).encode()
        if number == 2:
            (folder / f"{number}.txt.gz").write_bytes(gzip.compress(content))
        else:
            (folder / f"{number}.txt").write_bytes(content)
    source = open_texts(folder)
    parts = list(source.parts(size, whole_files=whole_files))
    assert [line for part in parts for line in part.lines()] == list(source.lines())
    spans = [span for part in parts for span in part.spans]
    if whole_files:
        assert len(spans) == len({path for path, *_ in spans})
    for part in parts:
        lengths = [end - start for _, start, end in part.spans if end is not None]
        assert sum(lengths[:-1]) < size
    assert parts == list(open_texts(folder).parts(size, whole_files=whole_files))


def test_the_line_of_a_mistake_is_counted_from_the_beginning_of_the_file(tmp_path):
    path = tmp_path / "odd.txt"
    path.write_bytes(b"one\ntwo\nthree\nfo\0ur\n")
    *_, last = open_texts(path).parts(5)
    assert last.spans[0][1] > 5
    with pytest.raises(DataError, match="line 4 has a zero byte"):
        list(last.lines())


def test_a_mark_of_the_byte_order_within_a_file_is_text(tmp_path):
    path = tmp_path / "marks.txt"
    path.write_bytes("\ufeffone\n\ufefftwo\n".encode())
    assert [list(part.lines()) for part in open_texts(path).parts(2)] == [["one"], ["\ufefftwo"]]


def test_files_with_a_stamp_are_not_read_again(tmp_path, monkeypatch):
    for name in ("old", "new"):
        (tmp_path / f"{name}.txt").write_text(f"{name}\n")
    os.utime(tmp_path / "old.txt", ns=(10**18, 10**18))
    source = open_texts(tmp_path)
    texts.write_stamps(source, tmp_path / "texts.json")
    read = []
    digest = hashlib.file_digest
    monkeypatch.setattr(
        hashlib, "file_digest", lambda file, kind: read.append(file.name) or digest(file, kind)
    )
    again = texts.with_stamps(open_texts(tmp_path), tmp_path / "missing.json", tmp_path / "texts.json")
    assert again.fingerprint == source.fingerprint
    assert read == [str(tmp_path / "new.txt")]  # changed too short ago
    (tmp_path / "old.txt").write_text("odl\n")
    changed = texts.with_stamps(open_texts(tmp_path), tmp_path / "texts.json")
    assert changed.fingerprint == open_texts(tmp_path).fingerprint != source.fingerprint


@pytest.mark.parametrize("content", ["", "[", "{}", "[[1]]", '[["a", 1, 2, "digest"]]', '[["a", 1, 2, 3]]'])
def test_damaged_stamps_are_left_out(tmp_path, content):
    (tmp_path / "texts.json").write_text(content)
    (tmp_path / "a.txt").write_text("a\n")
    source = open_texts(tmp_path / "a.txt")
    assert texts.with_stamps(source, tmp_path / "texts.json").fingerprint == source.fingerprint


def test_a_file_that_vanishes_is_one_sentence(tmp_path):
    (tmp_path / "a.txt").write_text("a\n")
    source = open_texts(tmp_path)
    (tmp_path / "a.txt").unlink()
    for read in (lambda: source.fingerprint, lambda: list(source.parts(9)), lambda: list(source.lines())):
        with pytest.raises(DataError, match=r"a\.txt cannot be read"):
            read()
