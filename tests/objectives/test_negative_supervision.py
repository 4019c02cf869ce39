from __future__ import annotations

import math

import pytest
import torch

from tellapart.errors import RecipeError
from tellapart.objectives import (
    NegativeSupervision,
    NegativeSupervisionCrossEntropy,
    NegativeSupervisionMargin,
    ordinal_distance,
)

METHODS = [NegativeSupervision, NegativeSupervisionMargin, NegativeSupervisionCrossEntropy]
VECTORS = [[1, 0], [0, 1], [-1, 0], [3, 4]]
LABELS = [0, 1, 1, 0]


def loss_of(objective, batch):
    return objective(batch)[objective.name]


def cosine(a, b):
    lengths = math.hypot(*a) * math.hypot(*b)
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def expected_by_loop(method, vectors, labels, weights=None):
    """All three losses with every negative and every positive in turn."""

    def weight(i, j):
        return 1.0 if weights is None else weights[labels[i]][labels[j]]

    anchors = []
    for i, anchor in enumerate(vectors):
        negatives = [j for j in range(len(vectors)) if labels[j] != labels[i]]
        positives = [j for j in range(len(vectors)) if labels[j] == labels[i] and j != i]
        if not negatives or (method is not NegativeSupervision and not positives):
            continue
        mean = sum(weight(i, j) * (1 + cosine(anchor, vectors[j])) for j in negatives) / len(negatives)
        if method is NegativeSupervision:
            anchors.append(mean)
            continue
        terms = []
        for k in positives:
            positive = cosine(anchor, vectors[k])
            if method is NegativeSupervisionMargin:
                terms.append(max(0.0, 0.4 - (1 + positive) + mean))
            else:
                others = sum(weight(i, j) * math.exp(cosine(anchor, vectors[j])) for j in negatives)
                terms.append(-math.log(math.exp(positive) / (math.exp(positive) + others)))
        anchors.append(sum(terms) / len(terms))
    return sum(anchors) / len(anchors) if anchors else 0.0


def test_mean_of_all_negatives_on_placed_vectors(make_batch):
    batch = make_batch(LABELS, vectors=VECTORS)
    assert loss_of(NegativeSupervision("all"), batch).item() == pytest.approx(0.8)


def test_margin_on_placed_vectors(make_batch):
    batch = make_batch(LABELS, vectors=VECTORS)
    assert loss_of(NegativeSupervisionMargin(samples=3), batch).item() == pytest.approx(0.2)


def test_cross_entropy_of_one_anchor_on_placed_vectors(make_batch):
    # Row 3 is the only other row of class 0, so that beside anchor 0 it alone has a loss.
    batch = make_batch([0, 1, 2, 0], vectors=VECTORS)
    anchors = [0.56002, -math.log(math.exp(0.6) / (math.exp(0.6) + math.exp(0.8) + math.exp(-0.6)))]
    loss = loss_of(NegativeSupervisionCrossEntropy(samples=3), batch)
    assert loss.item() == pytest.approx(sum(anchors) / 2, abs=1e-5)


