from __future__ import annotations

import json
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest

from tellapart.errors import DataError, OutputError, TellapartError
from tellapart.pretraining import building
from tellapart.pretraining.building import STAMPS_FILE, ShardBuilder, default_workers
from tellapart.pretraining.corpus import build_corpus, unfinished_folder
from tellapart.pretraining.sequences import SequenceMaker
from tellapart.pretraining.texts import TextPart, open_texts

SHARD = 1e-4  # MiB: at most 52 tokens, of parts of about 156 bytes


@pytest.fixture(scope="module")
def folder_of_texts(text_file, tmp_path_factory) -> Path:
    """Some lines of the tickets in three files, one of them compressed."""
    import gzip

    lines = text_file.read_text().splitlines(keepends=True)[:60]
    folder = tmp_path_factory.mktemp("texts") / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("".join(lines[:30]))
    (folder / "b.txt").write_text("".join(lines[30:40]) + "\n\n")
    with gzip.open(folder / "c.txt.gz", "wt") as file:
        file.write("".join(lines[40:]))
    return folder


def _build(source: Path, tokenizer, folder: Path, **options):
    given = {"max_length": 24, "shard_mib": SHARD, "workers": 1} | options
    return build_corpus(open_texts(source), tokenizer, folder, **given)


def _files(folder: Path) -> dict[str, bytes]:
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name != STAMPS_FILE}


def _rows(corpus) -> list[list[int]]:
    ids, lengths, words = corpus.tokens(np.arange(len(corpus)))
    marks = ids if words is None else ids * 2 + words
    return [row[:length].tolist() for row, length in zip(marks, lengths, strict=True)]


@pytest.fixture(scope="module")
def alone(folder_of_texts, tokenizer, tmp_path_factory):
    """The corpus as one process builds it."""
    return _build(folder_of_texts, tokenizer, tmp_path_factory.mktemp("alone") / "c")


def test_the_shards_are_the_same_from_any_number_of_processes(alone, folder_of_texts, tokenizer, tmp_path):
    seen: list[int] = []
    _build(folder_of_texts, tokenizer, tmp_path / "c", workers=2, progress=seen.append)
    assert _files(tmp_path / "c") == _files(alone.folder)
    assert alone.shards > 10
    assert sum(seen) == alone.facts.texts + alone.facts.empty
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("options", [{}, {"sequences": "documents"}, {"whole_words": True}])
def test_the_sequences_are_the_same_with_any_size_of_shards(folder_of_texts, tokenizer, tmp_path, options):
    small = _build(folder_of_texts, tokenizer, tmp_path / "small", **options)
    large = _build(folder_of_texts, tokenizer, tmp_path / "large", shard_mib=1, **options)
    assert small.shards > 10 > large.shards == 1
    assert _rows(small) == _rows(large)
    assert small.facts == large.facts
    for shard in json.loads((small.folder / "index.json").read_text())["shards"]:
        assert shard["tokens"] <= 52 or shard["sequences"] == 1


def test_rows_of_a_table_are_the_same_sequences_as_lines(alone, folder_of_texts, tokenizer, tmp_path):
    import pyarrow as pa

    from tellapart.pretraining.texts import TextSource

    rows = pa.chunked_array([list(open_texts(folder_of_texts).lines())])
    found = build_corpus(
        TextSource("rows", column=rows), tokenizer, tmp_path / "c", max_length=24, shard_mib=SHARD
    )
    assert _rows(found) == _rows(alone)
    assert found.shards > 5


def _killed(source: Path, tokenizer, folder: Path) -> None:
    """Builds the corpus and kills itself while the sixth part is written."""
    write = building.write_part
    written = []

    def write_some(blocks, temporary, name, shape):
        if len(written) == 5:
            (temporary / "000.tokens.npy").write_bytes(b"half")
            os.kill(os.getpid(), 9)
        written.append(name)
        return write(blocks, temporary, name, shape)

    building.write_part = write_some
    _build(source, tokenizer, folder)


def test_a_killed_build_goes_on_to_the_same_shards(alone, folder_of_texts, tokenizer, tmp_path, monkeypatch):
    process = multiprocessing.get_context("fork").Process(
        target=_killed, args=(folder_of_texts, tokenizer, tmp_path / "c")
    )
    process.start()
    process.join()
    assert process.exitcode == -9
    unfinished = unfinished_folder(tmp_path / "c")
    finished = {path: path.stat().st_mtime_ns for path in unfinished.glob("part-*/part.json")}
    assert len(finished) == 5
    assert list(unfinished.glob(".*.tmp"))
    damaged = unfinished / "part-000002" / "000.tokens.npy"  # by a disk, say
    damaged.write_bytes(damaged.read_bytes()[:-2] + b"\x07\x07")
    renewed = []
    write = building.write_part
    monkeypatch.setattr(building, "write_part", lambda *given: renewed.append(given[2]) or write(*given))
    _build(folder_of_texts, tokenizer, tmp_path / "c")
    assert _files(tmp_path / "c") == _files(alone.folder)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    assert renewed[0] == "part-000002"
    assert not {"part-000000", "part-000001", "part-000003", "part-000004"} & set(renewed)


