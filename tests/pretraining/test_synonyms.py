from __future__ import annotations

import itertools
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from transformers import BertTokenizer, PreTrainedTokenizerFast

from tellapart.encoders.loading import load_tokenizer
from tellapart.errors import DataError, MissingDependencyError, ModelError, RecipeError
from tellapart.pretraining import vectors
from tellapart.pretraining.synonyms import (
    SynonymTable,
    build_table,
    build_wordnet_table,
    word_synonyms,
)
from tellapart.pretraining.tables import shipped_table, synonym_table
from tellapart.pretraining.vocabulary import vocabulary_fingerprint, vocabulary_words
from tellapart.wordnet.reader import WordNet

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def word_piece(*words: str) -> BertTokenizer:
    return BertTokenizer(vocab={token: index for index, token in enumerate([*SPECIAL, *words])})


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizer:
    return word_piece(
        "stay", "##s", "stayed", "remain", "rest", "on", "galore", "primary", "main", "card", "."
    )


@pytest.fixture
def wordnet(tiny_wordnet) -> WordNet:
    return WordNet(tiny_wordnet)


@pytest.fixture(scope="module")
def minilm() -> BertTokenizer:
    return load_tokenizer("minilm")


def pairs(table: SynonymTable, tokenizer) -> set[tuple[str, str]]:
    keys = table.keys.tolist()
    ids = [divmod(key, table.vocabulary_size) for key in keys]
    return {tuple(tokenizer.convert_ids_to_tokens([gold, predicted])) for gold, predicted in ids}


STAYING = {
    *itertools.permutations(("stay", "remain", "rest"), 2),
    *(("stayed", other) for other in ("stay", "remain", "rest")),
}
PRIMARY = {("primary", "main"), ("main", "primary")}


def test_lemmas_that_are_tokens_are_synonyms_and_a_word_is_none_of_itself(tokenizer, wordnet):
    table = build_wordnet_table(tokenizer, wordnet)
    assert pairs(table, tokenizer) == STAYING | PRIMARY
    assert table.source == "WordNet 9.1"
    assert table.stats() == {
        "vocabulary": 16,
        "stop_words": 1,
        "in_source": 8,  # galore and card too
        "with_synonyms": 6,
        "pairs": 11,
    }


def test_stop_words_are_kept_on_both_sides_when_asked(tokenizer, wordnet):
    table = build_wordnet_table(tokenizer, wordnet, stop_words=False)
    assert pairs(table, tokenizer) == STAYING | PRIMARY | {("on", "galore"), ("galore", "on")}
    assert table.stats()["stop_words"] == 0
    assert table.options == {"stop_words": False, "symmetric": False}


def test_a_symmetric_table_has_the_opposite_of_every_pair(tokenizer, wordnet):
    table = build_wordnet_table(tokenizer, wordnet, symmetric=True)
    assert pairs(table, tokenizer) == {pair for a, b in STAYING | PRIMARY for pair in ((a, b), (b, a))}


def test_a_thesaurus_of_ones_own(tokenizer):
    related = {"card": ["main", "unheard"], "unheard": ["card"], "stay": ["on", "stay", "##s"]}
    table = build_table(tokenizer, related, source="the bank")
    assert pairs(table, tokenizer) == {("card", "main")}


def test_neighbours_and_the_words_that_have_a_word_for_neighbour(tokenizer, wordnet):
    table = build_wordnet_table(tokenizer, wordnet)
    found = word_synonyms(table, tokenizer, "Stay")
    assert (found.synonyms, found.synonym_of) == (["remain", "rest"], ["stayed", "remain", "rest"])
    assert word_synonyms(table, tokenizer, "card").synonyms == []
    with pytest.raises(DataError, match="not a single token"):
        word_synonyms(table, tokenizer, "##s")


def test_words_of_a_wordpiece_vocabulary(tokenizer):
    expected = ["stay", None, "stayed", "remain", "rest", "on", "galore", "primary", "main", "card", None]
    assert vocabulary_words(tokenizer) == [None] * 5 + expected


@pytest.mark.parametrize(("mark", "accented"), [("Ġ", "ĠcafÃ©"), ("▁", "▁café")])
def test_words_of_a_vocabulary_that_marks_their_beginning(mark, accented):
    tokens = ["<unk>", "main", f"{mark}Main", f"{mark}primary", "ly", accented, mark, f"{mark}main"]
    model = BPE({token: index for index, token in enumerate(tokens)}, [], unk_token="<unk>")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model), unk_token="<unk>")
    if mark == "Ġ":
        tokenizer.backend_tokenizer.decoder = decoders.ByteLevel()
    assert vocabulary_words(tokenizer) == [None, None, "main", "primary", None, "café", None, "main"]
    table = build_table(tokenizer, {"main": ["primary"], "primary": ["main"]}, source="by hand")
    assert table.keys.tolist() == [2 * 8 + 3, 3 * 8 + 2, 3 * 8 + 7, 7 * 8 + 3]  # in both casings


