from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from tellapart.errors import DataError
from tellapart.pretraining import shards as module
from tellapart.pretraining.corpus import Corpus
from tellapart.pretraining.shards import INDEX_FILE, CorpusIndex, ShardFiles, read_model


@pytest.fixture
def copy(sharded, tmp_path):
    """A copy of a corpus of many shards, to damage."""
    return shutil.copytree(sharded.folder, tmp_path / "copy")


def test_a_missing_or_shortened_file_is_named_when_the_corpus_is_opened(copy):
    file = sorted(copy.rglob("*.starts.npy"))[3]
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    with pytest.raises(
        DataError, match=r"is damaged, part-\d+/000\.starts\.npy has \d+ bytes instead of \d+: del"
    ):
        Corpus(copy)
    file.unlink()
    with pytest.raises(
        DataError, match=r"is damaged, 000\.starts\.npy is missing: delete that folder and repeat"
    ):
        Corpus(copy)
    file.write_bytes(content)
    assert len(Corpus(copy, check=True)) > 100


def test_a_changed_byte_is_found_when_checksums_are_compared(copy):
    file = sorted(copy.rglob("*.tokens.npy"))[5]
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert len(Corpus(copy)) > 100
    with pytest.raises(DataError, match=r"000\.tokens\.npy has another checksum than when it was written"):
        Corpus(copy, check=True)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1}', '{"format": 2, "facts": {}, "shards": []}'])
def test_a_damaged_index_is_one_sentence(copy, content):
    (copy / INDEX_FILE).write_text(content)
    with pytest.raises(DataError, match=rf"the file .*{INDEX_FILE} is damaged at .*: delete that folder"):
        Corpus(copy)


def test_a_folder_without_an_index_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"index\.json cannot be read \(No such file"):
        Corpus(tmp_path)


@pytest.mark.parametrize("change", ["header", "length"])
def test_an_array_that_is_none_is_one_sentence(copy, change):
    file = sorted(copy.rglob("*.tokens.npy"))[0]
    if change == "header":
        file.write_bytes(b"\0" * file.stat().st_size)
    else:  # as many bytes, but not as many tokens
        np.save(file, np.load(file).view(np.uint8))
    with pytest.raises(DataError, match="delete that folder"):
        Corpus(copy).tokens(np.array([0]))


def test_a_bounded_number_of_files_is_open(sharded, monkeypatch):
    opened = []
    mapped = module.mapped
    monkeypatch.setattr(module, "mapped", lambda path: opened.append(path.name) or mapped(path))
    index = read_model(CorpusIndex, sharded.folder / INDEX_FILE)
    files = ShardFiles(sharded.folder, index.shards, most_open=4)
    for shard in range(len(index.shards)):
        assert len(files.tokens(shard)) == files.starts(shard)[-1]
        assert len(files._open) <= 4
    assert len(opened) == 2 * len(index.shards)
    files.tokens(len(index.shards) - 1)  # still open
    assert len(opened) == 2 * len(index.shards)
    files.tokens(0)
    assert len(opened) == 2 * len(index.shards) + 1


def test_the_index_has_what_is_needed_to_find_every_sequence(sharded):
    index = json.loads((sharded.folder / INDEX_FILE).read_text())
    assert sum(shard["sequences"] for shard in index["shards"]) == index["facts"]["sequences"] == len(sharded)
    assert sum(shard["tokens"] for shard in index["shards"]) == index["facts"]["tokens"]
