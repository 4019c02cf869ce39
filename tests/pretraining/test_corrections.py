from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tellapart.errors import RecipeError
from tellapart.pretraining.corrections import (
    CorrectionRates,
    discriminator_labels,
    hard_correction,
    masked_mean_cross_entropy,
    sentence_regularisation,
    soft_regularisation,
)
from tellapart.pretraining.synonyms import SynonymTable

SIZE = 6


@pytest.fixture
def table() -> SynonymTable:
    """1 has the synonyms 2 and 3; 4 has 1."""
    pairs = [(1, 2), (1, 3), (4, 1)]
    return SynonymTable(
        keys=torch.tensor([gold * SIZE + predicted for gold, predicted in pairs]),
        vocabulary_size=SIZE,
        vocabulary_fingerprint="",
        source="by hand",
    )


def test_labels_whose_prediction_is_a_synonym_are_ignored(table):
    labels = torch.tensor([[1, 1, 1, 1], [4, 2, -100, 5]])
    predictions = torch.tensor([[2, 1, 4, 3], [1, 1, 2, 0]])
    corrected = hard_correction(labels, predictions, table)
    assert corrected.tolist() == [[-100, 1, 1, -100], [-100, 2, -100, 5]]
    assert labels[0, 0] == 1  # a copy
    flat = hard_correction(labels.flatten(), predictions.flatten(), table)
    assert torch.equal(flat, corrected.flatten())


def test_another_ignored_index_than_the_usual_one(table):
    labels, predictions = torch.tensor([1, 4, 1]), torch.tensor([2, 1, 1])
    assert hard_correction(labels, predictions, table, ignore_index=4).tolist() == [4, 4, 1]
    rates = CorrectionRates()
    rates.update(labels[None], predictions[None], table, ignore_index=4)
    assert rates.counts.tolist() == [1, 1, 1, 1]


def test_a_corrected_position_gets_no_gradient_and_leaves_the_mean(table):
    logits = torch.randn(3, SIZE, requires_grad=True)
    labels = torch.tensor([1, 4, 5])
    loss = masked_mean_cross_entropy(logits, hard_correction(labels, torch.tensor([3, 2, 5]), table))
    loss.backward()
    assert loss.item() == pytest.approx(functional.cross_entropy(logits[1:], labels[1:]).item(), rel=1e-6)
    assert logits.grad[0].count_nonzero() == 0
    assert logits.grad[1:].abs().sum(1).gt(0).all()


def test_mean_cross_entropy_by_hand():
    logits = torch.tensor([[[0.0, 0.0], [3.0, 1.0]], [[math.log(3.0), 0.0], [9.0, 9.0]]])
    labels = torch.tensor([[0, -100], [0, -100]])
    expected = (math.log(2) + math.log(4 / 3)) / 2
    assert masked_mean_cross_entropy(logits, labels).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("positions", [0, 4])
def test_without_a_label_the_loss_and_its_gradient_are_zero(positions):
    logits = torch.randn(positions, SIZE, requires_grad=True)
    loss = masked_mean_cross_entropy(logits, torch.full((positions,), -100))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_half_precision_is_summed_in_float32():
    logits = torch.randn(50, 1000).bfloat16()
    labels = torch.randint(1000, (50,))
    loss = masked_mean_cross_entropy(logits, labels)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(functional.cross_entropy(logits.float(), labels).item(), rel=1e-6)
    assert masked_mean_cross_entropy(logits.double(), labels).dtype == torch.float64


WORDS = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0], [0.0, 0.0]])


def test_soft_regularisation_by_hand():
    labels = torch.tensor([[0, 1, -100], [-100, 2, -100]])
    predictions = torch.tensor([[1, 1, 2], [0, 0, 3]])
    # 1 − cos of (1, 0) and (0, 2), of a word and itself, of (3, 4) and (1, 0)
    assert soft_regularisation(WORDS, labels, predictions).item() == pytest.approx((1 + 0 + 0.4) / 3)


def test_soft_regularisation_agrees_with_a_loop():
    weight = torch.randn(20, 8, dtype=torch.float64)
    labels, predictions = torch.randint(20, (40,)), torch.randint(20, (40,))
    labels[::3] = -100
    total = [
        1 - functional.cosine_similarity(weight[w], weight[r], dim=0).item()
        for w, r in zip(labels.tolist(), predictions.tolist(), strict=True)
        if w != -100
    ]
    loss = soft_regularisation(weight, labels, predictions)
    assert loss.item() == pytest.approx(sum(total) / len(total), rel=1e-12)


@pytest.mark.parametrize("sparse", [False, True])
def test_only_the_rows_of_wrong_predictions_get_a_gradient(sparse):
    weight = torch.randn(8, 3, requires_grad=True)
    labels, predictions = torch.tensor([1, 5, -100, 1]), torch.tensor([2, 5, 6, 7])
    soft_regularisation(weight, labels, predictions, sparse=sparse).backward()
    assert weight.grad.is_sparse == sparse
    gradient = weight.grad.to_dense()
    assert gradient.abs().sum(1).nonzero().flatten().tolist() == [1, 2, 7]