def test_one_character_of_another_kind_of_vocabulary_does_not_mark_words():
    assert vocabulary_words(word_piece("main", "▁", *(f"w{number}" for number in range(20))))[5] == "main"


@given(
    st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=20),
    st.lists(st.tuples(st.integers(-2, 9), st.integers(-2, 9)), min_size=1, max_size=30),
)
def test_contains_agrees_with_a_set(known, asked):
    table = SynonymTable(torch.tensor(sorted(a * 7 + b for a, b in known), dtype=torch.int64), 7, "", "")
    gold, predicted = torch.tensor(asked).unbind(1)
    assert table.contains(gold, predicted).tolist() == [pair in known for pair in asked]
    for gold_id in range(7):
        assert table.neighbours(gold_id) == sorted(b for a, b in known if a == gold_id)
        assert table.neighbour_of(gold_id) == sorted(a for a, b in known if b == gold_id)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_contains_takes_any_shape_and_the_type_of_ids(dtype):
    size = 100_000  # keys do not fit into 32 bits
    table = SynonymTable(torch.tensor([90_000 * size + 80_000]), size, "", "")
    gold = torch.full((2, 3, 4), 90_000, dtype=dtype).transpose(0, 2)
    assert table.contains(gold, torch.full_like(gold, 80_000)).all()
    assert not table.contains(gold, gold).any()
    assert table.contains(gold[0, 0, 0], torch.tensor(80_000)).shape == ()


def test_an_unused_output_of_the_model_is_no_synonym_of_another_word():
    table = SynonymTable(torch.tensor([2 * 7 + 1]), 7, "", "")
    assert not table.contains(torch.tensor([1]), torch.tensor([8]))  # 1 * 7 + 8 is the same key


def test_a_saved_table_is_the_same_table(tokenizer, wordnet, tmp_path):
    table = build_wordnet_table(tokenizer, wordnet, symmetric=True)
    table.save(tmp_path / "new" / "table.safetensors")
    loaded = SynonymTable.load(tmp_path / "new" / "table.safetensors")
    assert torch.equal(loaded.keys, table.keys)
    assert loaded.options == {"stop_words": True, "symmetric": True}
    assert (loaded.source, loaded.stats()) == (table.source, table.stats())
    loaded.require_vocabulary(tokenizer)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["table.safetensors"]


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no synonym table"):
        SynonymTable.load(tmp_path / "missing")
    text = tmp_path / "text"
    text.write_text("primary main")
    with pytest.raises(DataError, match="not a synonym table"):
        SynonymTable.load(text)
    save_file({"keys": torch.tensor([1])}, tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match="not a synonym table"):
        SynonymTable.load(tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match="not a synonym table"):
        SynonymTable.load(tmp_path)


@pytest.mark.parametrize("keys", [[3, 2], [2, 2], [-1, 2], [2, 49]])
def test_damaged_keys_are_refused(keys):
    with pytest.raises(DataError, match="damaged"):
        SynonymTable(torch.tensor(keys), 7, "", "")


def test_a_table_of_another_vocabulary_is_refused(tokenizer, wordnet, tmp_path):
    other = word_piece("main", "primary")
    assert vocabulary_fingerprint(other) != vocabulary_fingerprint(word_piece("primary", "main"))
    build_wordnet_table(other, wordnet).save(tmp_path / "other")
    with pytest.raises(ModelError, match=r"of 7 tokens .* has 16 "):
        synonym_table(tmp_path / "other", tokenizer)
    assert len(synonym_table(tmp_path / "other", word_piece("main", "primary"))) == 2


def test_a_vocabulary_without_a_table_gets_one_from_wordnet(tokenizer, wordnet):
    table = synonym_table("wordnet", tokenizer, wordnet=wordnet)
    assert pairs(table, tokenizer) == STAYING | PRIMARY


