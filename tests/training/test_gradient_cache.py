from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tellapart.errors import RecipeError
from tellapart.objectives import (
    AuxiliaryLabels,
    CrossEntropy,
    LabelDistance,
    NegativeSupervision,
    NegativeSupervisionCrossEntropy,
    NegativeSupervisionMargin,
    RDrop,
    SoftTargets,
    SupervisedContrastive,
)
from tellapart.training.arguments import TrainingArguments
from tellapart.training.gradient_cache import _RandomState, chunks
from tellapart.training.module import joined
from tellapart.training.trainer import Trainer

TEXTS = 6
NEVER = 1e-7  # a dropout so rare that two views are equal

OBJECTIVES = {
    "class weights": lambda: CrossEntropy(class_weight="balanced", label_smoothing=0.1),
    "aan": lambda: CrossEntropy() + 0.7 * NegativeSupervision(samples="all"),
    "am": lambda: CrossEntropy() + 0.3 * NegativeSupervisionMargin(samples="all"),
    "ace": lambda: CrossEntropy() + NegativeSupervisionCrossEntropy(samples="all"),
    "clld": lambda: 0.5 * CrossEntropy() + 0.5 * LabelDistance(distance="uniform", projection_size=4),
    "clld weights": lambda: (
        CrossEntropy() + LabelDistance("uniform", projection_size=4, distance_as="weight")
    ),
    "r-drop": lambda: CrossEntropy(both_views=True) + 2.0 * RDrop(),
    "supcon": lambda: 0.1 * CrossEntropy() + 0.9 * SupervisedContrastive(),
    "supcon projected": lambda: CrossEntropy() + SupervisedContrastive(0.1, projection_size=4, views=2),
    "auxiliary labels": lambda: AuxiliaryLabels(total=5) + 0.5 * SupervisedContrastive(),
    "soft targets": lambda: SoftTargets(2.0) + RDrop(),
    "representations only": lambda: 1.0 * SupervisedContrastive(),
}


@pytest.fixture
def prepared(tiny_model, rows, tmp_path):
    """A trainer with a gradient cache, and its model as the loop has it."""

    def make(objective, *, dropout=0.1, multi_label=False, **options):
        model = tiny_model(dropout=dropout, multi_label=multi_label)
        arguments = TrainingArguments(
            output_dir=str(tmp_path),
            use_cpu=True,
            per_device_train_batch_size=32,
            gradient_cache=TEXTS,
            **options,
        )
        data = rows(multi_label=multi_label)
        if objective.requirements.targets:
            data = data.with_targets(
                torch.randn(len(data), 3, generator=torch.Generator().manual_seed(0)).softmax(1).numpy()
            )
        trainer = Trainer(model, arguments, objective=objective, train_dataset=data)
        # Rows sorted by length, as batches are; 20 are not a multiple of the chunk.
        batch = data.batch(torch.argsort(data.lengths)[:40:2].tolist())
        trained = trainer.accelerator.prepare(trainer.model).train()
        # In float64 what is the same in theory is the same, and what is not shows.
        return trainer, trained if options.get("bf16") else trained.double(), batch

    return make


def _gradients(model):
    return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


def _cached(trainer, model, batch):
    """The loss, the gradients, and the next random number."""
    torch.manual_seed(1)
    model.zero_grad()
    loss = trainer.training_step(model, dict(batch), len(batch["labels"]))
    return loss, {name: value.clone() for name, value in _gradients(model).items()}, torch.rand(1)


def _assert_same(first, second, tolerance=1e-9):
    torch.testing.assert_close(first[0], second[0], atol=tolerance, rtol=tolerance)
    assert first[1].keys() == second[1].keys()
    for name, value in first[1].items():
        torch.testing.assert_close(
            second[1][name], value, atol=tolerance, rtol=0, msg=lambda text, n=name: f"{n}: {text}"
        )
    # The softmax over keys does not see their bias; everything else has a gradient to be compared.
    tiny = {name for name, value in first[1].items() if value.abs().max() < 100 * tolerance}
    assert all(name.endswith("key.bias") for name in tiny) or tolerance > 1e-9, tiny


@pytest.mark.parametrize("name", OBJECTIVES)
def test_chunks_give_the_gradients_of_the_batch_in_one_pass(prepared, name):
    trainer, model, batch = prepared(OBJECTIVES[name](), dropout=NEVER)
    chunked = _cached(trainer, model, batch)
    trainer._gradient_cache = None
    whole = _cached(trainer, model, batch)
    _assert_same(chunked, whole)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *[(name, {}) for name in OBJECTIVES],
        ("clld", {"fast_dropout": False}),
        ("clld", {"bf16": True}),
    ],
)
def test_dropout_is_replayed(prepared, name, options):
    """Against the same chunks with all their graphs kept, and one backward pass through them all."""
    trainer, model, batch = prepared(OBJECTIVES[name](), **options)
    chunked = _cached(trainer, model, batch)
    torch.manual_seed(1)
    model.zero_grad()
    encoded = [model(**part, encode_only=True)["encoded"] for part in chunks(batch, TEXTS)]
    loss = model(encoded=joined(encoded))["loss"]
    loss.backward()
    # The next random number tells that the second pass over the chunks leaves no trace.
    whole = (loss.detach(), _gradients(model))
    _assert_same(chunked, whole, tolerance=1e-5 if options.get("bf16") else 1e-9)
    assert torch.equal(chunked[2], torch.rand(1))