def test_gradients_of_soft_regularisation_are_right():
    weight = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    labels, predictions = torch.tensor([0, 1, 1, 5, -100]), torch.tensor([2, 2, 4, 5, 3])
    assert torch.autograd.gradcheck(lambda w: soft_regularisation(w, labels, predictions), weight)


@pytest.mark.parametrize("labels", [[2, 1], [-100, -100], []])
def test_nothing_to_regularise_is_zero_with_a_zero_gradient(labels):
    weight = WORDS.clone().requires_grad_()
    loss = soft_regularisation(
        weight, torch.tensor(labels).long(), torch.tensor([2, 1][: len(labels)]).long()
    )
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(weight.grad, torch.zeros_like(weight))


def test_a_word_whose_embedding_is_zero_costs_one_and_has_a_gradient_of_ordinary_size():
    weight = WORDS.clone().requires_grad_()
    loss = soft_regularisation(weight, torch.tensor([0]), torch.tensor([3]))
    loss.backward()
    assert loss.item() == 1
    assert weight.grad.abs().max() <= 1


def test_sentence_regularisation_by_hand_and_its_direction():
    substituted = torch.zeros(1, 1, 2)  # softmax (.5, .5)
    original = torch.tensor([[[0.9, 0.1]]]).log()
    one = torch.ones(1, 1, dtype=torch.long)
    forwards = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    backwards = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert sentence_regularisation(substituted, original, one).item() == pytest.approx(forwards, rel=1e-5)
    assert sentence_regularisation(original, substituted, one).item() == pytest.approx(backwards, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_sentence_regularisation_agrees_with_a_loop_and_leaves_padding_out(dtype):
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    p, s = torch.randn(2, 3, 5).to(dtype), torch.randn(2, 3, 5).to(dtype)
    total = 0.0
    for row, position in mask.nonzero().tolist():
        ps = p[row, position].double().softmax(0).tolist()
        ss = s[row, position].double().softmax(0).tolist()
        total += sum(a * math.log(a / b) for a, b in zip(ps, ss, strict=True))
    loss = sentence_regularisation(p, s, mask)
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert loss.item() == pytest.approx(total / 4, rel=1e-5)
    p[1, 1:] = 1e4
    assert torch.equal(sentence_regularisation(p, s, mask), loss)


def test_equal_sentences_cost_nothing_and_no_token_neither():
    hidden = torch.randn(2, 3, 4)
    assert sentence_regularisation(hidden, hidden, torch.ones(2, 3)).item() == 0
    assert sentence_regularisation(hidden, hidden.flip(0), torch.zeros(2, 3)).item() == 0


@pytest.mark.parametrize("detach", [True, False])
def test_the_original_sentence_is_a_target_unless_asked_otherwise(detach):
    p, s = torch.randn(1, 2, 3, requires_grad=True), torch.randn(1, 2, 3, requires_grad=True)
    sentence_regularisation(p, s, torch.ones(1, 2), detach_original=detach).backward()
    assert p.grad.count_nonzero()
    assert (s.grad is None) == detach


def test_a_sampled_synonym_counts_as_original(table):
    original = torch.tensor([[1, 1, 1, 4], [4, 5, 0, 2]])
    sampled = torch.tensor([[2, 1, 5, 1], [0, 5, 0, 1]])
    assert discriminator_labels(original, sampled).tolist() == [[1, 0, 1, 1], [1, 0, 0, 1]]
    assert discriminator_labels(original, sampled, table).tolist() == [[0, 0, 1, 0], [1, 0, 0, 1]]


LABELS = torch.tensor([[1, -100, 1], [4, 2, -100], [5, -100, 5], [-100, -100, -100]])
PREDICTIONS = torch.tensor([[2, 2, 3], [1, 1, 1], [5, 5, 0], [1, 1, 1]])


def test_correction_rates_by_hand(table):
    rates = CorrectionRates()
    assert (rates.prediction_level, rates.iteration_level) == (0, 0)
    rates.update(LABELS, PREDICTIONS, table)
    # corrected: (1, 2), (1, 3), (4, 1); wrong beside them: (2, 1), (5, 0); in the first two of four sequences
    assert rates.counts.tolist() == [3, 5, 2, 4]
    assert rates.prediction_level == pytest.approx(3 / 5)
    assert rates.iteration_level == pytest.approx(2 / 4)
    rates.update(LABELS[2:], PREDICTIONS[2:], table)
    assert rates.counts.tolist() == [3, 6, 2, 6]
    rates.reset()
    assert rates.counts.tolist() == [0, 0, 0, 0]


def test_masked_positions_alone_give_the_same_rates(table):
    masked = LABELS != -100
    rates = CorrectionRates()
    rates.update(LABELS[masked], PREDICTIONS[masked], table, rows=masked.nonzero()[:, 0], sequences=4)
    assert rates.counts.tolist() == [3, 5, 2, 4]


def test_masked_positions_without_their_sequences_are_refused(table):
    with pytest.raises(RecipeError, match="give rows and sequences"):
        CorrectionRates().update(LABELS.flatten(), PREDICTIONS.flatten(), table)
