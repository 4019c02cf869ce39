from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import TrainerCallback

from tellapart.errors import RecipeError, TellapartError, TellapartWarning
from tellapart.pretraining.checkpoints import last_checkpoint
from tellapart.pretraining.electra import ReplacedTokenDetection
from tellapart.pretraining.mlm import MaskedLanguageModelling
from tellapart.pretraining.terms import Corrections, PretrainingModel, _masked_over_kept
from tellapart.pretraining.trainer import PretrainingTrainer, _same_random_numbers

from .test_mlm import table_of


def _arguments(folder: Path, **options: Any) -> transformers.TrainingArguments:
    return transformers.TrainingArguments(
        output_dir=str(folder),
        **{
            "max_steps": 6,
            "per_device_train_batch_size": 16,
            "learning_rate": 0.01,
            "use_cpu": True,
            "report_to": "none",
            "disable_tqdm": True,
            "save_strategy": "no",
            "logging_steps": 2,
        }
        | options,
    )


@pytest.fixture
def trainer(sequences, tokenizer, tmp_path) -> Callable[..., PretrainingTrainer]:
    def make(model: Any, callbacks: Any = None, folder: str = "run", **options: Any) -> PretrainingTrainer:
        arguments = _arguments(tmp_path / folder, **options)
        made = PretrainingTrainer(model, arguments, sequences, tokenizer, callbacks=callbacks)
        made.remove_callback(transformers.trainer_callback.PrinterCallback)
        return made

    return make


def _weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _synonyms_of_everything() -> Any:
    """A table in which every token is a synonym of every even one."""
    return table_of([(gold, other) for gold in range(0, 200, 2) for other in range(200) if other != gold])


@pytest.mark.parametrize("name", ["none", "soft", "soft-sentence", "hard", "hard+soft"])
def test_accumulated_batches_step_like_one(language_model, trainer, name):
    found = []
    for size, accumulation in ((16, 1), (4, 4)):
        corrections = Corrections.named(name, _synonyms_of_everything() if "hard" in name else None)
        model = MaskedLanguageModelling(language_model(), corrections)
        trainer(
            model,
            optim="sgd",
            learning_rate=0.5,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
        ).train()
        found.append(_weights(model))
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, atol=1e-5, rtol=1e-4)
    assert not torch.equal(found[0]["model.cls.predictions.bias"], torch.zeros(200))


def test_accumulated_batches_of_electra_step_like_one_with_hard_correction(electra_pair, trainer):
    found = []
    for size, accumulation in ((16, 1), (4, 4)):
        corrections = Corrections.named("hard+soft", _synonyms_of_everything())
        model = ReplacedTokenDetection(*electra_pair(), corrections, predictions="argmax")
        trainer(
            model,
            optim="sgd",
            learning_rate=0.1,
            max_steps=3,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
        ).train()
        found.append(_weights(model))
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, atol=1e-5, rtol=1e-4)


class _KnownLosses(PretrainingModel):
    """The loss of a position is a weight times its label; the prediction for the label 6 is its synonym 8, else 9."""

    def __init__(self) -> None:
        super().__init__(Corrections.named("hard", table_of([(6, 8)])))
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, input_ids, attention_mask, positions, labels, masked_over_kept=None):
        predictions = torch.where(labels == 6, 8, 9)
        self.observe(labels, predictions, positions, input_ids.shape)
        losses = self.weight * labels
        sums = self.masked_terms(losses, labels, predictions, self.weight, masked_over_kept=masked_over_kept)
        return sums | {"correct": torch.zeros(())}


