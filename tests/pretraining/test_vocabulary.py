from __future__ import annotations

from transformers import AutoTokenizer

from tellapart.pretraining.texts import open_texts
from tellapart.pretraining.vocabulary import train_wordpiece


def test_a_vocabulary_is_learned_and_the_tokeniser_comes_back_the_same(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("Die Größe der Stühle\n" * 5 + "我们学习中文 学习\n" * 5, encoding="utf-8")
    seen: list[int] = []
    tokenizer = train_wordpiece(open_texts(path), 90, max_length=32, progress=seen.append)
    assert len(seen) == 30  # read three times
    assert len(tokenizer) <= 90
    special = tokenizer.convert_tokens_to_ids(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    assert special == [0, 1, 2, 3, 4]
    text = "die Größe [MASK] 我们 中文"
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])
    assert tokens == ["[CLS]", "die", "größe", "[MASK]", "我", "们", "中", "文", "[SEP]"]  # accents stay
    tokenizer.save_pretrained(tmp_path / "t")
    again = AutoTokenizer.from_pretrained(tmp_path / "t")
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert (again.model_max_length, again.mask_token_id) == (32, 4)


def test_the_same_texts_give_the_same_vocabulary_in_the_same_order(tmp_path):
    """The library alone numbers pieces differently each time, and so breaks ties differently."""
    words = [a + b + c for a in "klmnp" for b in "aeiou" for c in "rstvz"]
    (tmp_path / "a.txt").write_text("\n".join(" ".join(words) for _ in range(3)))
    found = [train_wordpiece(open_texts(tmp_path / "a.txt"), 90, max_length=8).get_vocab() for _ in range(4)]
    assert len(found[0]) == 90
    assert all(vocabulary == found[0] for vocabulary in found)


def test_characters_take_at_most_their_share(tmp_path):
    (tmp_path / "a.txt").write_text(
        "".join(chr(0x4E00 + n) * (200 - n) for n in range(150)), encoding="utf-8"
    )
    vocabulary = train_wordpiece(open_texts(tmp_path / "a.txt"), 100, max_length=8).get_vocab()
    assert {token for token in vocabulary if len(token) == 1} == {chr(0x4E00 + n) for n in range(75)}


def test_capitals_can_stay(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("Der Stuhl der Frau\n" * 9)
    tokenizer = train_wordpiece(open_texts(path), 100, max_length=32, lowercase=False)
    assert tokenizer.tokenize("Der der") == ["Der", "der"]
