"""The moving average of the weights: what it is, where it is seen, and that it survives a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.errors import RecipeError
from tellapart.objectives import CrossEntropy, LabelDistance
from tellapart.training.arguments import TrainingArguments
from tellapart.training.averaging import AVERAGE_FILE, WeightAverage, average_decay
from tellapart.training.trainer import Trainer

ROWS, BATCH, EPOCHS = 32, 8, 3
STEPS = EPOCHS * ROWS // BATCH


class _Record(transformers.TrainerCallback):
    """Copies the weights after every optimiser step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []

    def on_optimizer_step(self, args, state, control, model=None, **_):
        self.steps.append({name: value.clone() for name, value in model.model.state_dict().items()})


@pytest.fixture
def few_words(rows) -> TokenisedDataset:
    """Rows that use half of the vocabulary, so that the embeddings are trimmed."""
    data = rows(ROWS)
    tokens = data.columns["input_ids"].numpy().copy()
    tokens[tokens >= 20] -= 10
    tokens[tokens >= 20] -= 10
    return TokenisedDataset({"input_ids": tokens}, data.lengths.numpy(), data.labels.numpy())


def _trainer(model: Any, data: TokenisedDataset, folder: Path, **options: Any) -> Trainer:
    rest = {key: options.pop(key) for key in ("callbacks", "eval_dataset", "objective") if key in options}
    defaults = {
        "output_dir": str(folder),
        "use_cpu": True,
        "per_device_train_batch_size": BATCH,
        "num_train_epochs": EPOCHS,
        "learning_rate": 5e-3,
        "weight_decay": 0.3,
        "save_strategy": "no",
        "disable_tqdm": True,
        "averaging": 0.5,
    }
    return Trainer(model, TrainingArguments(**defaults | options), train_dataset=data, **rest)


def _by_hand(steps: list[dict[str, torch.Tensor]], window: float) -> dict[str, torch.Tensor]:
    """The average from the definition, in float64."""
    average = {name: value.double() for name, value in steps[0].items()}
    for number, weights in enumerate(steps[1:], start=2):
        width = max(1.0, min(window, number))
        alpha = 2 / (width + 1)
        average = {name: (1 - alpha) * average[name] + alpha * weights[name].double() for name in average}
    return average


def _assert_close(model: nn.Module, expected: dict[str, torch.Tensor], atol: float = 1e-6) -> None:
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name].double(), atol=atol, rtol=1e-5, msg=name)


def _same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_decay_gives_the_mean_age_of_a_plain_mean_and_begins_without_memory():
    window = 20
    decay = average_decay(1000, window)
    ages = np.arange(10_000)
    assert np.sum((1 - decay) * decay**ages * ages) == pytest.approx((window - 1) / 2)
    assert average_decay(1, window) == 0
    assert average_decay(3, window) == average_decay(1000, 3)
    assert average_decay(50, 0.2) == 0


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_the_model_ends_with_the_average_that_is_computed_by_hand(tiny_model, few_words, tmp_path, share):
    model, record = tiny_model(), _Record()
    _trainer(model, few_words, tmp_path, averaging=share, trim_embeddings=False, callbacks=[record]).train()
    assert len(record.steps) == STEPS
    _assert_close(model, _by_hand(record.steps, share * STEPS))
    assert _same(model.state_dict(), record.steps[-1]) == (share * STEPS <= 1)


@pytest.mark.parametrize(
    "options",
    [{}, {"gradient_cache": 3}, {"perturbation": "fgm"}, {"gradient_accumulation_steps": 2}],
    ids=str,
)
def test_trimmed_embeddings_have_the_average_of_the_whole_table(tiny_model, few_words, tmp_path, options):
    """Including the rows that no text uses, which weight decay changes."""
    models, losses = {}, {}
    for trim in (True, False):
        models[trim] = tiny_model(dropout=0.0)
        trainer = _trainer(
            models[trim],
            few_words,
            tmp_path,
            trim_embeddings=trim,
            eval_dataset=few_words,
            eval_strategy="steps",
            eval_steps=2,
            **options,
        )
        trainer.train()
        losses[trim] = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    _assert_close(models[True], models[False].state_dict(), atol=2e-5)
    np.testing.assert_allclose(losses[True], losses[False], rtol=1e-4)
    start = tiny_model(dropout=0.0).get_input_embeddings().weight
    unused = models[True].get_input_embeddings().weight
    assert (unused[20:].abs() < 0.9999 * start[20:].abs()).all()