def test_hard_correction_is_the_mean_over_the_places_left_in_all_accumulated_batches(trainer):
    """Eq. 2 by hand: 2, 5 and 5 are left, of two batches with three masked places each; (2 + 5 + 5) / 3 = 4."""
    model = _KnownLosses()
    run = trainer(model, gradient_accumulation_steps=2)
    shape = {"input_ids": torch.ones(1, 6, dtype=torch.int64), "attention_mask": torch.ones(1, 6)}
    batches = [
        shape | {"positions": torch.arange(3), "labels": torch.tensor(labels)}
        for labels in ([2, 6, 6], [5, 5, 6])
    ]
    items = run._get_num_items_in_batch(batches, torch.device("cpu"))
    losses = [run.training_step(model, batch, items) for batch in batches]
    assert float(sum(losses)) == pytest.approx(4.0)
    assert float(model.weight.grad) == pytest.approx(4.0)
    assert model.rates.counts.tolist() == [3, 6, 2, 2]  # each batch once


def test_positions_are_counted_with_the_random_numbers_of_the_step(electra_pair, trainer, sequences):
    """With dropout and samples, on which the predictions depend."""
    rates = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}
    corrections = Corrections.named("hard", _synonyms_of_everything())
    model = ReplacedTokenDetection(*electra_pair(**rates), corrections)
    run = trainer(model, gradient_accumulation_steps=3)
    batches = [sequences.batch(range(start, start + 16)) for start in (0, 16, 32)]
    items = run._get_num_items_in_batch(batches, torch.device("cpu"))
    for batch in batches:
        run.training_step(model, batch, items)
    assert 0 < items["kept"] < items["masked"]
    assert items["kept"] == float(run._sums["kept"])


class _NoFloat64(TorchDispatchMode):
    """Refuses float64 tensors on Apple GPUs, as these do."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        for value in output if isinstance(output, tuple | list) else [output]:
            if isinstance(value, torch.Tensor) and value.device.type == "mps":
                assert value.dtype != torch.float64, function
        return output


def test_apple_gpus_need_no_float64(trainer):
    run = trainer(_KnownLosses())
    with FakeTensorMode(allow_non_fake_inputs=True), _NoFloat64():  # shapes and types without the device
        kept = torch.ones(3, dtype=torch.bool, device="mps")
        outputs = {"mlm": torch.ones(3, device="mps").sum() * _masked_over_kept(kept), "kept": kept.sum()}
        for _ in range(2):
            run.compute_loss(lambda: outputs, {}, num_items_in_batch={"masked": 3.0, "tokens": 6.0})
    assert {name: value.dtype for name, value in run._sums.items()} == {
        "mlm": torch.float32,
        "kept": torch.int64,
    }


def test_random_numbers_of_apple_gpus_are_drawn_twice_alike(monkeypatch):
    restored = []
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda _: torch.ones(1))
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda state, device: restored.append(device.type))
    with _same_random_numbers(torch.device("mps")):
        assert restored == []
    assert restored == ["mps"]


def test_a_step_is_the_gradient_of_the_mean_over_the_step(language_model, trainer, sequences):
    model = MaskedLanguageModelling(language_model())
    by_hand = copy.deepcopy(model.model)
    run = trainer(
        model, optim="sgd", learning_rate=0.5, max_steps=1, max_grad_norm=0.0, lr_scheduler_type="constant"
    )
    request = next(iter(run.get_train_dataloader().batch_sampler))
    run.train()
    batch = sequences.batch(request.rows, request.epoch)
    labels = torch.full_like(batch["input_ids"].flatten(), -100)
    labels[batch["positions"]] = batch["labels"]
    by_hand(
        batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels.view_as(batch["input_ids"])
    ).loss.backward()
    for name, parameter in by_hand.named_parameters():
        expected = parameter.detach() - 0.5 * parameter.grad
        torch.testing.assert_close(model.model.get_parameter(name).detach(), expected, atol=1e-6, rtol=1e-5)


class _Stop(TrainerCallback):
    """Ends a run as a crash would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


