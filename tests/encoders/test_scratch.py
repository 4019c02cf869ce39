from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.encoders.loading import load_classifier
from tellapart.encoders.scratch import (
    build_encoder,
    build_tokenizer,
    learns_from_scratch,
    texts_of,
    truncation_notes,
)
from tellapart.encoders.transformer import labels_of, save_classifier
from tellapart.errors import ModelError

LABELS = LabelSpace(("lost", "stolen"), "multi_label_classification")
TEXTS = ["my card was lost. where is it", "my card was stolen! a thief has it"] * 3


@pytest.fixture
def file(tmp_path):
    """Vectors of three words of the texts and of one more."""
    path = tmp_path / "vectors.txt"
    path.write_text("card 1 2 3\nlost 4 5 6\nthief 7 8 9\nbank -1 -2 -3\n")
    return str(path)


@pytest.mark.parametrize(("name", "width", "size"), [("textcnn", 300, 300), ("han", 100, 200)])
def test_an_encoder_has_the_papers_sizes_and_the_tasks_classes(name, width, size):
    model, tokenizer, notes = build_encoder(name, LABELS, TEXTS)
    assert labels_of(model) == LABELS
    assert model.classifier.weight.shape == (2, width)
    assert model.get_input_embeddings().weight.shape == (len(tokenizer), size)
    assert (model.get_input_embeddings().weight[0] == 0).all()
    assert notes == (f"A vocabulary of {len(tokenizer)} tokens was learned from 6 texts.",)
    assert learns_from_scratch(model.config)
    logits = model(**tokenizer(["my card", ""], return_tensors="pt", padding=True)).logits
    assert logits.shape == (2, 2)


def test_only_han_reads_sentences():
    assert "[SEP]" in build_tokenizer("han", TEXTS).tokenize(TEXTS[0])
    assert "[SEP]" not in build_tokenizer("textcnn", TEXTS).tokenize(TEXTS[0])


@pytest.mark.parametrize("embeddings", ["random", "cbow"])
def test_a_seed_decides_the_start(embeddings):
    if embeddings == "cbow":
        pytest.importorskip("gensim")
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        model = build_encoder("textcnn", LABELS, TEXTS, embeddings=embeddings, seed=seed).model
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())
    name = "textcnn.embeddings.weight"
    assert not torch.equal(states[0][name], states[2][name])


def test_cbow_learns_from_further_texts_which_add_no_words():
    pytest.importorskip("gensim")
    options = {"embeddings": "cbow", "embedding_size": 8}
    alone = build_encoder("han", LABELS, TEXTS, **options)
    further = build_encoder("han", LABELS, TEXTS, further_texts=["my thief was stolen"] * 9, **options)
    assert alone.tokenizer.get_vocab() == further.tokenizer.get_vocab()
    weights = [built.model.get_input_embeddings().weight for built in (alone, further)]
    assert not torch.equal(*weights)
    assert (weights[1][0] == 0).all()


def test_given_vectors_reach_their_words_and_bring_words_of_their_own(file):
    pytest.importorskip("gensim")
    model, tokenizer, notes = build_encoder("textcnn", LABELS, TEXTS, embeddings=file)
    weight = model.get_input_embeddings().weight.detach().numpy()
    rows = tokenizer.get_vocab()
    np.testing.assert_array_equal(weight[rows["lost"]], [4, 5, 6])
    np.testing.assert_array_equal(weight[rows["bank"]], [-1, -2, -3])
    assert (weight[0] == 0).all()
    learned = len(tokenizer) - 4  # three special tokens and a word of the file alone
    assert f"3 of {learned} tokens of the texts ({3 / learned:.0%}) have a vector in" in notes[1]
    assert "1 further words of it joined" in notes[1]
    full = build_encoder("textcnn", LABELS, TEXTS, embeddings=file, vocabulary_size=8)
    assert len(full.tokenizer) == 8


def test_vectors_that_do_not_fit_are_one_sentence(file):
    pytest.importorskip("gensim")
    with pytest.raises(ModelError, match="3 dimensions and embedding_size is 200"):
        build_encoder("han", LABELS, TEXTS, embeddings=file, embedding_size=200)
    with pytest.raises(ModelError, match=r"none of the .* tokens"):
        build_encoder("han", LABELS, ["ganz andere Wörter", "andere Wörter"], embeddings=file)
    with pytest.raises(ModelError, match="no file of word vectors at glove"):
        build_encoder("han", LABELS, TEXTS, embeddings="glove")
    with pytest.raises(ModelError, match="choose from textcnn, han"):
        build_encoder("minilm", LABELS, TEXTS)


@pytest.mark.parametrize("name", ["textcnn", "han"])
def test_a_saved_classifier_comes_back_with_its_tokeniser(name, tmp_path):
    built = build_encoder(name, LABELS, ["我的卡丢了。在哪里", "我的卡被偷了！小偷拿走了"] * 12)
    model = built.model.eval()
    save_classifier(model, tmp_path, built.tokenizer)
    loaded, tokenizer = load_classifier(tmp_path)
    text = "卡丢了！我的卡"
    assert tokenizer(text) == built.tokenizer(text)
    inputs = tokenizer([text, "我"], return_tensors="pt", padding=True)
    with torch.no_grad():
        assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)


def test_documents_that_are_not_read_to_their_end_are_reported():
    documents = TextSplit(["one. two. three. four", "one. two"] * 300)
    model, tokenizer, _ = build_encoder("han", LABELS, documents.texts)
    rows = tokenise(documents, tokenizer, max_length=64)
    assert truncation_notes(model, rows) == ()
    model.config.max_sentences = 2
    (note,) = truncation_notes(model, rows)
    # Behind the second full stop: "three", its full stop and "four".
    assert note == "300 of 600 training documents have more than 2 sentences; 900 words are not read."
    model.config = dataclasses.replace(model.config, max_sentences=3)
    assert "300 words" in truncation_notes(model, rows)[0]
    assert truncation_notes(build_encoder("textcnn", LABELS, TEXTS).model, rows) == ()


def test_both_texts_of_pairs_are_learned_from():
    assert texts_of(TextSplit(["a"], ["b"])) == ["a", "b"]
    assert texts_of(TextSplit(["a"])) == ["a"]
    assert texts_of(None) == []
