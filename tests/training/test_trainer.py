from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModelForSequenceClassification

from tellapart.errors import ModelError, RecipeError, TellapartError, UserError
from tellapart.objectives import (
    AuxiliaryLabels,
    CrossEntropy,
    LabelDistance,
    NegativeSupervision,
    Objective,
    RDrop,
    SupervisedContrastive,
)
from tellapart.training.arguments import TrainingArguments
from tellapart.training.checkpoints import last_checkpoint
from tellapart.training.evaluating import confusion_counts
from tellapart.training.trainer import Trainer


def _arguments(folder: Path, **options) -> TrainingArguments:
    defaults = {
        "output_dir": str(folder),
        "use_cpu": True,
        "per_device_train_batch_size": 8,
        "num_train_epochs": 2,
        "learning_rate": 5e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    return TrainingArguments(**defaults | options)


OBJECTIVES: dict[str, Objective] = {
    "cross entropy": CrossEntropy(),
    "negative supervision": CrossEntropy() + NegativeSupervision(),
    "label distance": 0.5 * CrossEntropy() + 0.5 * LabelDistance("uniform", projection_size=8),
    "distances as weights": CrossEntropy()
    + LabelDistance("uniform", projection_size=8, distance_as="weight"),
    "r-drop": CrossEntropy(both_views=True) + RDrop(),
    "supcon": 0.1 * CrossEntropy() + 0.9 * SupervisedContrastive(),
    "supcon projected": CrossEntropy() + SupervisedContrastive(0.1, projection_size=8, views=2),
}


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_learns_and_leaves_a_plain_checkpoint(tiny_model, rows, tmp_path, name, multi_label):
    import copy

    model, data = tiny_model(multi_label=multi_label), rows(multi_label=multi_label)
    trainer = Trainer(
        model,
        _arguments(tmp_path, num_train_epochs=15),
        objective=copy.deepcopy(OBJECTIVES[name]),
        train_dataset=data,
        eval_dataset=data,
    )
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    predicted = trainer.predict(data).predictions
    assert trainer.evaluate()["eval_loss"] < 0.5 * before
    trainer.save_model(str(tmp_path / "model"))
    assert not list((tmp_path / "model").glob("*.bin"))
    config, weights = ((tmp_path / "model" / name).stat() for name in ("config.json", "model.safetensors"))
    assert weights.st_mode == config.st_mode
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    batch = data.batch(range(len(data)))
    batch.pop("labels")
    with torch.no_grad():
        np.testing.assert_allclose(plain(**batch).logits.numpy(), predicted, atol=1e-4)


def test_every_term_is_logged_by_name(tiny_model, rows, tmp_path):
    trainer = Trainer(
        tiny_model(),
        _arguments(tmp_path, max_steps=2),
        objective=CrossEntropy() + 0.5 * NegativeSupervision(),
        train_dataset=rows(),
    )
    trainer.train()
    first = trainer.state.log_history[0]
    total = first["loss_cross_entropy"] + 0.5 * first["loss_negative_supervision"]
    assert first["loss"] == pytest.approx(total, rel=1e-4)


def test_accumulated_batches_step_like_one_batch(tiny_model, rows, tmp_path):
    def trained(batch_size: int, accumulation: int) -> dict[str, torch.Tensor]:
        trainer = Trainer(
            tiny_model(dropout=0.0),
            _arguments(
                tmp_path,
                per_device_train_batch_size=batch_size,
                gradient_accumulation_steps=accumulation,
                optim="sgd",
                bucket_window=64 if accumulation == 1 else 512,
                seed=3,
            ),
            objective=CrossEntropy(class_weight="balanced"),
            train_dataset=rows(70),  # the last step is a smaller one
        )
        trainer.train()
        return trainer.classifier.state_dict()

    whole, parts = trained(32, 1), trained(4, 8)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=1e-6, rtol=1e-5, msg=name)


def test_balanced_batches_reach_the_objective_and_accumulate_to_the_same_step(tiny_model, rows, tmp_path):
    data = rows(70)
    data.labels[:50] = 0  # most rows are of one class
    seen = []

    class Watching(CrossEntropy):
        def forward(self, batch):
            seen.append(sorted(batch.labels.tolist()))
            return super().forward(batch)

    def trained(batch_size: int, accumulation: int) -> dict[str, torch.Tensor]:
        arguments = _arguments(
            tmp_path,
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
            optim="sgd",
            batches="balanced",
            texts_per_class=4,
        )
        trainer = Trainer(tiny_model(dropout=0.0), arguments, objective=Watching(), train_dataset=data)
        trainer.train()
        return trainer.classifier.state_dict()

    whole = trained(24, 1)
    assert seen == [[0] * 8 + [1] * 8 + [2] * 8] * 6  # two epochs of three steps
    seen.clear()
    parts = trained(8, 3)
    assert all(len(set(labels)) == 2 for labels in seen)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=1e-6, rtol=1e-5, msg=name)


