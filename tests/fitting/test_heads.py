from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import nn

from tellapart.data.examples import LabelSpace, TextData, TextSplit
from tellapart.encoders.loading import load_encoder, load_tokenizer
from tellapart.fitting import heads
from tellapart.fitting.fit import fit
from tellapart.fitting.heads import start_at_frequencies
from tellapart.fitting.rows import load_data
from tellapart.fitting.tasks import Task
from tellapart.recipes import Recipe, method_recipe, with_values


@pytest.fixture
def topics() -> TextData:
    """Of 20 texts all are on cards, a quarter are on theft, and one label never occurs."""
    labels = [["card", "theft"] if number % 4 == 0 else ["card"] for number in range(20)]
    split = TextSplit(
        [f"my {'debit' if number % 2 else 'credit'} card" for number in range(20)], labels=labels
    )
    names = ("card", "fraud", "theft")
    return TextData(split, split, None, LabelSpace(names, "multi_label_classification"))


def test_rare_labels_start_rare_and_no_share_is_infinitely_sure(topics, tiny_encoder):
    model = load_encoder(tiny_encoder, topics.labels)
    start_at_frequencies(model, Task.of(topics, load_tokenizer(tiny_encoder), 16, "skip"))
    shares = expit(model.classifier.bias.detach().double().numpy())
    np.testing.assert_allclose(shares, [1 - 0.5 / 21, 0.5 / 21, 5.5 / 21], rtol=1e-6)


@pytest.mark.parametrize("start", ["random", "probe"])
def test_a_random_start_of_several_labels_is_at_their_shares(topics, tiny_encoder, tmp_path, start):
    settings = [f"encoder.name={tiny_encoder}", "encoder.max_length=16", f"stages.0.start={start}"]
    still = ["stages.0.epochs=1", "stages.0.learning_rate=1e-12", "stages.0.head_learning_rate=1e-12"]
    fitted = fit(with_values(Recipe(), [*settings, *still]), topics, tmp_path, quiet=True)
    share = torch.sigmoid(fitted.model.classifier.bias[2]).item()
    assert (abs(share - 5.5 / 21) < 1e-4) == (start == "random")


@pytest.mark.parametrize("selection", ["last", "best"])
def test_a_head_trained_by_epochs_keeps_the_selected_one(recipe, tmp_path, monkeypatch, selection):
    epochs = iter(range(9))
    monkeypatch.setattr(
        heads, "_judged", lambda *_: (-abs(next(epochs) - 1), 0.0)
    )  # the second one is the best
    settings = ["stages.0.solver=adamw", "stages.0.epochs=5", f"stages.0.selection={selection}"]
    chosen = with_values(method_recipe("frozen", recipe), settings)
    assert fit(chosen, load_data(chosen), tmp_path, quiet=True).shares == (
        (1.0,) if selection == "last" else (0.4,)
    )


def test_every_class_has_a_row_in_the_first_classifier(monkeypatch):
    monkeypatch.setattr(heads, "PROBE_ROWS", 4)
    labels = torch.arange(30) % 10
    rows = heads._start_rows(labels, seed=0)
    drawn = np.random.default_rng(0).permutation(30)[:4].tolist()
    assert rows[:4].tolist() == drawn
    assert sorted(labels[rows[4:]].tolist()) == sorted(set(range(10)) - set(labels[drawn].tolist()))
    assert heads._start_rows(labels.double(), seed=0).tolist() == drawn  # targets
    assert heads._start_rows(nn.functional.one_hot(labels), seed=0).tolist() == drawn  # several labels
