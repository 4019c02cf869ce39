"""The module that the trainer optimises, and what it leaves on the classifier."""

from __future__ import annotations

import copy
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from tellapart.objectives import CrossEntropy, NegativeSupervision
from tellapart.objectives.base import RunFacts
from tellapart.training.arguments import TrainingArguments
from tellapart.training.module import ObjectiveModel
from tellapart.training.trainer import Trainer

TEXT = {"input_ids": torch.tensor([[3, 4, 5]])}


@pytest.fixture
def trainer(rows, tmp_path) -> Any:
    def make(model: Any, folder: Path = tmp_path, **options: Any) -> Trainer:
        arguments = TrainingArguments(
            output_dir=str(folder),
            use_cpu=True,
            max_steps=2,
            learning_rate=0.01,
            save_strategy="no",
            disable_tqdm=True,
            **options,
        )
        objective = CrossEntropy() + NegativeSupervision()
        return Trainer(model, arguments, objective=objective, train_dataset=rows())

    return make


def _hooks(model: Any) -> int:
    return sum(len(module._forward_pre_hooks) + len(module._forward_hooks) for module in model.modules())


def test_a_trained_model_can_be_copied_after_a_forward_pass_and_keeps_no_graph(tiny_model, trainer):
    model = tiny_model(pooling="stock")
    trainer(model).train()
    model.train()
    graph = []
    model.classifier.register_forward_pre_hook(lambda _, inputs: graph.append(weakref.ref(inputs[0])))
    logits = model(**TEXT).logits
    copied = copy.deepcopy(model)
    assert graph[0]() is not None
    del logits
    assert graph[0]() is None
    torch.testing.assert_close(copied.eval()(**TEXT).logits, model.eval()(**TEXT).logits)


def test_a_model_that_is_trained_often_has_the_hooks_of_one_training(tiny_model, trainer):
    model = tiny_model()
    first = trainer(model)
    first.train()
    once = _hooks(model)
    trainer(model).train()
    assert _hooks(model) == once
    first.train()  # still works
    copied = copy.deepcopy(model)
    trainer(copied).train()
    assert _hooks(copied) == _hooks(model) == once


def _out_of_memory(*_: Any) -> None:
    raise MemoryError


def test_a_pass_that_fails_leaves_nothing(tiny_model, rows):
    model = tiny_model(pooling="stock")
    objective = CrossEntropy()
    module = ObjectiveModel(model, objective).train()
    refusing = model.classifier.register_forward_hook(_out_of_memory)
    with pytest.raises(MemoryError):
        module(**rows().batch([0, 1]))
    refusing.remove()
    held = []
    model.classifier.register_forward_pre_hook(lambda _, inputs: held.append(weakref.ref(inputs[0])))
    model(**TEXT)
    assert held[0]() is None
    assert module(**rows().batch([0, 1]))["loss"].isfinite()


@pytest.mark.parametrize("way", ["checkpointed", "compiled"])
def test_checkpointing_and_compilation_change_no_gradient(tiny_model, rows, way):
    batch, found = rows().batch(range(12)), []
    for changed in (False, True):
        model = tiny_model(dropout=0.0)
        objective = CrossEntropy() + NegativeSupervision()
        objective.prepare(RunFacts(3, 16))
        module: Any = ObjectiveModel(model, objective).train()
        if changed and way == "checkpointed":
            getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
        run = torch.compile(module, backend="eager") if changed and way == "compiled" else module
        run(**batch)["loss"].backward()
        found.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient)