def test_a_run_on_balanced_batches_resumes_to_the_same_bits(tiny_model, rows, tmp_path):
    def trainer(folder: str, **options) -> Trainer:
        arguments = _arguments(
            tmp_path / folder, batches="balanced", save_strategy="steps", save_steps=5, **options
        )
        return Trainer(
            tiny_model(), arguments, objective=CrossEntropy() + NegativeSupervision(), train_dataset=rows(48)
        )

    whole = trainer("whole")
    whole.train()
    assert whole.state.global_step == 12
    again = trainer("again")
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-5"))
    for name, value in whole.classifier.state_dict().items():
        assert torch.equal(again.classifier.state_dict()[name], value), name


def test_the_head_learns_at_its_own_rate(tiny_model, rows, tmp_path):
    trainer = Trainer(
        tiny_model(),
        _arguments(tmp_path, head_learning_rate=1.0, max_steps=1),
        objective=0.5 * CrossEntropy() + 0.5 * LabelDistance("uniform"),
        train_dataset=rows(),
    )
    optimizer = trainer.create_optimizer()
    rates = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    encoder = {id(parameter) for parameter in trainer.classifier.base_model.parameters()}
    assert len(rates) == sum(1 for _ in trainer.model.parameters())
    assert {rate for key, rate in rates.items() if key in encoder} == {5e-3}
    assert {rate for key, rate in rates.items() if key not in encoder} == {1.0}
    projection = {id(parameter) for parameter in trainer.objective.parameters()}
    assert projection
    assert projection <= set(rates)
    decayed = {group["weight_decay"] for group in optimizer.param_groups}
    assert decayed == {0.0}


def test_the_projection_and_the_distances_stay_out_of_the_model(tiny_model, rows, tmp_path):
    trainer = Trainer(
        tiny_model(),
        _arguments(tmp_path, num_train_epochs=6, eval_strategy="epoch", save_strategy="epoch"),
        objective=0.5 * CrossEntropy() + 0.5 * LabelDistance(),
        train_dataset=rows(),
        eval_dataset=rows(seed=1),
    )
    trainer.train()
    trainer.save_model(str(tmp_path / "model"))
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not plain[1]["unexpected_keys"]
    assert not (tmp_path / "model" / "objective.safetensors").exists()
    checkpoint = last_checkpoint(tmp_path)
    assert checkpoint is not None
    assert (Path(checkpoint) / "objective.safetensors").is_file()
    assert not (Path(checkpoint) / "training_args.bin").exists()


def test_evaluation_feeds_the_confusion_to_adaptive_distances(tiny_model, rows, tmp_path):
    objective = LabelDistance(projection_size=None)
    trainer = Trainer(
        tiny_model(),
        _arguments(tmp_path, num_train_epochs=5, eval_strategy="epoch", learning_rate=1e-5),
        objective=0.5 * CrossEntropy() + 0.5 * objective,
        train_dataset=rows(),
        eval_dataset=rows(seed=1),
    )
    trainer.train()
    assert float(objective.distances.max()) > 1.5
    torch.testing.assert_close(objective.distances, objective.distances.T)


def test_rows_of_a_transformers_script_train(tiny_model, tmp_path):
    script_rows = [{"input_ids": [label + 1] * 4, "label": label} for label in (0, 1, 2)] * 6
    trainer = Trainer(tiny_model(), _arguments(tmp_path), train_dataset=script_rows)
    assert np.isfinite(trainer.train().training_loss)


def test_predictions_keep_the_order_of_the_rows(tiny_model, rows, tmp_path):
    data = rows()
    trainer = Trainer(tiny_model(), _arguments(tmp_path), train_dataset=data)
    predicted = trainer.predict(data).predictions
    with torch.no_grad():
        batch = data.batch([17])
        batch.pop("labels")
        np.testing.assert_allclose(
            trainer.classifier.eval()(**batch).logits.numpy()[0], predicted[17], atol=1e-5
        )


def test_settings_that_would_do_something_else_are_refused(tiny_model, rows, tmp_path, monkeypatch):
    data = rows()
    with pytest.raises(RecipeError, match="CrossEntropy"):
        Trainer(tiny_model(), _arguments(tmp_path, label_smoothing_factor=0.1), train_dataset=data)
    with pytest.raises(RecipeError, match="write an Objective"):
        Trainer(tiny_model(), _arguments(tmp_path), train_dataset=data, compute_loss_func=lambda *_: None)
    with pytest.raises(ModelError, match="no dropout"):
        Trainer(tiny_model(dropout=0.0), _arguments(tmp_path), objective=RDrop(), train_dataset=data)
    for options, message in (
        ({"batches": "random"}, "no batches called"),
        ({"batches": "balanced", "texts_per_class": 3}, "cannot hold two or more classes"),
    ):
        with pytest.raises(RecipeError, match=message):
            Trainer(tiny_model(), _arguments(tmp_path, **options), train_dataset=data)
    one_class = rows(classes=1)
    with pytest.raises(RecipeError, match="rows of 2 classes"):
        Trainer(tiny_model(), _arguments(tmp_path), objective=NegativeSupervision(), train_dataset=one_class)
    arguments = _arguments(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="a model of its own"):
        Trainer(tiny_model(), arguments, train_dataset=data)


