"""Integrated gradients: their effects sum to the difference that they explain, in every encoder."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.encoders.loading import (
    load_encoder,
    load_fused_encoder,
    load_fused_tokenizer,
    load_tokenizer,
    load_windowed_encoder,
)
from tellapart.encoders.scratch import build_encoder
from tellapart.encoders.transformer import final_linear
from tellapart.encoders.words import learn_tokenizer
from tellapart.fitting.fitted import Fitted, TransformersScorer
from tellapart.inspection.word_effects import word_effects
from tellapart.inspection.word_gradients import TOLERANCE, integrated_gradients

pytest.importorskip("captum")

LABELS = LabelSpace(("lost", "stolen", "expired"))
TEXT = "my debit card was stolen by a thief. it is in his hands!"
LONG = " ".join([TEXT, "the credit card is missing"] * 6)


class BagOfWords(nn.Module):
    """Logits are sums of linear functions of the embeddings, so that integrated gradients are exact."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.embeddings, self.linear = nn.Embedding(size, 4), nn.Linear(4, 3)
        self.config = SimpleNamespace(model_type="bag")

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embeddings

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        vectors = self.embeddings(input_ids) * attention_mask[:, :, None]
        return SimpleNamespace(logits=self.linear(vectors.sum(1)))


def test_a_linear_bag_of_words_has_the_effects_computed_by_hand():
    torch.manual_seed(0)
    tokenizer = learn_tokenizer([TEXT] * 2)
    model = BagOfWords(len(tokenizer)).eval()
    ids = tokenizer("stolen card unknown")["input_ids"]
    inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
    found = integrated_gradients(model, tokenizer, 16, ["stolen card unknown"], inputs, 1, 0)
    table, weight = model.embeddings.weight, model.linear.weight
    by_hand = (table[ids] - table[tokenizer.pad_token_id]) @ (weight[1] - weight[0])
    assert found.effects == pytest.approx(by_hand.tolist(), abs=1e-5)
    assert [tuple(place) for place in found.places] == [(0, 0, 6), (0, 7, 11), (0, 12, 19)]


def _fitted(kind: str, encoder: str, labels: LabelSpace = LABELS) -> Fitted:
    torch.manual_seed(0)
    if kind in ("mean", "cls", "stock"):
        model, tokenizer = load_encoder(encoder, labels, pooling=kind), load_tokenizer(encoder)
    elif kind == "fused":
        model, tokenizer = load_fused_encoder([encoder] * 2, labels), load_fused_tokenizer([encoder] * 2)
    elif kind == "windowed":
        options = {"windows": "mean", "window_length": 16, "window_stride": 3}
        model, tokenizer = load_windowed_encoder(encoder, labels, **options)
    else:
        model, tokenizer, _ = build_encoder(kind, labels, [LONG] * 3)
    with torch.no_grad():
        final_linear(model).weight.mul_(5)
    return Fitted(TransformersScorer(model.eval(), tokenizer, 160 if kind == "windowed" else 60), labels)


@pytest.mark.parametrize("text", [TEXT, LONG, "card"])
@pytest.mark.parametrize("kind", ["mean", "cls", "stock", "fused", "windowed", "textcnn", "han"])
def test_effects_sum_to_the_difference_to_the_baseline_within_the_tolerance(kind, text, tiny_encoder):
    fitted = _fitted(kind, tiny_encoder)
    (found,) = word_effects(fitted, [text], attribution="gradients")
    logits = np.sort(fitted.scores(TextSplit([text]))[0])
    assert found.output == pytest.approx(logits[-1] - logits[-2], abs=1e-4)
    assert any(found.effects)
    # Tokens of a word may cancel out, so the words' absolute sum is at most that of the tokens.
    assert abs(found.error) <= 2 * TOLERANCE * sum(map(abs, found.effects)) + 1e-4
    assert not fitted.model.training
    assert all(parameter.grad is None for parameter in fitted.model.parameters())


def test_words_after_the_longest_input_have_no_effect_and_windows_read_them(tiny_encoder):
    cut, windowed = (_fitted(kind, tiny_encoder) for kind in ("mean", "windowed"))
    (first,), (second,) = (word_effects(one, [LONG], attribution="gradients") for one in (cut, windowed))
    assert first.words == second.words
    assert not any(first.effects[-10:])
    assert all(second.effects[-10:])


def test_more_steps_reduce_the_error(tiny_encoder):
    fitted = _fitted("cls", tiny_encoder)
    with torch.no_grad():
        fitted.model.get_input_embeddings().weight.mul_(20)
    errors = []
    for steps in (2, 8, 64):
        rows = fitted.tokenised(TextSplit([TEXT])).batch([0])
        found = integrated_gradients(fitted.model, fitted.tokenizer, 60, [TEXT], rows, 0, 1, steps=(steps,))
        errors.append(abs(sum(found.effects) - (found.output - found.baseline)))
    assert errors[2] < errors[1] < errors[0]


@pytest.mark.parametrize("kind", ["mean", "fused", "textcnn"])
def test_both_texts_of_a_pair_have_effects(kind, tiny_encoder):
    (found,) = word_effects(
        _fitted(kind, tiny_encoder), TextSplit(["my card"], ["was stolen"]), attribution="gradients"
    )
    assert found.words == ("my", "card", "was", "stolen")
    assert all(found.effects)


@pytest.mark.parametrize("problem", ["multi_label_classification", "regression"])
def test_a_single_output_is_explained(problem, tiny_encoder):
    labels = LabelSpace(("score",) if problem == "regression" else LABELS.names, problem)
    fitted = _fitted("mean", tiny_encoder, labels)
    (found,) = word_effects(fitted, [TEXT], attribution="gradients")
    assert found.output == pytest.approx(fitted.scores(TextSplit([TEXT]))[0].max(), abs=1e-4)
    assert found.against is None
