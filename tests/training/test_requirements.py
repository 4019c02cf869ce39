from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.errors import DataError, RecipeError
from tellapart.objectives import CrossEntropy, MeanSquaredError, NegativeSupervision, RDrop
from tellapart.training.arguments import TrainingArguments
from tellapart.training.evaluating import evaluation_loss
from tellapart.training.requirements import (
    check_late_views,
    check_objective,
    check_tokens,
    class_counts,
    default_objective,
    has_numbers,
    total_evaluations,
)
from tellapart.training.trainer import Trainer


def rows(labels):
    count = len(labels)
    return TokenisedDataset({"input_ids": np.ones(count, int)}, np.ones(count, int), np.asarray(labels))


@pytest.mark.parametrize("objective", [CrossEntropy(), MeanSquaredError() + NegativeSupervision()])
def test_objectives_over_classes_are_refused_for_numbers(objective):
    with pytest.raises(RecipeError, match="needs classes, but the labels are numbers"):
        check_objective(objective, None, rows([0.5, 1.5]))


def test_squared_errors_are_refused_for_classes():
    with pytest.raises(RecipeError, match="needs numeric labels, but the labels are classes"):
        check_objective(MeanSquaredError(), None, rows([0, 1]))


@pytest.mark.parametrize(
    "options",
    [
        {"eval_strategy": "steps", "eval_steps": 4},
        {"eval_strategy": "steps", "eval_steps": 5},
        {"eval_strategy": "steps", "eval_steps": 0.3},
        {"eval_strategy": "epoch"},
        {},
    ],
)
def test_as_many_evaluations_are_announced_as_there_are(tiny_model, tmp_path, options):
    shared = {"output_dir": str(tmp_path), "use_cpu": True, "report_to": "none", "disable_tqdm": True}
    args = TrainingArguments(
        **shared, **options, max_steps=10, per_device_train_batch_size=2, save_strategy="no"
    )
    data = TokenisedDataset({"input_ids": np.arange(5, 19)}, np.full(7, 2), np.asarray([0, 1, 0, 1, 0, 1, 0]))
    trainer = Trainer(tiny_model(), args, train_dataset=data, eval_dataset=data)
    trainer.train()
    evaluations = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    assert total_evaluations(args, data) == len(evaluations)


def test_two_passes_over_a_frozen_encoder_are_refused(tiny_model):
    model = tiny_model()
    model.base_model.requires_grad_(False)
    check_objective(CrossEntropy(), model, None)
    with pytest.raises(RecipeError, match="identical for a frozen encoder"):
        check_objective(RDrop(), model, None)


def test_numbers_are_told_from_class_ids_and_multi_hot_rows():
    assert has_numbers(torch.tensor([0.0, 1.0]))
    assert not has_numbers(torch.tensor([0, 1]))
    assert not has_numbers(torch.tensor([[0.0, 1.0]]))
    assert class_counts(rows([0.5, 1.5]), 1) is None


def test_thedefault_objective_is_that_of_the_problem_type():
    for problem_type, outputs, kind in (
        ("regression", 1, MeanSquaredError),
        (None, 1, MeanSquaredError),
        (None, 3, CrossEntropy),
        ("single_label_classification", 1, CrossEntropy),
    ):
        model = SimpleNamespace(config=SimpleNamespace(problem_type=problem_type, num_labels=outputs))
        assert isinstance(default_objective(model), kind)


def test_the_loss_of_an_evaluation_follows_the_labels():
    logits = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    cross_entropy = -(logits.log_softmax(1)[0, 0] + logits.log_softmax(1)[1, 1]) / 2
    assert evaluation_loss(logits, torch.tensor([0, 1])) == pytest.approx(float(cross_entropy))
    binary = -(logits[0, 0].sigmoid().log() + (1 - logits[0, 1].sigmoid()).log())
    assert evaluation_loss(logits[:1], torch.tensor([[1.0, 0.0]])) == pytest.approx(float(binary))
    assert evaluation_loss(torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 3.5])) == pytest.approx(0.625)


def test_rows_that_all_have_the_same_tokens_are_refused():
    same = TokenisedDataset(
        {"input_ids": np.array([1, 2, 1, 2, 1, 2])}, np.array([2, 2, 2]), np.array([0, 1, 0])
    )
    with pytest.raises(DataError, match="all 3 training rows have the same tokens"):
        check_tokens(same)
    check_tokens(TokenisedDataset({"input_ids": np.array([1, 2, 1, 2])}, np.array([1, 3]), np.array([0, 1])))
    check_tokens(TokenisedDataset({"input_ids": np.array([1, 2, 1, 3])}, np.array([2, 2]), np.array([0, 1])))
    check_tokens(TokenisedDataset({"input_ids": np.array([1])}, np.array([1]), np.array([0])))
    check_tokens(None)


def test_views_part_late_only_where_there_are_two_and_nothing_is_computed_again(tiny_model):
    model = tiny_model()
    check_late_views(0, CrossEntropy(), model, checkpointing=True)
    check_late_views(1, RDrop(), model, checkpointing=False)
    with pytest.raises(RecipeError, match="a single view"):
        check_late_views(1, CrossEntropy(), model, checkpointing=False)
    with pytest.raises(RecipeError, match="exclude each other"):
        check_late_views(1, RDrop(), model, checkpointing=True)