def test_a_diverging_run_stops_with_a_sentence(tiny_model, rows, tmp_path):
    model = tiny_model()
    torch.nn.init.constant_(model.classifier.weight, float("nan"))
    trainer = Trainer(model, _arguments(tmp_path), train_dataset=rows())
    with pytest.raises(TellapartError, match="the loss is nan at step 1: lower the learning rate"):
        trainer.train()


@pytest.mark.parametrize("kind", [TrainingArguments, transformers.TrainingArguments])
def test_a_diverged_run_that_logged_no_loss_before_its_end_does_not_pass_for_trained(
    tiny_model, rows, tmp_path, kind
):
    """With default arguments, which log every 500 steps."""
    model = tiny_model()
    torch.nn.init.constant_(model.classifier.weight, float("nan"))
    trainer = Trainer(model, kind(output_dir=str(tmp_path), use_cpu=True), train_dataset=rows())
    with pytest.raises(TellapartError, match="the loss is nan at step 24: lower the learning rate"):
        trainer.train()


def test_a_checkpoint_that_cannot_be_written_whole_is_taken_away(tiny_model, rows, tmp_path, monkeypatch):
    def disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    arguments = _arguments(tmp_path, save_strategy="steps", save_steps=2, max_steps=4)
    trainer = Trainer(tiny_model(), arguments, train_dataset=rows())
    monkeypatch.setattr(trainer, "_save_rng_state", disk_full)
    with pytest.raises(OSError, match="No space left"):
        trainer.train()
    assert list(tmp_path.iterdir()) == []


def test_confusion_counts_keep_absent_classes_and_read_multi_hot_rows():
    counts = confusion_counts(np.eye(4)[[0, 1, 1, 0]], np.array([0, 1, 0, 0]))
    assert counts.tolist() == [[2, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    logits = np.array([[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]])
    gold = np.array([[1, 1, 0], [0, 1, 0]], dtype=np.float32)
    assert confusion_counts(logits, gold).tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_the_stock_arguments_are_enough(tiny_model, rows, tmp_path):
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, max_steps=2, save_strategy="no", disable_tqdm=True
    )
    trainer = Trainer(tiny_model(pooling="stock"), arguments, train_dataset=rows())
    trainer.train()
    assert trainer.state.global_step == 2


def test_auxiliary_outputs_learn_beside_the_classifier_and_come_back_with_a_checkpoint(
    tiny_model, rows, tmp_path
):
    data = rows()
    trainer = Trainer(
        tiny_model(),
        _arguments(tmp_path, save_strategy="steps", save_steps=2, max_steps=4),
        objective=AuxiliaryLabels(5),
        train_dataset=data,
    )
    auxiliary = trainer.model.auxiliary
    before = auxiliary.weight.detach().clone()
    trainer.train()
    assert auxiliary.out_features == 2
    assert not torch.equal(auxiliary.weight, before)
    checkpoint = tmp_path / "checkpoint-4"
    plain = AutoModelForSequenceClassification.from_pretrained(checkpoint)
    assert plain.classifier.out_features == 3
    trainer.save_model(str(tmp_path / "model"))
    assert not (tmp_path / "model" / "objective.safetensors").exists()
    again = Trainer(
        tiny_model(),
        _arguments(tmp_path, save_strategy="steps", save_steps=2, max_steps=4),
        objective=AuxiliaryLabels(5),
        train_dataset=data,
    )
    again.train(resume_from_checkpoint=str(checkpoint))
    assert torch.equal(again.model.auxiliary.weight, auxiliary.weight)


def test_fewer_outputs_than_classes_are_refused_before_training(tiny_model, rows, tmp_path):
    with pytest.raises(RecipeError, match="3 classes"):
        Trainer(tiny_model(), _arguments(tmp_path), objective=AuxiliaryLabels(2), train_dataset=rows())


@pytest.mark.parametrize("by", ["FSDP", "DEEPSPEED"])
def test_sharded_models_are_refused_however_they_are_asked_for(tiny_model, rows, tmp_path, monkeypatch, by):
    data = rows()
    arguments = _arguments(tmp_path)
    monkeypatch.setenv(f"ACCELERATE_USE_{by}", "true")  # as `accelerate launch` does
    with pytest.raises(UserError, match="shards the model"):
        Trainer(tiny_model(), arguments, train_dataset=data)
    monkeypatch.delenv(f"ACCELERATE_USE_{by}")
    setattr(arguments, by.lower(), "full_shard")
    with pytest.raises(UserError, match="shards the model"):
        Trainer(tiny_model(), arguments, train_dataset=data)