def test_evaluations_see_the_average_and_training_does_not(tiny_model, rows, few_words, tmp_path):
    """With words in the evaluated rows that no training row has."""
    weights, losses = {}, {}
    for name, options in (
        ("plain", {"averaging": None}),
        ("evaluated", {"eval_strategy": "steps", "eval_steps": 1, "eval_dataset": rows()}),
    ):
        record = _Record()
        model = tiny_model()
        trainer = _trainer(model, few_words, tmp_path, callbacks=[record], **options)
        trainer.train()
        weights[name] = record.steps
        losses[name] = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert all(_same(one, other) for one, other in zip(*weights.values(), strict=True))
    assert trainer.average is None
    assert trainer.evaluate()["eval_loss"] == pytest.approx(losses["evaluated"][-1], rel=1e-6)
    expected = tiny_model()
    expected.load_state_dict(
        {name: value.float() for name, value in _by_hand(weights["plain"][:4], 0.5 * STEPS).items()}
    )
    seen = _trainer(expected, few_words, tmp_path, eval_dataset=rows(), averaging=None).evaluate()
    assert losses["evaluated"][3] == pytest.approx(seen["eval_loss"], rel=1e-4)


def test_an_interrupted_training_resumes_to_the_same_bits(tiny_model, few_words, rows, tmp_path):
    options: dict[str, Any] = {
        "save_strategy": "steps",
        "save_steps": 3,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "eval_dataset": rows(),
        "objective": 0.5 * CrossEntropy() + 0.5 * LabelDistance("uniform", projection_size=4),
    }
    import copy

    models, histories = [], []
    for resumed in (None, "3", "9"):
        folder = tmp_path / ("whole" if resumed is None else f"from-{resumed}")
        own = {**options, "objective": copy.deepcopy(options["objective"])}
        model = tiny_model()
        trainer = _trainer(model, few_words, folder, **own)
        checkpoint = None if resumed is None else str(tmp_path / "whole" / f"checkpoint-{resumed}")
        trainer.train(resume_from_checkpoint=checkpoint)
        models.append(model.state_dict())
        histories.append([entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry])
    assert _same(models[0], models[1])
    assert _same(models[0], models[2])
    assert histories[0] == histories[1] == histories[2]


def test_a_checkpoint_holds_the_average_and_a_saved_model_does_not(tiny_model, few_words, tmp_path):
    trainer = _trainer(tiny_model(), few_words, tmp_path, save_strategy="steps", save_steps=6)
    trainer.train()
    assert (tmp_path / "checkpoint-6" / AVERAGE_FILE).is_file()
    trainer.save_model(str(tmp_path / "model"))
    assert not (tmp_path / "model" / AVERAGE_FILE).exists()


def test_only_what_is_trained_is_copied(tiny_model, few_words, tmp_path):
    held = []

    class Watch(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            held.append(set(trainer.average.names))

    model = tiny_model()
    for parameter in model.base_model.parameters():
        parameter.requires_grad_(False)
    trainer = _trainer(model, few_words, tmp_path, max_steps=2, callbacks=[Watch()])
    trainer.train()
    assert held[0] == {"classifier.weight", "classifier.bias"}


def test_an_error_leaves_the_model_its_own_weights(tiny_model, few_words, tmp_path):
    record = _Record()

    class Stop(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == 4:
                raise KeyboardInterrupt

    model = tiny_model()
    trainer = _trainer(model, few_words, tmp_path, callbacks=[record, Stop()], trim_embeddings=False)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert _same(model.state_dict(), record.steps[-1])


@pytest.mark.parametrize("value", [0.0, -1.0, 1.5])
def test_a_share_out_of_range_is_refused(tiny_model, few_words, tmp_path, value):
    with pytest.raises(RecipeError, match="averaging is"):
        _trainer(tiny_model(), few_words, tmp_path, averaging=value)


def test_the_best_evaluation_and_the_average_exclude_each_other(tiny_model, few_words, tmp_path):
    options = {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True}
    with pytest.raises(RecipeError, match="not the best evaluation"):
        _trainer(tiny_model(), few_words, tmp_path, eval_dataset=few_words, **options)


def test_an_average_of_no_step_changes_nothing():
    layer = nn.Linear(2, 2)
    before = layer.weight.detach().clone()
    average = WeightAverage(dict(layer.named_parameters()), 0.5)
    with average.applied():
        assert torch.equal(layer.weight, before)
    average.finish()
    assert torch.equal(layer.weight, before)