def test_cross_entropy_cannot_fall_below_its_floor(make_batch):
    batch = make_batch([0] * 4 + [1] * 4, vectors=[[1.0, 0.0]] * 4 + [[-1.0, 0.0]] * 4)
    assert loss_of(NegativeSupervisionCrossEntropy(samples=4), batch).item() == pytest.approx(
        0.3408, abs=1e-4
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_losses_agree_with_a_loop(make_batch, method, weighted, dtype):
    vectors = torch.randn(9, 4, dtype=dtype)
    labels = [0, 1, 2, 0, 1, 2, 0, 0, 3]  # class 3 has no positive
    weights = ordinal_distance(4, tau=3.0).fill_diagonal_(0) if weighted else None
    loss = loss_of(method("all", label_distance=weights), make_batch(labels, vectors=vectors, dtype=dtype))
    assert loss.dtype == dtype
    expected = expected_by_loop(method, vectors.tolist(), labels, weights.tolist() if weighted else None)
    assert loss.item() == pytest.approx(expected, rel=1e-5 if dtype == torch.float32 else 1e-12)


def test_sampling_has_the_expectation_of_taking_all(make_batch):
    torch.manual_seed(0)
    batch = make_batch([0, 0, 0, 1, 1, 1, 2, 2] * 2, vectors=torch.randn(16, 5))
    objective = NegativeSupervision(samples=4)
    draws = torch.stack([loss_of(objective, batch) for _ in range(500)])
    assert draws.std() > 0
    assert draws.mean().item() == pytest.approx(loss_of(NegativeSupervision("all"), batch).item(), rel=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_one_class_gives_zero_with_a_zero_gradient(make_batch, method):
    batch = make_batch([1, 1, 1], vectors=torch.randn(3, 2))
    batch.representation.requires_grad_()
    loss = loss_of(method(), batch)
    loss.backward()
    assert loss == 0
    assert (batch.representation.grad == 0).all()


def test_hard_takes_the_most_similar_negatives(make_batch):
    # To anchor 0 the negatives have cosines 0, -1 and 0.6; the others have one negative each.
    batch = make_batch([0, 1, 1, 1], vectors=VECTORS)
    loss = loss_of(NegativeSupervision(samples=1, hard=True), batch)
    assert loss.item() == pytest.approx((1.6 + 1.0 + 0.0 + 1.6) / 4)


def test_hard_ranks_by_weight_too(make_batch):
    weights = [[1.0, 1.0, 9.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    batch = make_batch([0, 1, 2], vectors=[[1, 0], [1, 0], [0, 1]])
    # Anchor 0 takes row 2, 9 · 1 > 1 · 2; anchor 1 takes row 0; anchor 2 either, at 1.
    loss = loss_of(NegativeSupervision(samples=1, hard=True, label_distance=weights), batch)
    assert loss.item() == pytest.approx((9 + 2 + 1) / 3)


def test_gradients_reach_both_rows_of_a_pair(make_batch):
    batch = make_batch([0, 1, 1], vectors=torch.randn(3, 4, dtype=torch.float64), dtype=torch.float64)
    batch.representation.requires_grad_()
    cosine_of_pair = torch.nn.functional.cosine_similarity
    # Row 0 with either other row, as anchor and as negative: (mean + s_01 + s_02) / 3.
    v = batch.representation
    s = [1 + cosine_of_pair(v[0], v[j], dim=0) for j in (1, 2)]
    (expected,) = torch.autograd.grad(((s[0] + s[1]) / 2 + s[0] + s[1]) / 3, v)
    (gradient,) = torch.autograd.grad(loss_of(NegativeSupervision("all"), batch), v)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("method", METHODS)
def test_weight_zero_switches_a_pair_of_classes_off(make_batch, method):
    weights = [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    labels, vectors = [0, 0, 1, 1], torch.randn(4, 3)
    batch = make_batch(labels, vectors=vectors)
    batch.representation.requires_grad_()
    loss = loss_of(method("all", label_distance=weights), batch)
    loss.backward()
    assert batch.representation.grad.isfinite().all()
    expected = expected_by_loop(method, vectors.tolist(), labels, weights)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_disjoint_spares_rows_that_share_a_label(make_batch):
    batch = make_batch([[1, 1, 0], [0, 1, 0], [0, 0, 1]], vectors=[[1, 0], [0, 1], [1, 0]])
    assert loss_of(NegativeSupervision("all"), batch).item() == pytest.approx((1.5 + 1 + 1.5) / 3)
    disjoint = NegativeSupervision("all", different="disjoint")
    assert loss_of(disjoint, batch).item() == pytest.approx((2 + 1 + 1.5) / 3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", [{"samples": 0}, {"samples": "some"}, {"different": "equal"}])
def test_options_out_of_range_are_refused(method, options):
    with pytest.raises(RecipeError):
        method(**options)


def test_comparing_with_a_positive_takes_two_samples():
    with pytest.raises(RecipeError):
        NegativeSupervisionMargin(samples=1)
    with pytest.raises(RecipeError):
        NegativeSupervisionCrossEntropy(temperature=0)


def test_weights_of_another_size_are_refused(prepared):
    with pytest.raises(RecipeError, match="3 classes"):
        prepared(NegativeSupervision(label_distance=torch.ones(3, 3)), num_labels=2)
