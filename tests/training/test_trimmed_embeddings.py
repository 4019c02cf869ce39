"""Leaving out the token embeddings that no row uses: the same model, whatever is evaluated or saved on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn
from transformers import AutoModelForSequenceClassification

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.training.arguments import TrainingArguments
from tellapart.training.trainer import Trainer
from tellapart.training.trimmed_embeddings import TrimmedEmbedding, trimmed_embeddings, used_tokens

UNUSED = range(20, 40)


@pytest.fixture
def few_words(rows) -> TokenisedDataset:
    data = rows()
    tokens = data.columns["input_ids"].numpy().copy()
    tokens[tokens >= 20] -= 10
    tokens[tokens >= 20] -= 10
    return TokenisedDataset({"input_ids": tokens}, data.lengths.numpy(), data.labels.numpy())


def _trainer(model: Any, data: TokenisedDataset, folder: Path, **options: Any) -> Trainer:
    evaluated = options.pop("eval_dataset", None)
    callbacks = options.pop("callbacks", None)
    defaults = {
        "output_dir": str(folder),
        "use_cpu": True,
        "per_device_train_batch_size": 8,
        "num_train_epochs": 3,
        "learning_rate": 5e-3,
        "weight_decay": 0.3,
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    arguments = TrainingArguments(**defaults | options)
    return Trainer(model, arguments, train_dataset=data, eval_dataset=evaluated, callbacks=callbacks)


def _assert_same_weights(first: nn.Module, second: nn.Module) -> None:
    expected = second.state_dict()
    for name, value in first.state_dict().items():
        torch.testing.assert_close(value, expected[name], atol=2e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"perturbation": "fgm"},
        {"perturbation": "random"},
        {"gradient_accumulation_steps": 2},
        {"gradient_cache": 4},
        {"optim": "adamw_torch", "lr_scheduler_type": "cosine"},
        {"max_grad_norm": 0.01},
    ],
    ids=str,
)
def test_training_gives_the_weights_that_it_gives_with_the_whole_table(
    tiny_model, few_words, tmp_path, options
):
    models = {}
    for trim in (True, False):
        models[trim] = tiny_model(dropout=0.0)
        _trainer(models[trim], few_words, tmp_path, trim_embeddings=trim, **options).train()
    _assert_same_weights(models[True], models[False])
    before = tiny_model(dropout=0.0).get_input_embeddings().weight[UNUSED.start :]
    after = models[True].get_input_embeddings().weight[UNUSED.start :]
    assert (after.abs() < 0.999 * before.abs()).all()  # weight decay, and not by rounding alone


def test_only_the_rows_in_use_are_parameters_of_the_optimiser(tiny_model, few_words, tmp_path):
    sizes = []

    class Watch(transformers.TrainerCallback):
        def on_train_begin(self, args, state, control, optimizer=None, **_):
            groups = optimizer.param_groups
            sizes.append({len(each) for group in groups for each in group["params"] if each.shape[-1] == 16})

    model = tiny_model()
    _trainer(model, few_words, tmp_path, callbacks=[Watch()]).train()
    used = len(used_tokens(few_words, model.get_input_embeddings().padding_idx))
    assert used in sizes[0]
    assert model.config.vocab_size not in sizes[0]
    assert type(model.get_input_embeddings()) is nn.Embedding


def test_evaluation_in_training_sees_words_that_are_not_in_use(tiny_model, few_words, rows, tmp_path):
    losses = []
    for trim in (True, False):
        trainer = _trainer(
            tiny_model(dropout=0.0),
            few_words,
            tmp_path,
            eval_dataset=rows(),
            eval_strategy="epoch",
            trim_embeddings=trim,
        )
        trainer.train()
        losses.append([entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry])
    assert len(losses[0]) == 3
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_a_checkpoint_has_the_whole_table_and_training_goes_on_from_it(tiny_model, few_words, tmp_path):
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 4}
    whole = tiny_model(dropout=0.0)
    _trainer(whole, few_words, tmp_path / "whole", trim_embeddings=False, **options).train()
    for name in ("whole", "trimmed"):
        if name == "trimmed":
            _trainer(tiny_model(dropout=0.0), few_words, tmp_path / name, **options).train()
    saved = [
        AutoModelForSequenceClassification.from_pretrained(tmp_path / name / "checkpoint-8")
        for name in ("trimmed", "whole")
    ]
    _assert_same_weights(saved[0], saved[1])
    resumed = tiny_model(dropout=0.0)
    _trainer(resumed, few_words, tmp_path / "trimmed", **options).train(
        resume_from_checkpoint=str(tmp_path / "trimmed" / "checkpoint-8")
    )
    _assert_same_weights(resumed, whole)


def test_the_best_checkpoint_comes_back_whole(tiny_model, few_words, rows, tmp_path):
    found = []
    for trim in (True, False):
        model = tiny_model(dropout=0.0)
        trainer = _trainer(
            model,
            few_words,
            tmp_path / str(trim),
            eval_dataset=rows(seed=1),
            eval_strategy="steps",
            save_strategy="steps",
            eval_steps=4,
            save_steps=4,
            learning_rate=0.05,
            load_best_model_at_end=True,
            trim_embeddings=trim,
        )
        trainer.train()
        assert trainer.state.best_model_checkpoint != str(tmp_path / str(trim) / "checkpoint-24")
        found.append(model)
    _assert_same_weights(found[0], found[1])


def test_a_second_training_goes_on_with_the_embeddings(tiny_model, few_words, tmp_path):
    model = tiny_model()
    trainer = _trainer(model, few_words, tmp_path)
    trainer.train()
    between = model.get_input_embeddings().weight.detach().clone()
    trainer.train()
    assert not torch.equal(model.get_input_embeddings().weight[10:20], between[10:20])


def test_an_interrupted_training_leaves_the_whole_table(tiny_model, few_words, tmp_path):
    class Interrupt(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            raise KeyboardInterrupt

    model = tiny_model()
    before = model.get_input_embeddings().weight.detach().clone()
    with pytest.raises(KeyboardInterrupt):
        _trainer(model, few_words, tmp_path, callbacks=[Interrupt()]).train()
    after = model.get_input_embeddings()
    assert type(after) is nn.Embedding
    assert not torch.equal(after.weight[10:20], before[10:20])


@pytest.mark.parametrize("why", ["sgd", "own optimiser", "frozen", "most words", "shared"])
def test_a_table_that_cannot_be_trimmed_stays_whole(tiny_model, few_words, rows, tmp_path, why):
    model, options = tiny_model(), {"optim": "sgd"} if why == "sgd" else {}
    table = model.get_input_embeddings()
    if why == "frozen":
        table.weight.requires_grad_(False)
    if why == "shared":
        model.also = nn.Linear(16, 40)
        model.also.weight = table.weight
    seen = []

    class Watch(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **_):
            seen.append(model.get_input_embeddings())

    data = rows() if why == "most words" else few_words
    trainer = _trainer(model, data, tmp_path, callbacks=[Watch()], max_steps=1, **options)
    if why == "own optimiser":
        trainer.create_optimizer()
    trainer.train()
    assert seen == [table]


def test_in_training_an_unused_word_is_refused_and_in_evaluation_it_is_known(tiny_model, few_words):
    model = tiny_model()
    with trimmed_embeddings(model, few_words) as trimmed:
        assert isinstance(trimmed, TrimmedEmbedding)
        ids = torch.tensor([[UNUSED.start]])
        with pytest.raises(IndexError):
            trimmed.train()(ids)
        assert torch.equal(trimmed.eval()(ids)[0, 0], trimmed.whole.weight[UNUSED.start])
