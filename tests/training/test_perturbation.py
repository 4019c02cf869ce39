from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from tellapart.errors import RecipeError
from tellapart.objectives import CrossEntropy
from tellapart.training.arguments import TrainingArguments
from tellapart.training.perturbation import EmbeddingPerturbation, token_embeddings
from tellapart.training.trainer import Trainer


def _bert(vocabulary: int = 3, width: int = 2) -> BertForSequenceClassification:
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=4,
        max_position_embeddings=8,
    )
    return BertForSequenceClassification(config)


def test_fgm_moves_along_the_gradient_by_its_size_and_back_to_the_same_bits():
    model = _bert()
    (table,) = token_embeddings(model)
    before = table.detach().clone()
    table.grad = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    with EmbeddingPerturbation(model, "fgm", 1.0).applied(0):
        torch.testing.assert_close(table - before, torch.tensor([[0.0, 0.0], [0.6, 0.8], [0.0, 0.0]]))
    assert torch.equal(table, before)


def test_the_norm_is_one_over_the_whole_table():
    model = _bert()
    (table,) = token_embeddings(model)
    before = table.detach().clone()
    table.grad = torch.tensor([[2.0, 0.0], [0.0, -2.0], [2.0, 2.0]])
    with EmbeddingPerturbation(model, "fgm", 0.5).applied(0):
        assert torch.linalg.vector_norm(table - before).item() == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize("kind", ["fgm", "random"])
@pytest.mark.parametrize("gradient", [0.0, float("nan"), float("inf"), None])
def test_nothing_moves_without_a_finite_gradient(kind, gradient):
    model = _bert()
    (table,) = token_embeddings(model)
    before = table.detach().clone()
    table.grad = None if gradient is None else torch.full_like(table, gradient)
    with EmbeddingPerturbation(model, kind, 1.0).applied(0):
        moved = not torch.equal(table, before)
    # A random direction needs to know only which tokens there are.
    assert moved == (kind == "random" and gradient not in (0.0, None))
    assert torch.equal(table, before)


def test_random_directions_repeat_by_seed_and_step_and_spare_absent_tokens():
    model = _bert()
    (table,) = token_embeddings(model)
    before = table.detach().clone()
    table.grad = torch.tensor([[1.0, 1.0], [0.0, 0.0], [5.0, 1.0]])

    def change(seed: int, step: int) -> torch.Tensor:
        with EmbeddingPerturbation(model, "random", 2.0, seed).applied(step):
            return (table - before).detach().clone()

    first = change(0, 0)
    assert torch.equal(first, change(0, 0))
    assert not torch.equal(first, change(0, 1))
    assert not torch.equal(first, change(1, 0))
    assert torch.equal(first[1], torch.zeros(2))
    assert torch.linalg.vector_norm(first).item() == pytest.approx(2.0, rel=1e-5)


def test_weights_come_back_when_the_pass_fails():
    model = _bert()
    (table,) = token_embeddings(model)
    before = table.detach().clone()
    table.grad = torch.ones_like(table)
    with pytest.raises(RuntimeError), EmbeddingPerturbation(model, "fgm", 1.0).applied(0):
        raise RuntimeError
    assert torch.equal(table, before)


def test_a_step_is_the_sum_of_the_clean_and_the_perturbed_gradient(tiny_model, rows, tmp_path):
    """Against the same two passes by hand, with plain SGD."""
    data = rows(count=8)
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        use_cpu=True,
        max_steps=1,
        per_device_train_batch_size=8,
        learning_rate=0.1,
        lr_scheduler_type="constant",
        optim="sgd",
        max_grad_norm=0,
        save_strategy="no",
        logging_steps=1,
        perturbation="fgm",
        perturbation_size=0.5,
    )
    model, reference = tiny_model(dropout=0.0), tiny_model(dropout=0.0)
    trainer = Trainer(model, arguments, objective=CrossEntropy(), train_dataset=data)
    trainer.train()
    batch = data.batch(range(8))
    labels = batch.pop("labels")
    torch.nn.functional.cross_entropy(reference(**batch).logits, labels).backward()
    clean = {
        name: value.grad.clone() for name, value in reference.named_parameters() if value.grad is not None
    }
    table = reference.get_input_embeddings().weight
    before = table.detach().clone()
    with torch.no_grad():
        table += 0.5 * table.grad / torch.linalg.vector_norm(table.grad)
    reference.zero_grad()
    torch.nn.functional.cross_entropy(reference(**batch).logits, labels).backward()
    with torch.no_grad():
        table.copy_(before)
        for name, value in reference.named_parameters():
            if value.grad is not None:
                value -= 0.1 * (clean[name] + value.grad)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, reference.state_dict()[name], atol=1e-6, rtol=1e-4)
    assert trainer.state.log_history[0]["loss_perturbed"] > trainer.state.log_history[0]["loss"]


def test_an_unknown_perturbation_is_refused(tiny_model, rows, tmp_path):
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, perturbation="pgd")
    with pytest.raises(RecipeError, match="no perturbation"):
        Trainer(tiny_model(), arguments, train_dataset=rows())
