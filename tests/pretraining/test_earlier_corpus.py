"""Corpora as version 0.1 wrote them."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from tellapart.errors import DataError
from tellapart.pretraining.batches import StepSampler
from tellapart.pretraining.corpus import Corpus, build_corpus
from tellapart.pretraining.texts import open_texts


@pytest.fixture
def earlier(corpus, tmp_path):
    """The folder of the same corpus, as version 0.1 wrote it."""
    folder = tmp_path / "earlier"
    folder.mkdir()
    ids, lengths, _ = corpus.tokens(np.arange(len(corpus)))
    flat = ids[np.arange(ids.shape[1]) < lengths[:, None]]
    np.save(folder / "tokens.npy", flat.astype(np.int32))
    np.save(folder / "lengths.npy", lengths.astype(np.int32))
    np.save(folder / "words.npy", flat % 2 == 0)
    (folder / "meta.json").write_text(json.dumps(asdict(corpus.facts)))
    return folder


def test_it_is_opened_and_taken_over(earlier, corpus, text_file, tokenizer):
    opened = build_corpus(open_texts(text_file), tokenizer, earlier, max_length=40)
    assert (opened.earlier, corpus.earlier) == (True, False)
    assert opened.facts == corpus.facts
    rows = np.arange(len(corpus))[::-1]
    ids, lengths, words = opened.tokens(rows)
    expected = corpus.tokens(rows)
    assert np.array_equal(ids, expected[0])
    assert np.array_equal(lengths, expected[1])
    assert np.array_equal(words[0], (ids[0] % 2 == 0) | (np.arange(ids.shape[1]) >= lengths[0]))
    assert np.array_equal(opened.widths(rows), corpus.widths(rows))


def test_its_order_is_that_of_version_0_1(earlier, corpus):
    old, new = (next(iter(StepSampler(one, 1))).rows for one in (Corpus(earlier), corpus))
    assert len(old) == len(new) == 32
    assert old.tolist() != new.tolist()


def test_other_texts_replace_it(earlier, tokenizer, tmp_path):
    (tmp_path / "new.txt").write_text("my card is lost\n")
    corpus = build_corpus(open_texts(tmp_path / "new.txt"), tokenizer, earlier, max_length=40)
    assert (corpus.earlier, len(corpus)) == (False, 1)
    assert not (earlier / "meta.json").exists()


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("meta.json", b"{", r"meta\.json is damaged"),
        ("meta.json", b"{}", r"meta\.json is damaged \('prefix'\)"),
        ("tokens.npy", b"", r"tokens\.npy cannot be read"),
        ("words.npy", None, "do not belong together"),
        ("lengths.npy", None, "do not belong together"),
    ],
)
def test_damaged_files_are_one_sentence(earlier, file, content, sentence):
    if content is None:
        np.save(earlier / file, np.ones(3, dtype=np.int32))
    else:
        (earlier / file).write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        Corpus(earlier)