def test_parts_of_other_texts_or_shards_are_not_taken_over(folder_of_texts, tokenizer, tmp_path, monkeypatch):
    expected = _build(folder_of_texts, tokenizer, tmp_path / "expected", max_length=16)
    with monkeypatch.context() as patch:
        patch.setattr(building.ShardBuilder, "build", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            _build(folder_of_texts, tokenizer, tmp_path / "c")
    assert list(unfinished_folder(tmp_path / "c").glob("part-*"))
    _build(folder_of_texts, tokenizer, tmp_path / "c", max_length=16)
    assert _files(tmp_path / "c") == _files(expected.folder)


_whole_build = ShardBuilder.build


def _interrupted(self, *given, **options):
    _whole_build(self, *given, **options)
    raise KeyboardInterrupt


@pytest.mark.parametrize("workers", [1, 2])
def test_a_text_that_cannot_be_read_is_named_and_nothing_stays(folder_of_texts, tokenizer, tmp_path, workers):
    lines = (folder_of_texts / "a.txt").read_text().splitlines()
    lines[20] = "and\0a zero"
    (tmp_path / "odd.txt").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"odd\.txt is not a text file: line 21 has a zero byte"):
        _build(tmp_path / "odd.txt", tokenizer, tmp_path / "c", workers=workers)
    assert [path.name for path in tmp_path.iterdir()] == ["odd.txt"]


def _dies(*_: object) -> None:
    os._exit(1)


def test_a_process_that_dies_is_one_sentence():
    with (
        pytest.raises(
            TellapartError, match="a process that tokenises the texts has ended: set corpus_workers"
        ),
        building._pool(_dies, 2) as pool,
    ):
        building._in_processes(pool, [("a", TextPart()), ("b", TextPart())], None)


def test_a_full_disk_is_one_sentence_and_what_was_finished_is_kept(
    alone, folder_of_texts, tokenizer, tmp_path, monkeypatch
):
    write = building.write_part

    def full(blocks, temporary, name, shape):
        if name == "part-000003":
            raise OSError(28, "No space left on device")
        return write(blocks, temporary, name, shape)

    with monkeypatch.context() as patch:
        patch.setattr(building, "write_part", full)
        with pytest.raises(OutputError, match=r"No space left on device.*free some disk space"):
            _build(folder_of_texts, tokenizer, tmp_path / "c")
    left = sorted(path.name for path in unfinished_folder(tmp_path / "c").glob("part-*"))
    assert left == ["part-000000", "part-000001", "part-000002"]
    _build(folder_of_texts, tokenizer, tmp_path / "c")
    assert _files(tmp_path / "c") == _files(alone.folder)


def _orphaned(marker: Path) -> None:
    """Starts a worker process and dies."""
    multiprocessing.get_context("fork").Process(target=_waiting, args=(marker,)).start()
    while not marker.is_file():
        time.sleep(0.01)
    os.kill(os.getpid(), 9)


def _waiting(marker: Path) -> None:
    building._begin(building._Worker(_dies, None), 1)
    marker.with_suffix(".new").write_text(str(os.getpid()))
    marker.with_suffix(".new").replace(marker)
    time.sleep(60)


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="needs /proc")
def test_processes_end_with_the_one_that_started_them(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=_orphaned, args=(tmp_path / "worker",))
    process.start()
    process.join()
    state = Path("/proc") / (tmp_path / "worker").read_text() / "stat"
    deadline = time.monotonic() + 30
    while state.is_file() and state.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_ids_take_two_bytes_where_that_is_enough(tokenizer):
    class Large:
        def get_vocab(self):
            return {"a": 0, "b": 1 << 16}

    assert ShardBuilder(SequenceMaker(tokenizer, 8)).shape.dtype == "uint16"
    assert ShardBuilder(SequenceMaker(tokenizer, 8)).shape.tokens == 256 * 2**20 // 2
    wide = ShardBuilder(SequenceMaker(Large(), 8), shard_mib=4096).shape
    assert (wide.dtype, wide.tokens) == ("int32", 2**30)
    assert default_workers() >= 1
