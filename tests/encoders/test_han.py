from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoModel, AutoModelForSequenceClassification

from tellapart.data.examples import LabelSpace
from tellapart.encoders.han import (
    AttentiveGRU,
    HANConfig,
    HANForSequenceClassification,
    HANModel,
    sentence_layout,
)
from tellapart.encoders.loading import load_encoder
from tellapart.encoders.transformer import RepresentationTap, final_linear, has_dropout

SEP = 2
LIMITS = {"max_sentence_length": 4, "max_sentences": 3}


def _model(**options: Any) -> HANForSequenceClassification:
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "embedding_size": 8, "gru_size": 5, "num_labels": 3} | LIMITS
    return HANForSequenceClassification(HANConfig(**sizes | options)).eval()


MODEL = _model()


def _sentences(tokens: list[int]) -> list[list[int]]:
    sentences: list[list[int]] = [[]]
    for token in tokens:
        if token == SEP or len(sentences[-1]) == LIMITS["max_sentence_length"]:
            sentences.append([])
        if token != SEP:
            sentences[-1].append(token)
    return [sentence for sentence in sentences if sentence][: LIMITS["max_sentences"]]


def _attended(layer: AttentiveGRU, vectors: Tensor) -> Tensor:
    states = layer.gru(vectors)[0]
    scores = torch.stack([torch.tanh(layer.projection(state)) @ layer.context for state in states])
    weights = scores.exp() / scores.exp().sum()
    return sum(weight * state for weight, state in zip(weights, states, strict=True))


def _v(tokens: list[int]) -> Tensor:
    """v of one document by a loop over its sentences."""
    han = MODEL.han
    sentences = _sentences(tokens)
    if not sentences:
        return torch.zeros(10)
    read = [_attended(han.words, han.embeddings(torch.tensor(sentence))) for sentence in sentences]
    return _attended(han.sentences, torch.stack(read))


def _batch(texts: list[list[int]], width: int | None = None) -> dict[str, Tensor]:
    width = max(map(len, texts)) if width is None else width
    ids = torch.tensor([text + [0] * (width - len(text)) for text in texts], dtype=torch.long)
    mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts], dtype=torch.long)
    return {"input_ids": ids.view(len(texts), width), "attention_mask": mask.view(len(texts), width)}


DOCUMENTS = [
    [5, 6, SEP, 7, 8, 9],
    [],
    [SEP, SEP],
    [10],
    [SEP, 11, 12, SEP, SEP, 13, SEP],
    list(range(20, 30)),  # longer than two sentences may be
    [5, SEP, 6, SEP, 7, SEP, 8, SEP, 9],  # more sentences than are read
]


def test_v_is_that_of_loops_over_documents_and_sentences():
    pooled = MODEL.han(**_batch(DOCUMENTS)).pooler_output
    assert pooled.shape == (7, 10)
    torch.testing.assert_close(
        pooled, torch.stack([_v(tokens) for tokens in DOCUMENTS]), atol=1e-5, rtol=1e-5
    )
    assert (pooled[1:3] == 0).all()


def test_gradients_are_those_of_the_loops():
    parameters = [*MODEL.han.parameters()]
    packed = torch.autograd.grad((MODEL.han(**_batch(DOCUMENTS)).pooler_output ** 2).sum(), parameters)
    looped = torch.autograd.grad(sum((_v(tokens) ** 2).sum() for tokens in DOCUMENTS), parameters)
    for own, expected in zip(packed, looped, strict=True):
        torch.testing.assert_close(own, expected, atol=1e-5, rtol=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(
        st.lists(st.one_of(st.just(SEP), st.integers(3, 39)), max_size=14), min_size=1, max_size=4
    ),
    padding=st.integers(0, 5),
    left=st.booleans(),
)
def test_padding_and_company_change_nothing(texts, padding, left):
    width = max(map(len, texts)) + padding
    batch = _batch(texts, width)
    if left:
        batch = {
            name: torch.stack([row.roll(width - len(text)) for row, text in zip(value, texts, strict=True)])
            for name, value in batch.items()
        }
    with torch.no_grad():
        together = MODEL(**batch).logits
        for row, text in enumerate(texts):
            alone = MODEL(**_batch([text])).logits[0]
            torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=1e-5)


def test_long_sentences_go_on_as_the_next_and_words_behind_the_last_sentence_are_counted():
    batch = _batch(DOCUMENTS)
    layout = sentence_layout(MODEL.config, batch["input_ids"], batch["attention_mask"].bool())
    assert layout.sentence_lengths.tolist() == [2, 3, 1, 2, 1, 4, 4, 2, 1, 1, 1]
    assert layout.document_lengths.tolist() == [2, 0, 0, 1, 2, 3, 3]
    assert layout.lost.tolist() == [0, 0, 0, 0, 0, 0, 2]


def test_attentions_sum_to_one_and_lie_on_the_words():
    batch = _batch(DOCUMENTS)
    words, sentences = MODEL(**batch, output_attentions=True).attentions
    assert words.shape == sentences.shape == batch["input_ids"].shape
    is_word = (batch["input_ids"] != SEP) & batch["attention_mask"].bool()
    assert ((words > 0) <= is_word).all()
    torch.testing.assert_close(words[0, :2].sum(), torch.tensor(1.0))
    torch.testing.assert_close(words[0, 3:6].sum(), torch.tensor(1.0))
    torch.testing.assert_close((words * sentences).sum(1), torch.tensor([1.0, 0, 0, 1, 1, 1, 1]))
    assert MODEL(**batch).attentions is None


def test_a_batch_of_empty_documents_has_a_gradient_everywhere():
    model = _model().train()
    for width in (0, 3):
        model.zero_grad()
        model(**_batch([[], []], width)).logits.sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_bf16_autocast_leaves_the_recurrence_in_float32():
    batch = _batch(DOCUMENTS)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        pooled = MODEL.han(**batch).pooler_output
    assert torch.equal(pooled, MODEL.han(**batch).pooler_output)


def test_the_auto_classes_load_what_was_saved(tmp_path):
    MODEL.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    batch = _batch(DOCUMENTS)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    base = AutoModel.from_pretrained(tmp_path)
    assert isinstance(loaded, HANForSequenceClassification)
    assert isinstance(base, HANModel)
    with torch.no_grad():
        assert torch.equal(loaded(**batch).logits, MODEL(**batch).logits)
        assert torch.equal(base(**batch).pooler_output, MODEL.base_model(**batch).pooler_output)
    again = load_encoder(str(tmp_path), LabelSpace(("a", "b")))
    assert torch.equal(again.han.words.context, MODEL.han.words.context)
    assert again.classifier.weight.shape == (2, 10)


@pytest.mark.parametrize("classes", [3, 10])
def test_v_is_the_final_layers_input_also_where_the_attention_is_as_wide(classes):
    model = _model(num_labels=classes)
    assert final_linear(model) is model.classifier
    tap = RepresentationTap(model.train())
    model(**_batch(DOCUMENTS))
    assert tap.take().shape == (7, 10)
    assert has_dropout(model)
