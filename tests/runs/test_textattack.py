from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from tellapart.errors import MissingDependencyError
from tellapart.fitting.fit import load_fitted
from tellapart.recipes import with_values
from tellapart.runs.textattack import textattack_wrapper
from tellapart.runs.train import train


class ModelWrapper:
    """Stands for TextAttack's base class of what an attack can call."""

    def __call__(self, text_input_list, **kwargs):
        raise NotImplementedError


@pytest.fixture
def textattack(monkeypatch):
    modules = {name: types.ModuleType(name) for name in ("textattack", "textattack.models")}
    modules["textattack.models.wrappers"] = types.ModuleType("textattack.models.wrappers")
    modules["textattack.models.wrappers"].ModelWrapper = ModelWrapper
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def model(recipe, tmp_path):
    train(with_values(recipe, ["stages.0.epochs=1"]), tmp_path / "run", quiet=True)
    return tmp_path / "run"


def test_the_wrapper_gives_the_probabilities_of_the_model(textattack, model, tickets):
    wrapper = textattack_wrapper(model)
    assert isinstance(wrapper, ModelWrapper)
    texts = [text for text, _ in tickets[:5]]
    probabilities = wrapper(texts)
    assert probabilities.shape == (5, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    from transformers import pipeline

    classify = pipeline("text-classification", str(model / "model"), top_k=None)
    names = load_fitted(model).labels.names
    for row, scores in zip(probabilities, classify(texts), strict=True):
        stock = {score["label"]: score["score"] for score in scores}
        np.testing.assert_allclose(row, [stock[name] for name in names], atol=1e-4)
    assert wrapper.model.config.num_labels == 3
    assert wrapper.tokenizer is not None
    assert wrapper([]).shape == (0, 3)


def test_pairs_of_texts_are_scored_as_pairs(textattack, model):
    wrapper = textattack_wrapper(model)
    pairs, flat = wrapper([("my card", "was lost")]), wrapper(["my card was lost"])
    assert pairs.shape == (1, 3)
    assert not np.allclose(pairs, flat)


def test_without_textattack_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "textattack", None)
    with pytest.raises(
        MissingDependencyError, match=r"needs the package textattack.*: pip install textattack\."
    ):
        textattack_wrapper(tmp_path)
