"""Label texts as anchors: rows of view −1, for terms that compare rows and for no other."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from tellapart.objectives import (
    CrossEntropy,
    EncodedBatch,
    LabelDistance,
    NegativeSupervision,
    NegativeSupervisionCrossEntropy,
    NegativeSupervisionMargin,
    RDrop,
    RunFacts,
    SupervisedContrastive,
)

LABELS = [0, 1, 2, 0, 1, 2, 0, 1, 2]
VIEWS = [0, 0, 0, 1, 1, 1, -1, -1, -1]


@pytest.fixture
def anchored() -> EncodedBatch:
    """Three texts of three classes in two views, and an anchor for each class."""
    return EncodedBatch(
        logits=torch.randn(9, 3, dtype=torch.float64),
        representation=torch.randn(9, 4, dtype=torch.float64),
        labels=torch.tensor(LABELS),
        views=torch.tensor(VIEWS),
        weights=torch.tensor([1.0] * 6 + [0.0] * 3),
    )


def test_supcon_with_anchors_agrees_with_a_loop(anchored):
    vectors = anchored.representation
    units = (vectors / vectors.norm(dim=1, keepdim=True)).tolist()

    def score(i, j):
        return sum(a * b for a, b in zip(units[i], units[j], strict=True)) / 0.1

    losses = []
    for i in range(9):
        positives = [j for j in range(9) if LABELS[j] == LABELS[i] and j != i]
        assert len(positives) == 2  # the second view and the anchor; for an anchor both views
        whole = math.log(sum(math.exp(score(i, j)) for j in range(9) if j != i))
        losses.append(-sum(score(i, j) - whole for j in positives) / len(positives))
    loss = SupervisedContrastive(temperature=0.1)(anchored)["supervised_contrastive"].item()
    assert loss == pytest.approx(sum(losses) / 9, rel=1e-12)


def test_an_anchor_gives_every_text_a_positive(make_batch):
    batch = make_batch([0, 1], vectors=torch.eye(2))
    assert SupervisedContrastive()(batch)["supervised_contrastive"] == 0  # there are no pairs of a class
    anchored = EncodedBatch(
        torch.zeros(4, 2),
        torch.eye(2).repeat(2, 1),
        torch.tensor([0, 1, 0, 1]),
        torch.tensor([0, 0, -1, -1]),
        torch.tensor([1.0, 1, 0, 0]),
    )
    # Cosine 1 with the anchor, 0 with the two rows of the other class.
    expected = math.log(math.exp(1 / 0.3) + 2) - 1 / 0.3
    assert SupervisedContrastive()(anchored)["supervised_contrastive"].item() == pytest.approx(expected)


@pytest.mark.parametrize(
    "objective",
    [
        SupervisedContrastive(),
        LabelDistance("uniform", projection_size=None),
        NegativeSupervision("all"),
        NegativeSupervisionMargin("all"),
        NegativeSupervisionCrossEntropy("all"),
    ],
    ids=lambda objective: objective.name,
)
def test_terms_that_compare_rows_use_anchors_like_any_row(anchored, objective):
    objective.prepare(RunFacts(3, 4, total_evaluations=10))
    plain = replace(anchored, views=torch.zeros(9, dtype=torch.int64), weights=None)
    torch.testing.assert_close(objective(anchored), objective(plain))
    texts = anchored.without_anchors()
    assert objective(texts)[objective.name] != objective(anchored)[objective.name]


@pytest.mark.parametrize("objective", [CrossEntropy(), CrossEntropy(both_views=True), RDrop()])
def test_losses_of_single_rows_do_not(anchored, objective):
    texts = replace(anchored.without_anchors(), weights=None)
    torch.testing.assert_close(objective(anchored), objective(texts))


def test_r_drop_takes_the_weights_of_rows(make_batch):
    logits = torch.randn(4, 2, dtype=torch.float64)
    both = make_batch([0, 1, 0, 1], logits=logits, views=2, dtype=torch.float64)
    parts = [
        RDrop()(make_batch([0, 0], logits=logits[row::2], views=2, dtype=torch.float64))["r_drop"]
        for row in (0, 1)
    ]
    weighted = replace(both, weights=torch.tensor([1.0, 0.5, 1.0, 0.5]))
    torch.testing.assert_close(RDrop()(weighted)["r_drop"], (parts[0] + 0.5 * parts[1]) / 2)
