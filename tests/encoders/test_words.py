from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tellapart.encoders.words import add_words, learn_tokenizer, unspaced_share
from tellapart.errors import DataError

ENGLISH = ["The card is lost.", "The card isn't here!", "Is the card here?", "the card, the card"]
CHINESE = ["我的卡丢了。", "我的卡被偷了！", "银行卡过期了。", "我的卡找不到了？", "iphone的卡"] * 6
JAPANESE = [
    "カードをなくしました。",
    "カードが盗まれました！",
    "カードの期限が切れました。",
    "カードはどこですか？",
] * 6


def test_words_punctuation_and_contractions_are_tokens_and_case_is_lost():
    tokenizer = learn_tokenizer(ENGLISH, minimum_count=1)
    assert tokenizer.tokenize("The CARD isn’t lost, here!") == [
        "the",
        "card",
        "is",
        "n't",
        "lost",
        ",",
        "here",
        "!",
    ]
    cased = learn_tokenizer(ENGLISH, minimum_count=1, lowercase=False)
    assert cased.tokenize("The the") == ["The", "the"]


def test_special_tokens_have_the_first_ids_and_a_rare_word_is_unknown():
    tokenizer = learn_tokenizer(ENGLISH)
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.sep_token_id) == (0, 1, 2)
    assert tokenizer.tokenize("the card is lost") == ["the", "card", "is", "[UNK]"]
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))


def test_the_most_frequent_words_fill_the_vocabulary():
    tokenizer = learn_tokenizer(ENGLISH, vocabulary_size=5)
    assert len(tokenizer) == 5
    assert tokenizer.tokenize("the card is here") == ["the", "card", "[UNK]", "[UNK]"]


@pytest.mark.parametrize("texts", [CHINESE, JAPANESE], ids=["Chinese", "Japanese"])
@pytest.mark.parametrize("tokens", ["auto", "characters"])
def test_texts_without_spaces_get_more_than_unknown_tokens(texts, tokens):
    learned = texts[: len(texts) - 1]
    tokenizer = learn_tokenizer(learned, tokens=tokens)
    held_out = tokenizer.tokenize(texts[0] + texts[1])
    assert len(held_out) > 4
    assert held_out.count("[UNK]") == 0
    assert len(set(held_out)) > 3


def test_auto_learns_subwords_only_where_there_are_no_spaces():
    assert any(len(piece) > 1 for piece in learn_tokenizer(CHINESE).tokenize("我的卡丢了"))
    assert learn_tokenizer(CHINESE, tokens="characters").tokenize("我的卡iPhone") == [
        "我",
        "的",
        "卡",
        "iphone",
    ]
    assert learn_tokenizer(ENGLISH * 5).tokenize("the card") == ["the", "card"]
    korean = ["카드를 잃어버렸어요", "카드를 도난당했어요"] * 5
    assert unspaced_share(korean) == 0.0
    assert learn_tokenizer(korean).tokenize("카드를") == ["카드를"]
    assert unspaced_share(["ab漢字", "12 !"]) == 0.5
    assert unspaced_share(["12 !"]) == 0.0


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It is lost. It is gone! Is it? No", ["it is lost .", "it is gone !", "is it ?", "no"]),
        ('He said "stop!" I did', ['he said " stop ! "', "i did"]),
        ("Pay 3.14 now, e.g.here", ["pay 3 . 14 now , e . g . here"]),
        ("One\n\n two\nthree\n", ["one", "two", "three"]),
        ("卡丢了。被偷了！？怎么办？好", ["卡 丢 了 。", "被 偷 了 ! ?", "怎 么 办 ?", "好"]),
        ("「なくした。」はい！そう", ["「 な く し た 。 」", "は い !", "そ う"]),
        ("卡丢了!怎么办?好", ["卡 丢 了 !", "怎 么 办 ?", "好"]),
        ("。。 x", ["。 。", "x"]),
        ("", [""]),
    ],
)
def test_sentences_are_told_apart(text, sentences):
    tokenizer = learn_tokenizer([text, "x"], tokens="characters", minimum_count=1, sentences=True)
    assert " ".join(tokenizer.tokenize(text)) == " [SEP] ".join(sentences)


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet="aB1 .!?,'\"\n\t。！？」）」漢カか…’n't", max_size=30))
@pytest.mark.parametrize("tokens", ["words", "characters"])
def test_sentences_change_no_word(text, tokens):
    texts = ["aB1 .!?,'\"」）漢カか…", "a b c n't 1 。"]
    options = {"tokens": tokens, "minimum_count": 1}
    plain = learn_tokenizer(texts, **options)
    parted = learn_tokenizer(texts, **options, sentences=True)
    tokens_of_both = [token for token in parted.tokenize(text) if token != "[SEP]"]
    assert tokens_of_both == plain.tokenize(text)


def test_a_subword_tokeniser_knows_the_separator_but_learns_nothing_of_it():
    tokenizer = learn_tokenizer([text + text for text in CHINESE], sentences=True)
    assert tokenizer("我的卡丢了。我的卡")["input_ids"].count(tokenizer.sep_token_id) == 1
    assert {token for token in tokenizer.get_vocab() if "[" in token} == {"[PAD]", "[UNK]", "[SEP]"}


def test_a_pair_is_joined_by_the_separator_without_token_types():
    tokenizer = learn_tokenizer(ENGLISH)
    pair = tokenizer(["the card"], ["here"], truncation=True, max_length=3)
    assert set(pair) == {"input_ids", "attention_mask"}
    assert len(pair["input_ids"][0]) == 3  # the longer text was cut
    assert pair["input_ids"][0][1] == tokenizer.sep_token_id


@pytest.mark.parametrize("texts", [ENGLISH, CHINESE], ids=["words", "subwords"])
def test_the_file_alone_is_the_tokeniser(texts, tmp_path):
    tokenizer = learn_tokenizer(texts, sentences=True)
    tokenizer.save_pretrained(tmp_path)
    text = texts[0] + " " + texts[1]
    assert AutoTokenizer.from_pretrained(tmp_path)(text) == tokenizer(text)
    script = (
        "import sys, json; from tokenizers import Tokenizer\n"
        "tokenizer = Tokenizer.from_file(sys.argv[1])\n"
        "assert 'tellapart' not in sys.modules\n"
        "print(json.dumps(tokenizer.encode(sys.argv[2]).ids))"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path / "tokenizer.json"), text]
    elsewhere = subprocess.run(arguments, capture_output=True, check=True, text=True)
    assert json.loads(elsewhere.stdout) == tokenizer(text)["input_ids"]


@pytest.mark.parametrize("texts", [ENGLISH, CHINESE], ids=["words", "subwords"])
def test_the_same_texts_give_the_same_tokeniser(texts):
    first, second = (learn_tokenizer(texts).backend_tokenizer.to_str() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("texts", [[], ["", " "], ["all words differ here"]])
def test_nothing_to_learn_is_one_sentence(texts):
    with pytest.raises(DataError, match="often enough"):
        learn_tokenizer(texts)


def test_words_of_a_file_join_the_vocabulary_while_there_is_room():
    tokenizer = learn_tokenizer(ENGLISH)
    before = len(tokenizer)
    assert add_words(tokenizer, ["the", "new york", "Bank", "U.S.", "new_york", "late"], before + 2) == 2
    assert tokenizer.tokenize("the bank new_york late") == ["the", "bank", "new_york", "[UNK]"]
    assert len(tokenizer) == before + 2
    assert add_words(learn_tokenizer(CHINESE), ["银行"], 1000) == 0
