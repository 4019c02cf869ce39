from __future__ import annotations

import gzip

import numpy as np
import pytest

from tellapart.encoders import vectors
from tellapart.encoders.vectors import RANDOM_RANGE, WordVectors, cbow_table, read_vectors
from tellapart.encoders.words import learn_tokenizer
from tellapart.errors import MissingDependencyError, ModelError

pytest.importorskip("gensim")

WORDS = ["the", "card", "São"]
VALUES = np.array([[0.5, -1.25, 3e-2, 7], [1, 2, 3, 4], [-0.125, 0, 1, -2]], dtype=np.float32)
LINES = "".join(
    f"{word} {' '.join(map(str, row))}\n" for word, row in zip(WORDS, VALUES.tolist(), strict=True)
)


def _binary() -> bytes:
    rows = [word.encode() + b" " + row.tobytes() + b"\n" for word, row in zip(WORDS, VALUES, strict=True)]
    return b"3 4\n" + b"".join(rows)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("glove.txt", LINES.encode()),
        ("word2vec.txt", b"3 4\n" + LINES.encode()),
        ("word2vec.bin", _binary()),
        ("glove.txt.gz", gzip.compress(LINES.encode(), mtime=0)),
        ("no-suffix", _binary()),
    ],
)
def test_every_format_gives_the_same_vectors(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    read = read_vectors(tmp_path / name)
    assert read.words == WORDS
    assert read.width == 4
    np.testing.assert_array_equal(read.vectors, VALUES)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"text,label\nmy card,lost\n",
        b"3 4\nthe 1 2 3 4\ncard 1 2 3\n",
        b"the 1 2 nan\n",
        b"9 4\nthe \x00\x01\x02",
        b"\x80\x04\x95 a pickle of something\x00",
    ],
)
def test_a_file_of_something_else_is_one_sentence(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ModelError, match="holds no word vectors"):
        read_vectors(tmp_path / "file")


def test_a_missing_file_and_a_missing_package_say_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="no file of word vectors at"):
        read_vectors(tmp_path / "nowhere.txt")
    (tmp_path / "glove.txt").write_text(LINES)
    monkeypatch.setattr(vectors.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'tellapart\[vectors\]'"):
        read_vectors(tmp_path / "glove.txt")


def test_words_of_the_file_keep_their_vectors_and_the_others_are_as_loud():
    random = np.random.default_rng(0)
    read = WordVectors(["card", "Bank", "USA"], random.normal(0, 0.4, (3, 50)).astype(np.float32))
    vocabulary = {"[PAD]": 0, "usa": 1, "card": 2, "bank": 3, "lost": 4}
    table, found = read.table(vocabulary, seed=1)
    assert found == 3
    np.testing.assert_array_equal(table[[2, 3, 1]], read.vectors)
    assert 0.3 < table[[0, 4]].std() < 0.5
    again, _ = read.table(vocabulary, seed=1)
    np.testing.assert_array_equal(table, again)


TEXTS = ["lost card", "stolen card", "lost purse", "stolen purse", "old news. old paper"] * 40


def test_cbow_puts_words_of_the_same_neighbours_together():
    tokenizer = learn_tokenizer(TEXTS, sentences=True)
    table = cbow_table(tokenizer, TEXTS * 5, width=16, seed=0)
    assert table.shape == (len(tokenizer), 16)
    rows = {word: table[row] / np.linalg.norm(table[row]) for word, row in tokenizer.get_vocab().items()}
    assert rows["lost"] @ rows["stolen"] > rows["lost"] @ rows["news"] + 0.1
    learned = [table[row] for word, row in tokenizer.get_vocab().items() if not word.startswith("[")]
    assert np.std(learned) == pytest.approx(RANDOM_RANGE / 3**0.5, rel=0.01)


def test_a_seed_decides_the_vectors():
    tokenizer = learn_tokenizer(TEXTS)
    first, same, other = (cbow_table(tokenizer, TEXTS, width=8, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


def test_sentences_do_not_reach_into_each_other():
    tokenizer = learn_tokenizer(TEXTS, sentences=True)
    assert list(vectors._sentences(tokenizer, ["lost card. old\n", "", "news"])) == [
        ["lost", "card", "."],
        ["old"],
        ["news"],
    ]


def test_without_any_words_the_table_is_random():
    tokenizer = learn_tokenizer(TEXTS)
    table = cbow_table(tokenizer, [""], width=8, seed=0)
    assert np.isfinite(table).all()
    assert np.abs(table).max() <= RANDOM_RANGE