def test_dropout_differs_from_chunk_to_chunk_and_from_step_to_step(prepared):
    trainer, model, batch = prepared(CrossEntropy())
    same = {name: value[:1].expand(12, *value.shape[1:]).clone() for name, value in batch.items()}
    seen = []
    model.model.classifier.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    torch.manual_seed(1)
    for _ in range(2):
        trainer.training_step(model, dict(same), 12)
    first, second, first_again, second_again = seen[:4]
    assert torch.equal(first, first_again)
    assert torch.equal(second, second_again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, seen[4])


def test_several_labels_a_row(prepared):
    trainer, model, batch = prepared(
        CrossEntropy() + NegativeSupervision(samples="all"), dropout=NEVER, multi_label=True
    )
    chunked = _cached(trainer, model, batch)
    trainer._gradient_cache = None
    _assert_same(chunked, _cached(trainer, model, batch))


@pytest.mark.parametrize("options", [{"gradient_accumulation_steps": 2}, {"perturbation": "fgm"}])
def test_training_with_chunks_is_training_without(tiny_model, rows, tmp_path, options):
    trained = []
    for texts in (None, 5):
        model = tiny_model(dropout=NEVER)
        arguments = TrainingArguments(
            output_dir=str(tmp_path),
            use_cpu=True,
            max_steps=4,
            per_device_train_batch_size=16,
            learning_rate=0.1,
            optim="sgd",
            save_strategy="no",
            logging_steps=4,
            gradient_cache=texts,
            **options,
        )
        objective = OBJECTIVES["clld"]()
        trainer = Trainer(model, arguments, objective=objective, train_dataset=rows())
        trainer.train()
        trained.append((model.state_dict(), objective.state_dict(), trainer.state.log_history[0]))
    for whole, chunked in zip(trained[0][:2], trained[1][:2], strict=True):
        for name, value in whole.items():
            torch.testing.assert_close(chunked[name], value, atol=1e-5, rtol=1e-4)
    for name in ("loss", "loss_cross_entropy", "loss_label_distance"):
        assert trained[0][2][name] == pytest.approx(trained[1][2][name], rel=1e-4)


def test_no_more_than_a_chunk_is_in_the_encoder_at_once(prepared):
    trainer, model, batch = prepared(OBJECTIVES["clld"]())
    rows = []
    model.model.base_model.register_forward_hook(
        lambda _, args, output: rows.append(len(output.last_hidden_state))
    )
    trainer.training_step(model, dict(batch), 20)
    assert max(rows) <= 2 * TEXTS  # both views of a text
    assert sum(rows) == 2 * 2 * 20  # twice


def test_activations_of_a_chunk_are_freed_before_the_next(prepared):
    """What autograd keeps at any moment is what a chunk needs, whatever the size of the batch."""
    trainer, model, batch = prepared(OBJECTIVES["clld"]())
    alive = peak = 0

    class Kept:
        def __init__(self, tensor):
            nonlocal alive, peak
            self.tensor, self.size = tensor, tensor.numel()
            alive += self.size
            peak = max(peak, alive)

        def __del__(self):
            nonlocal alive
            alive -= self.size

    def peak_of(cache):
        nonlocal peak
        peak, trainer._gradient_cache = 0, cache
        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
            trainer.training_step(model, dict(batch), 20)
        return peak

    cache = trainer._gradient_cache
    assert peak_of(cache) < 0.5 * peak_of(None)
    assert alive == 0


def test_chunks_hold_all_rows_and_are_as_wide_as_their_longest(rows):
    data = rows()
    batch = data.batch(torch.argsort(data.lengths)[:20].tolist())
    batch |= {name + "_2": value for name, value in batch.items() if name != "labels"}
    parts = chunks(batch, TEXTS)
    assert [len(part["labels"]) for part in parts] == [5, 5, 5, 5]
    assert torch.equal(torch.cat([part["labels"] for part in parts[::-1]]), batch["labels"])
    widths = [part["input_ids"].shape[1] for part in parts]
    assert widths == sorted(widths, reverse=True)
    for part in parts:
        for suffix in ("", "_2"):
            assert part["input_ids" + suffix].shape == part["attention_mask" + suffix].shape
            assert part["attention_mask" + suffix].sum(1).max() == part["input_ids" + suffix].shape[1]
    tokens = sum(int(part["attention_mask"].sum()) for part in parts)
    assert tokens == int(batch["attention_mask"].sum())


@pytest.mark.parametrize("texts", [0, 16, 40])
def test_chunks_that_gain_nothing_are_refused(tiny_model, rows, tmp_path, texts):
    arguments = TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, per_device_train_batch_size=16, gradient_cache=texts
    )
    with pytest.raises(RecipeError, match="would save no memory"):
        Trainer(tiny_model(), arguments, train_dataset=rows())


def test_the_random_state_of_an_apple_gpu_is_restored(monkeypatch):
    restored = []
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: torch.ones(1))
    monkeypatch.setattr(torch.mps, "set_rng_state", restored.append)
    with FakeTensorMode():  # a shape without the device
        inputs = {"input_ids": torch.ones(2, 3, dtype=torch.int64, device="mps")}
    state = _RandomState(inputs)
    numbers = torch.rand(3)
    state.restore()
    assert torch.equal(torch.rand(3), numbers)
    assert restored == [torch.ones(1)]