def test_the_table_that_comes_along_fits_minilm_and_needs_no_wordnet(minilm, monkeypatch):
    monkeypatch.setattr("tellapart.wordnet.reader._usual_places", lambda: iter([]))
    table = synonym_table("wordnet", minilm)
    assert table.source == "WordNet 3.0"
    assert table.stats() == {
        "vocabulary": 30_522,
        "stop_words": 150,
        "in_source": 18_987,  # 62.51 % of the tokens that are no stop words, the paper's figure
        "with_synonyms": 13_359,
        "pairs": 59_165,
    }
    ids = minilm.convert_tokens_to_ids
    gold = torch.tensor(ids(["primary", "stayed", "remained", "stay", "stay"]))
    predicted = torch.tensor(ids(["main", "remain", "stayed", "stay", "happy"]))
    assert table.contains(gold, predicted).tolist() == [True, True, False, False, False]


def test_the_table_that_comes_along_is_what_wordnet_gives(minilm):
    try:
        wordnet = WordNet()
    except DataError as missing:
        pytest.skip(str(missing))
    if wordnet.version != "3.0":
        pytest.skip(f"the WordNet that is installed is {wordnet.version}, the table is of 3.0")
    built, shipped = build_wordnet_table(minilm, wordnet), shipped_table()
    assert torch.equal(built.keys, shipped.keys)
    assert built.vocabulary_fingerprint == shipped.vocabulary_fingerprint
    assert (built.source, built.options, built.coverage) == (
        shipped.source,
        shipped.options,
        shipped.coverage,
    )


VECTORS = {
    "stay": (1.0, 0.0),
    "remain": (2.0, 0.2),
    "rest": (1.0, 0.5),
    "main": (0.0, 1.0),
    "primary": (-0.1, 3.0),
    "on": (1.0, 0.01),
    "unheard": (1.0, 0.0),
}


@pytest.fixture(params=["glove", "text", "binary"])
def vector_file(request, tmp_path):
    pytest.importorskip("gensim")
    file = tmp_path / request.param
    if request.param == "binary":
        import numpy as np

        rows = [f"{word} ".encode() + np.asarray(row, np.float32).tobytes() for word, row in VECTORS.items()]
        file.write_bytes(b"7 2\n" + b"\n".join(rows) + b"\n")
    else:
        header = "7 2\n" if request.param == "text" else ""
        lines = [f"{word} {' '.join(map(str, row))}" for word, row in VECTORS.items()]
        file.write_text(header + "\n".join(lines) + "\n")
    return file


def test_the_nearest_words_are_synonyms(tokenizer, vector_file):
    one = vectors.build_vector_table(tokenizer, vector_file, neighbours=1)
    nearest = {
        ("stay", "remain"),
        ("remain", "stay"),
        ("rest", "remain"),
        ("main", "primary"),
        ("primary", "main"),
    }
    assert pairs(one, tokenizer) == nearest
    assert one.options == {"stop_words": True, "symmetric": False, "neighbours": 1}
    assert one.source == f"vectors {vector_file.name}"
    with_stop_words = vectors.build_vector_table(tokenizer, vector_file, neighbours=1, stop_words=False)
    assert ("stay", "on") in pairs(with_stop_words, tokenizer)
    everything = vectors.build_vector_table(tokenizer, vector_file, neighbours=10)
    assert len(everything) == 5 * 4


def test_neighbours_are_those_of_a_plain_product_whatever_the_blocks(monkeypatch):
    rows = torch.randn(17, 5)
    monkeypatch.setattr(vectors, "_ROWS_A_BLOCK", 4)
    cosines = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=2)
    for index, found in enumerate(vectors._nearest_rows(rows, 3).tolist()):
        ranked = sorted(set(range(17)) - {index}, key=lambda other: -cosines[index, other])
        assert found == ranked[:3]


def test_vectors_that_cannot_be_used_are_refused(tokenizer, tmp_path):
    pytest.importorskip("gensim")
    with pytest.raises(DataError, match="there is no file"):
        vectors.build_vector_table(tokenizer, tmp_path / "missing")
    with pytest.raises(RecipeError, match="neighbours is 0"):
        vectors.build_vector_table(tokenizer, tmp_path / "missing", neighbours=0)
    file = tmp_path / "file"
    for content, message in {
        "": "cannot be read",
        "main 1 2 3\nprimary 1 2\n": "cannot be read",
        "9 2\nmain 1 2\n": "cannot be read",
        "two words\n": "cannot be read",
        "haupt 1 2\nerst 2 1\n": "no vector for any word",
    }.items():
        file.write_text(content)
        with pytest.raises(DataError, match=message):
            vectors.build_vector_table(tokenizer, file)


def test_without_gensim_the_error_names_the_extra(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    with pytest.raises(MissingDependencyError, match=r"'tellapart\[vectors\]'"):
        vectors.build_vector_table(tokenizer, tmp_path / "glove.txt")
