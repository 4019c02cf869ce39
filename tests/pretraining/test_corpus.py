from __future__ import annotations

import hashlib
import json
import pickle

import numpy as np
import pytest

from tellapart.errors import DataError
from tellapart.pretraining import sequences as module
from tellapart.pretraining.corpus import Corpus, build_corpus, sequence_notes
from tellapart.pretraining.texts import open_texts


def _sequences(corpus: Corpus) -> list[list[int]]:
    ids, lengths, _ = corpus.tokens(np.arange(len(corpus)))
    return [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)]


def _ids(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.fixture
def notes(tmp_path):
    """Two lines, an empty one, and one of 50 words."""
    path = tmp_path / "notes.txt"
    path.write_text("my card is lost\nhe took it\n\n" + "the card " * 25 + "\n")
    return path


def test_each_line_that_is_not_empty_is_a_sequence(text_file, corpus, tokenizer):
    lines = text_file.read_text().splitlines()
    assert _sequences(corpus) == [_ids(tokenizer, line) for line in lines if line]
    assert corpus.facts.prefix == (tokenizer.cls_token_id,)
    assert corpus.facts.suffix == (tokenizer.sep_token_id,)
    widths = [len(tokenizer(line)["input_ids"]) for line in lines]
    assert corpus.widths(np.arange(len(corpus))).tolist() == widths
    assert corpus.mean_width == pytest.approx(np.mean(widths))


def test_a_long_line_becomes_parts_of_about_one_length(notes, tokenizer, tmp_path):
    corpus = build_corpus(open_texts(notes), tokenizer, tmp_path / "c", max_length=16)
    parts = _sequences(corpus)[2:]
    assert [token for part in parts for token in part] == _ids(tokenizer, "the card " * 25)
    lengths = [len(part) for part in parts]
    assert max(lengths) <= 14
    assert max(lengths) - min(lengths) <= 1
    facts = corpus.facts
    assert (facts.texts, facts.empty, facts.cut, facts.sequences) == (3, 1, 1, 2 + len(parts))
    told = " ".join(sequence_notes(facts, "lines", 16))
    assert "1 line(s) were longer than 16 tokens" in told
    assert "1 empty line(s)" in told


def test_a_document_is_cut_into_full_sequences_across_its_lines(notes, tokenizer, tmp_path):
    corpus = build_corpus(open_texts(notes), tokenizer, tmp_path / "c", max_length=16, sequences="documents")
    found = _sequences(corpus)
    assert [token for part in found for token in part] == _ids(tokenizer, notes.read_text())
    assert {len(part) for part in found[:-1]} == {14}
    assert corpus.facts.texts == 1


def test_what_was_tokenised_once_is_taken_over_until_something_changes(notes, tokenizer, tmp_path):
    def build(**options):
        return build_corpus(open_texts(notes), tokenizer, tmp_path / "c", **{"max_length": 16} | options)

    before = build().facts
    stamp = (tmp_path / "c" / "index.json").stat().st_mtime_ns
    assert build().facts == before
    assert (tmp_path / "c" / "index.json").stat().st_mtime_ns == stamp
    assert build(max_length=12).facts != before
    notes.write_text("other words\n")
    with pytest.raises(DataError, match="differ from those of the interrupted run"):
        build(must_match=True)
    assert build().facts.texts == 1


def test_the_files_are_plain_arrays(corpus):
    [tokens] = corpus.folder.rglob("*.tokens.npy")
    [starts] = corpus.folder.rglob("*.starts.npy")
    assert (np.load(tokens).dtype, np.load(starts).dtype) == (np.uint16, np.uint32)
    assert len(np.load(tokens)) == corpus.facts.tokens == np.load(starts)[-1]
    assert len(np.load(starts)) == len(corpus) + 1
    index = json.loads((corpus.folder / "index.json").read_text())
    assert index["shards"][0]["files"]["tokens"] == {
        "bytes": tokens.stat().st_size,
        "sha256": hashlib.sha256(tokens.read_bytes()).hexdigest(),
    }


def test_rows_come_in_the_order_asked_for_from_any_shard(sharded):
    everything = _sequences(sharded)
    rows = np.random.default_rng(0).permutation(len(sharded))
    ids, lengths, words = sharded.tokens(rows)
    assert words is None
    assert [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)] == [
        everything[row] for row in rows
    ]
    assert (sharded.widths(rows) - 2).tolist() == lengths.tolist()
    assert sharded.shards > 10
    for wrong in (-1, len(sharded)):
        with pytest.raises(IndexError):
            sharded.widths(np.array([wrong]))


def test_a_corpus_travels_to_workers_by_its_name(corpus):
    sent = pickle.dumps(corpus)
    assert len(sent) < 500
    assert _sequences(pickle.loads(sent)) == _sequences(corpus)


def test_words_begin_where_the_tokeniser_splits(tmp_path, tokenizer):
    path = tmp_path / "a.txt"
    path.write_text("someone stolen, zzyzx [MASK] [MASK]\n")
    corpus = build_corpus(open_texts(path), tokenizer, tmp_path / "c", max_length=40, whole_words=True)
    ids, _, words = corpus.tokens(np.array([0]))
    tokens = tokenizer.convert_ids_to_tokens(ids[0].tolist())
    expected = [not token.startswith("##") for token in tokens]
    assert words[0].tolist() == expected
    assert not all(expected)


def test_only_a_bounded_number_of_texts_is_tokenised_at_a_time(text_file, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BATCH_TEXTS", 7)
    seen: list[int] = []
    build_corpus(open_texts(text_file), tokenizer, tmp_path / "c", max_length=24, progress=seen.append)
    assert max(seen) == 7
    assert sum(seen) == len(text_file.read_text().splitlines())


def test_a_link_to_another_place_stays_and_its_target_is_replaced(notes, tokenizer, tmp_path):
    (tmp_path / "disk" / "c").mkdir(parents=True)
    (tmp_path / "c").symlink_to(tmp_path / "disk" / "c")
    corpus = build_corpus(open_texts(notes), tokenizer, tmp_path / "c", max_length=16)
    assert (tmp_path / "c").is_symlink()
    assert corpus.facts == Corpus(tmp_path / "c").facts
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["c"]


@pytest.mark.parametrize("content", ["", "\n \n\t\n"])
def test_no_text_is_an_error_and_leaves_nothing(tmp_path, tokenizer, content):
    (tmp_path / "empty.txt").write_text(content)
    with pytest.raises(DataError, match="there is no text in "):
        build_corpus(open_texts(tmp_path / "empty.txt"), tokenizer, tmp_path / "c", max_length=16)
    assert [path.name for path in tmp_path.iterdir()] == ["empty.txt"]
