from __future__ import annotations

import pytest
import torch

from tellapart.errors import RecipeError
from tellapart.objectives import CrossEntropy
from tellapart.training.arguments import TrainingArguments
from tellapart.training.learning import learning_names, only_learning
from tellapart.training.trainer import Trainer


def test_patterns_choose_parameters_by_their_names(tiny_model):
    names = learning_names(tiny_model(), ["classifier.*", "bert.encoder.layer.1.output.dense.?ias"])
    assert names == ["bert.encoder.layer.1.output.dense.bias", "classifier.weight", "classifier.bias"]


def test_a_pattern_that_fits_nothing_is_refused(tiny_model):
    with pytest.raises(RecipeError, match="no parameter is called"):
        learning_names(tiny_model(), ["classifier.*", "encoder.*"])


def test_only_the_chosen_parameters_change_and_all_can_learn_afterwards(tiny_model, rows, tmp_path):
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    arguments = TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, max_steps=3, learning_rate=0.01, save_strategy="no"
    )
    with only_learning(model, ["bert.encoder.layer.1.*", "classifier.*"]):
        Trainer(model, arguments, train_dataset=rows()).train()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(("bert.encoder.layer.1.", "classifier.")) for name in changed)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_encoder_of_which_nothing_learns_runs_without_dropout(tiny_model, rows):
    from tellapart.training.module import ObjectiveModel

    model, batch = tiny_model(dropout=0.5), rows().batch(range(8))
    module = ObjectiveModel(model, CrossEntropy()).train()
    assert model.base_model.training
    with only_learning(model, ["classifier.*"]):
        module.train()
        assert not model.base_model.training
        assert model.classifier.training
        assert module(**batch)["loss"].requires_grad