def test_a_run_resumed_with_more_devices_says_once_which_have_no_random_state(
    language_model, trainer, tmp_path, monkeypatch
):
    run = trainer(MaskedLanguageModelling(language_model()))
    run._save_rng_state(str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(type(run.args), "world_size", 2)
    with pytest.warns(TellapartWarning, match="no random state of cuda:0, rank 1: random numbers begin anew"):
        run._load_rng_state(str(tmp_path))
    monkeypatch.setattr(type(run.args), "process_index", 1)
    run._load_rng_state(str(tmp_path))  # without a warning: the first process has said it


@pytest.mark.parametrize(
    ("objective", "workers", "accumulation"),
    [("mlm", 0, 1), ("mlm", 2, 2), ("electra", 2, 1), ("electra", 0, 2)],
)
def test_a_run_that_was_stopped_resumes_to_the_same_bits(
    language_model, electra_pair, trainer, tmp_path, objective, workers, accumulation
):
    """With dropout, samples, AdamW, a table, and more than one pass over the texts."""

    def model() -> Any:
        rates = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
        corrections = Corrections.named("hard+soft", _synonyms_of_everything())
        if objective == "mlm":
            return MaskedLanguageModelling(language_model(**rates), corrections)
        return ReplacedTokenDetection(*electra_pair(**rates), corrections)

    options = {"max_steps": 16, "save_strategy": "steps", "save_steps": 5, "dataloader_num_workers": workers}
    options |= {
        "gradient_accumulation_steps": accumulation,
        "per_device_train_batch_size": 16 // accumulation,
    }
    whole = model()
    transformers.set_seed(0)
    uninterrupted = trainer(whole, folder="whole", **options)
    uninterrupted.train()
    transformers.set_seed(0)
    stopped = trainer(model(), [_Stop(13)], folder="stopped", **options)
    with pytest.raises(KeyboardInterrupt):
        stopped.train()
    checkpoint = last_checkpoint(tmp_path / "stopped")
    assert Path(checkpoint or "").name == "checkpoint-10"
    again = model()
    for parameter in again.parameters():
        parameter.data.add_(1.0)  # what is not restored shows
    torch.manual_seed(77)
    resumed = trainer(again, folder="stopped", **options)
    resumed.train(resume_from_checkpoint=checkpoint)
    assert all(torch.equal(value, _weights(again)[name]) for name, value in _weights(whole).items())
    logged = [
        {key: value for key, value in entry.items() if not key.startswith(("train_", "tokens_", "total_"))}
        for entry in (uninterrupted.state.log_history, resumed.state.log_history)[0]
    ]
    assert [entry["step"] for entry in logged] == [entry["step"] for entry in resumed.state.log_history]
    last = resumed.state.log_history[-2]
    assert last["loss_mlm"] == logged[-2]["loss_mlm"]


def test_a_checkpoint_has_no_pickle_and_is_there_whole_or_not_at_all(
    language_model, trainer, tmp_path, monkeypatch
):
    def run() -> PretrainingTrainer:
        model = MaskedLanguageModelling(language_model())
        return trainer(model, save_strategy="steps", save_steps=2, save_total_limit=1)

    run().train()
    folder = tmp_path / "run"
    assert [path.name for path in folder.iterdir()] == ["checkpoint-6"]
    suffixes = {path.suffix for path in (folder / "checkpoint-6").rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".safetensors", ".bin"}
    assert not list((folder / "checkpoint-6").rglob("*.pt*"))

    def fail(*_: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("tellapart.pretraining.trainer.save_random_state", fail)
    with pytest.raises(OSError, match="the disk is full"):
        run().train()
    assert [path.name for path in folder.iterdir()] == ["checkpoint-6"]


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    for name in (".writing/checkpoint-9", ".removing", "checkpoint-3", "checkpoint-12", "checkpoint-x"):
        (tmp_path / name).mkdir(parents=True)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-12")
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-3", "checkpoint-12", "checkpoint-x"}
    assert last_checkpoint(tmp_path / "nothing") is None


def test_what_is_logged_adds_up(language_model, trainer, sequences):
    model = MaskedLanguageModelling(
        language_model(), Corrections.named("hard+soft", _synonyms_of_everything())
    )
    run = trainer(model, max_steps=4)
    run.train()
    entries = [entry for entry in run.state.log_history if "loss" in entry]
    assert [entry["step"] for entry in entries] == [2, 4]
    for entry in entries:
        assert entry["loss"] == pytest.approx(entry["loss_mlm"] + entry["loss_soft"], rel=1e-2)
        assert 0 < entry["corrected_predictions"] < 1
        assert 0 < entry["corrected_sequences"] < 1
        assert 0 <= entry["masked_accuracy"] < 1
        assert entry["tokens_per_second"] > 0
        assert entry["epoch"] == pytest.approx(entry["step"] / 12)  # 192 sequences, 16 a step


def test_electra_logs_both_accuracies_and_both_losses(electra_pair, trainer):
    run = trainer(ReplacedTokenDetection(*electra_pair()))
    run.train()
    entry = run.state.log_history[-2]
    assert entry["loss"] == pytest.approx(entry["loss_mlm"] + 50 * entry["loss_discriminator"], rel=2e-2)
    assert 0 < entry["discriminator_accuracy"] <= 1
    assert "corrected_predictions" not in entry


def test_the_gradient_is_clipped_as_transformers_does(language_model, trainer):
    found = []
    for plain in (False, True):
        model = MaskedLanguageModelling(language_model())
        run = trainer(model, max_grad_norm=0.05, optim="sgd", learning_rate=1.0, max_steps=3)
        if plain:
            run._clip_grad_norm = lambda model: torch.nn.utils.clip_grad_norm_(model.parameters(), 0.05)
        run.train()
        found.append(_weights(model))
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name])


