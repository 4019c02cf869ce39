from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tellapart.errors import RecipeError
from tellapart.objectives import AuxiliaryLabels, CrossEntropy, RDrop, RunFacts
from tellapart.training.head import Head, train_head


@pytest.fixture
def points():
    random = np.random.default_rng(0)
    centres = random.normal(size=(3, 8)).astype(np.float32) * 2
    labels = random.integers(0, 3, 120)
    return centres[labels] + random.normal(size=(120, 8)).astype(np.float32) * 0.3, torch.from_numpy(labels)


def test_it_is_adamw_on_a_fresh_layer_step_by_step(points):
    vectors, labels = points
    head = train_head(vectors, labels, 3, CrossEntropy(), epochs=2, batch_size=50, learning_rate=0.01, seed=7)
    generator = torch.Generator().manual_seed(7)
    layer = nn.Linear(8, 3)
    with torch.no_grad():
        layer.weight.normal_(std=0.02, generator=generator)
        layer.bias.zero_()
    weights = torch.optim.AdamW([layer.weight], lr=0.01, weight_decay=0.01)
    biases = torch.optim.AdamW([layer.bias], lr=0.01, weight_decay=0.0)
    step = 0
    for _ in range(2):
        order = torch.randperm(120, generator=generator)
        for start in range(0, 120, 50):
            rows = order[start : start + 50]
            loss = nn.functional.cross_entropy(layer(torch.from_numpy(vectors)[rows]), labels[rows])
            for optimizer in (weights, biases):
                optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / 6)
                optimizer.zero_grad()
            loss.backward()
            weights.step()
            biases.step()
            step += 1
    np.testing.assert_allclose(head.weight, layer.weight.detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(head.bias, layer.bias.detach().numpy(), atol=1e-6)
    assert head.epochs == 2


@pytest.mark.parametrize(("keep_last", "kept"), [(False, 2), (True, 4)])
def test_the_best_epoch_is_kept_and_of_equal_ones_the_first_or_the_last_epoch(points, keep_last, kept):
    vectors, labels = points
    scores = iter([(0.5, 0.0), (0.9, -1.0), (0.9, -1.0), (0.9, -2.0)])
    head = train_head(
        vectors,
        labels,
        3,
        CrossEntropy(),
        epochs=4,
        judge=lambda logits: next(scores),
        validation=vectors[:10],
        keep_last=keep_last,
    )
    assert head.epochs == kept
    assert [entry["eval_score"] for entry in head.log] == [0.5, 0.9, 0.9, 0.9]
    losses = [entry["loss"] for entry in head.log]
    assert losses == sorted(losses, reverse=True)


def test_several_labels_are_learned_too(points):
    vectors, labels = points
    hot = torch.eye(3)[labels]
    head = train_head(vectors, hot, 3, CrossEntropy(), epochs=30, learning_rate=0.05)
    assert ((head.logits(vectors) > 0) == (hot.numpy() > 0.5)).mean() > 0.95


def test_vectors_are_read_in_pieces(monkeypatch):
    monkeypatch.setattr("tellapart.training.head._ROWS_A_PIECE", 3)
    head = Head(np.eye(2, dtype=np.float32), np.zeros(2, dtype=np.float32))
    vectors = np.arange(14, dtype=np.float32).reshape(7, 2)
    np.testing.assert_array_equal(head.logits(vectors), vectors)
    assert head.logits(vectors[:0]).shape == (0, 2)


@pytest.mark.parametrize("objective", [RDrop(), AuxiliaryLabels(5)])
def test_what_needs_more_than_vectors_is_refused(points, objective):
    objective.prepare(RunFacts(num_labels=3, hidden_size=8))
    with pytest.raises(RecipeError, match="classifier alone"):
        train_head(*points, 3, objective)
