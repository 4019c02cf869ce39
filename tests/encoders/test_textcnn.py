from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from tellapart.data.examples import LabelSpace
from tellapart.encoders.loading import load_encoder
from tellapart.encoders.textcnn import TextCNNConfig, TextCNNForSequenceClassification, TextCNNModel
from tellapart.encoders.transformer import RepresentationTap, has_dropout, set_classifier_dropout


def _model(**options: Any) -> TextCNNForSequenceClassification:
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "embedding_size": 8, "filters": 6, "num_labels": 3}
    return TextCNNForSequenceClassification(TextCNNConfig(**sizes | options)).eval()


MODEL = _model()


def _v(tokens: list[int]) -> Tensor:
    """v of one text by loops over filters and windows."""
    cnn = MODEL.textcnn
    values = []
    for width, convolution in zip((3, 4, 5), cnn.convolutions, strict=True):
        padded = tokens + [0] * (width - len(tokens))
        for weight, bias in zip(convolution.weight, convolution.bias, strict=True):
            answers = []
            for start in range(len(padded) - width + 1):
                answer = bias.clone()
                for place in range(width):
                    word = padded[start + place]
                    vector = cnn.embeddings.weight[word] if word else torch.zeros(8)
                    answer = answer + weight[:, place] @ vector
                answers.append(answer)
            values.append(torch.stack(answers).relu().max())
    return torch.stack(values)


def _batch(texts: list[list[int]], width: int) -> dict[str, Tensor]:
    ids = torch.tensor([text + [0] * (width - len(text)) for text in texts], dtype=torch.long)
    mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts], dtype=torch.long)
    return {"input_ids": ids.view(len(texts), width), "attention_mask": mask.view(len(texts), width)}


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 6, 12])
def test_v_is_that_of_loops_over_windows(length):
    torch.manual_seed(length)
    tokens = torch.randint(1, 40, (length,)).tolist()
    pooled = MODEL.textcnn(**_batch([tokens], length)).pooler_output
    assert pooled.shape == (1, 18)
    torch.testing.assert_close(pooled[0], _v(tokens), atol=1e-5, rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.lists(st.integers(1, 39), max_size=9), min_size=1, max_size=4),
    padding=st.integers(0, 7),
    where=st.sampled_from(["right", "left", "holes"]),
)
def test_padding_and_company_change_nothing(texts, padding, where):
    width = max(map(len, texts)) + padding
    batch = _batch(texts, width)
    if where == "left":
        batch = {
            name: torch.stack([row.roll(width - len(text)) for row, text in zip(value, texts, strict=True)])
            for name, value in batch.items()
        }
    elif where == "holes":  # a masked token in the midst of each text, which is not the padding id
        batch = {
            name: torch.cat([value[:, :1], torch.full((len(texts), 1), hole), value[:, 1:]], 1)
            for (name, value), hole in zip(batch.items(), (7, 0), strict=True)
        }
    with torch.no_grad():
        together = MODEL(**batch).logits
        for row, text in enumerate(texts):
            alone = MODEL(**_batch([text], len(text))).logits[0]
            torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=1e-5)


def test_a_missing_mask_means_that_the_padding_id_is_padding():
    batch = _batch([[3, 4, 5, 6, 7, 8], [9, 10]], 8)
    with torch.no_grad():
        assert torch.equal(MODEL(batch["input_ids"]).logits, MODEL(**batch).logits)


def test_windows_that_touch_padding_cannot_win():
    model = _model()
    with torch.no_grad():  # an answer to two words and a zero beats any to three words
        for convolution in model.textcnn.convolutions:
            convolution.weight.fill_(-1.0)
            convolution.bias.fill_(50.0)
        model.textcnn.embeddings.weight[1:] = 1.0
    batch = _batch([[3, 4, 5, 6, 7, 8]], 12)
    pooled = model.textcnn(**batch).pooler_output
    torch.testing.assert_close(pooled[0, ::6], torch.tensor([50.0 - 24, 50.0 - 32, 50.0 - 40]))


def test_the_auto_classes_load_what_was_saved(tmp_path):
    MODEL.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    batch = _batch([[3, 4, 5, 6], [9, 10]], 5)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert isinstance(loaded, TextCNNForSequenceClassification)
    assert AutoConfig.from_pretrained(tmp_path).hidden_size == 18
    base = AutoModel.from_pretrained(tmp_path)
    assert isinstance(base, TextCNNModel)
    with torch.no_grad():
        assert torch.equal(loaded(**batch).logits, MODEL(**batch).logits)
        assert torch.equal(base(**batch).pooler_output, MODEL.base_model(**batch).pooler_output)


def test_a_saved_classifier_serves_as_an_encoder_under_a_fresh_head(tmp_path):
    MODEL.save_pretrained(tmp_path)
    torch.manual_seed(5)
    again = load_encoder(str(tmp_path), LabelSpace(("a", "b", "c", "d")))
    assert again.classifier.weight.shape == (4, 18)
    for name, value in MODEL.base_model.state_dict().items():
        assert torch.equal(again.base_model.state_dict()[name], value), name


def test_the_stock_losses_are_there():
    batch = _batch([[3, 4], [5]], 3)
    logits = MODEL(**batch).logits
    labels = torch.tensor([0, 2])
    expected = torch.nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(MODEL(**batch, labels=labels).loss, expected)
    several = _model(problem_type="multi_label_classification")
    hot = torch.tensor([[1.0, 0, 1], [0, 0, 0]])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(several(**batch).logits, hot)
    torch.testing.assert_close(several(**batch, labels=hot).loss, expected)
    assert isinstance(MODEL(**batch, return_dict=False), tuple)


def test_rows_of_the_final_layer_are_shortened_to_the_largest_norm():
    model = _model()
    with torch.no_grad():
        model.classifier.weight.copy_(torch.randn(3, 18) * torch.tensor([[0.01], [1.0], [10.0]]))
    before = model.classifier.weight.detach().clone()
    model.constrain_()
    norms = model.classifier.weight.norm(dim=1)
    torch.testing.assert_close(norms[1:], torch.full((2,), 3.0))
    assert torch.equal(model.classifier.weight[0], before[0])
    torch.testing.assert_close(model.classifier.weight[2] / 3, before[2] / before[2].norm())
    free = _model(max_norm=None)
    with torch.no_grad():
        free.classifier.weight.fill_(10)
    free.constrain_()
    assert (free.classifier.weight == 10).all()


def test_v_is_read_before_the_dropout_and_two_views_of_it_differ():
    model = _model().train()
    tap = RepresentationTap(model)
    batch = _batch([[3, 4, 5, 6, 7, 8]], 6)
    vectors = []
    for _ in range(2):
        model(**batch)
        vectors.append(tap.take())
    assert vectors[0].shape == (1, 18)
    assert not torch.equal(*vectors)
    assert has_dropout(model)
    assert not has_dropout(_model(embedding_dropout=0.0))
    set_classifier_dropout(model, 0.25)
    assert (model.dropout.p, model.config.classifier_dropout) == (0.25, 0.25)