def test_the_gradient_of_an_fp16_run_is_clipped_without_the_scale_of_the_loss(trainer, monkeypatch):
    """The gradient 2 is below the limit and stays; multiplied by the scale, it would be cut to a fraction."""
    run = trainer(_KnownLosses(), max_grad_norm=10.0)
    weight = torch.nn.Parameter(torch.ones(()))
    model = torch.nn.ParameterList([weight])
    optimizer, scaler = torch.optim.SGD([weight], lr=0.25), torch.amp.GradScaler("cpu")
    monkeypatch.setattr(type(run.accelerator), "mixed_precision", "fp16")
    run.accelerator.native_amp, run.accelerator.scaler = True, scaler
    run.accelerator._optimizers = [optimizer]
    scaler.scale(2 * weight).backward()
    assert float(run._clip_grad_norm(model)) == 2.0
    scaler.step(optimizer)
    assert float(weight.detach()) == 0.5


def test_a_run_that_diverges_stops_with_advice(language_model, trainer):
    model = language_model()
    model.cls.predictions.bias.data.fill_(float("nan"))
    with pytest.raises(TellapartError, match="the loss is nan at step 2: lower the learning rate"):
        trainer(MaskedLanguageModelling(model)).train()


@pytest.mark.parametrize("options", [{"max_steps": -1}, {"label_smoothing_factor": 0.1}])
def test_arguments_that_would_not_do_what_they_say_are_refused(language_model, trainer, options):
    with pytest.raises(RecipeError):
        trainer(MaskedLanguageModelling(language_model()), **options)


def test_the_log_can_be_written_as_json(language_model, trainer):
    run = trainer(MaskedLanguageModelling(language_model()))
    run.train()
    assert json.loads(json.dumps(run.state.log_history)) == run.state.log_history


def test_gradients_on_a_gpu_are_clipped_without_reading_their_norm(trainer, language_model):
    made = trainer(MaskedLanguageModelling(language_model()), max_grad_norm=0.5)
    made.model.to("meta")  # whose tensors have no values to read
    for parameter in made.model.parameters():
        parameter.grad = torch.empty_like(parameter)
    assert made._clip_grad_norm(made.model).is_meta
