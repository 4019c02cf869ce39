from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tellapart.data.batches.tokenising import tokenise
from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.encoders.cache import cached_representations
from tellapart.encoders.loading import load_encoder, load_tokenizer
from tellapart.encoders.scoring import represent
from tellapart.encoders.transformer import final_linear
from tellapart.errors import ModelError


@pytest.fixture
def model_and_rows(tiny_encoder, tickets):
    model = load_encoder(tiny_encoder, LabelSpace(("a", "b", "c")))
    texts = [text for text, _ in tickets[:20]]
    return model, tokenise(TextSplit(texts), load_tokenizer(tiny_encoder), max_length=16)


def test_vectors_are_those_of_the_encoder_and_are_computed_once(model_and_rows, tmp_path, monkeypatch):
    model, rows = model_and_rows
    first = cached_representations(model, rows, tmp_path / "vectors")
    assert isinstance(first, np.memmap)
    np.testing.assert_array_equal(first, represent(model, rows))
    with torch.no_grad():  # the classifier has no part in the vectors
        final_linear(model).weight.zero_()
    monkeypatch.setattr("tellapart.encoders.cache.represent", None)
    np.testing.assert_array_equal(cached_representations(model, rows, tmp_path / "vectors"), first)


def test_vectors_of_another_encoder_are_refused(model_and_rows, tmp_path):
    model, rows = model_and_rows
    cached_representations(model, rows, tmp_path / "vectors")
    with torch.no_grad():
        next(model.parameters())[0, 0] += 1e-6
    with pytest.raises(ModelError, match="another model or from other rows"):
        cached_representations(model, rows, tmp_path / "vectors")


def test_vectors_of_other_rows_or_precision_and_damaged_ones_are_refused(model_and_rows, tmp_path):
    model, rows = model_and_rows
    cached_representations(model, rows, tmp_path / "vectors")
    with pytest.raises(ModelError):
        cached_representations(model, rows, tmp_path / "vectors", bf16=True)
    description = tmp_path / "vectors" / "cache.json"
    description.write_text(json.dumps({"rows": 20}))
    with pytest.raises(ModelError):
        cached_representations(model, rows, tmp_path / "vectors")
    rows.columns["input_ids"][0] += 1
    description.unlink()
    assert len(cached_representations(model, rows, tmp_path / "vectors")) == 20


def test_a_failure_leaves_nothing_behind(model_and_rows, tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tellapart.encoders.cache.represent", fail)
    with pytest.raises(KeyboardInterrupt):
        cached_representations(*model_and_rows, tmp_path / "vectors")
    assert list(tmp_path.iterdir()) == []
