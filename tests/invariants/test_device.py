"""Training steps as on a GPU, tested without one: which operations would wait for it, and which use the CPU.

Tensors on PyTorch's device `meta` have no values: what needs one, such as `item`, `nonzero` or a mask as an index,
raises an error. On a GPU it would wait until everything before has been computed.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    masking_utils,
)

import tellapart.objectives as objectives
from tellapart.data.batches.batching import TokenisedDataset
from tellapart.encoders.pooling import set_pooling
from tellapart.objectives import (
    AuxiliaryLabels,
    CrossEntropy,
    LabelDistance,
    MeanSquaredError,
    NegativeSupervision,
    NegativeSupervisionCrossEntropy,
    NegativeSupervisionMargin,
    Objective,
    RDrop,
    SoftTargets,
    SupervisedContrastive,
)
from tellapart.objectives.base import RunFacts
from tellapart.pretraining.electra import ReplacedTokenDetection
from tellapart.pretraining.mlm import MaskedLanguageModelling
from tellapart.pretraining.synonyms import SynonymTable
from tellapart.pretraining.terms import Corrections
from tellapart.training.arguments import TrainingArguments
from tellapart.training.module import ObjectiveModel
from tellapart.training.trainer import Trainer

ROWS, WIDTH, CLASSES, WORDS = 8, 5, 3, 40
SHAPE = {
    "vocab_size": WORDS,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}


class _NoCopies(TorchFunctionMode):
    """Refuses to create tensors from Python numbers on another device, for which a GPU is waited for."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") in ("tensor", "as_tensor", "new_tensor"):
            made = function(*args, **(kwargs or {}))
            assert made.device.type == "cpu", f"{function.__name__} copies a number to the device"
            return made
        return function(*args, **(kwargs or {}))


class _OneDevice(TorchDispatchMode):
    """Refuses operations on tensors of two devices, such as an index on the CPU."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        flat = torch.utils._pytree.tree_leaves((args, kwargs or {}))
        kinds = {one.device.type for one in flat if isinstance(one, Tensor) and one.dim()}
        assert len(kinds) < 2, f"{function} has tensors on {kinds}"
        return function(*args, **(kwargs or {}))


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A context in which only what a GPU does without being waited for is possible on the device `meta`."""
    # The one exception in each pass of a BERT: Transformers asks whether any token is masked, since without a mask
    # the fastest attention is possible.
    monkeypatch.setattr(masking_utils, "_ignore_bidirectional_mask_sdpa", lambda *_, **__: False)
    autocast = torch.autocast  # unknown to `meta`

    def of_other_devices(kind: str, *args: Any, **options: Any) -> Any:
        return contextlib.nullcontext() if kind == "meta" else autocast(kind, *args, **options)

    monkeypatch.setattr(torch, "autocast", of_other_devices)

    @contextlib.contextmanager
    def context() -> Iterator[None]:
        with _NoCopies(), _OneDevice():
            yield

    return context


def _classifier(outputs: int = CLASSES) -> Any:
    torch.manual_seed(0)
    problem = "single_label_classification" if outputs > 1 else "regression"
    model = BertForSequenceClassification(BertConfig(**SHAPE, num_labels=outputs, problem_type=problem))
    set_pooling(model, "mean")
    return model


def _valueless(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


SINGLE = {
    "cross entropy": CrossEntropy(class_weight="balanced", label_smoothing=0.1, focal_gamma=2.0),
    "auxiliary labels": AuxiliaryLabels(CLASSES + 2, label_smoothing=0.1),
    "soft targets": SoftTargets(temperature=2.0),
    "aan": NegativeSupervision(label_distance=1 - torch.eye(CLASSES)),
    "aan, hard": NegativeSupervision(hard=True),
    "am": NegativeSupervisionMargin(),
    "ace": NegativeSupervisionCrossEntropy(samples="all"),
    "supcon": SupervisedContrastive(projection_size=8, views=2),
    "clld": LabelDistance(distance="uniform"),
    "clld, weights": LabelDistance(distance="static", pairs=[(0, 1)], distance_as="weight"),
    "r-drop": CrossEntropy(both_views=True) + RDrop(),
    "sum": 0.5 * CrossEntropy() + NegativeSupervision() + 0.1 * SupervisedContrastive(),
}
MULTI = {
    "cross entropy": CrossEntropy(class_weight="balanced", label_smoothing=0.1, focal_gamma=2.0),
    "auxiliary labels": AuxiliaryLabels(CLASSES + 2, label_smoothing=0.1),
    "soft targets": SoftTargets(temperature=2.0),
    "aan": NegativeSupervision(different="disjoint", label_distance=1 - torch.eye(CLASSES)),
    "supcon": SupervisedContrastive(),
    "clld": LabelDistance(distance="uniform"),
    "r-drop": RDrop(),
}
NUMBERS = {"mse": MeanSquaredError(), "r-drop": MeanSquaredError(both_views=True) + RDrop()}
CASES = [
    pytest.param(kind, objective, id=f"{kind}: {name}")
    for kind, named in {"single": SINGLE, "multi": MULTI, "numbers": NUMBERS}.items()
    for name, objective in named.items()
]


@pytest.mark.parametrize(("kind", "objective"), CASES)
def test_a_step_waits_for_no_value_and_has_all_tensors_on_the_device(kind, objective, strict):
    outputs = 1 if kind == "numbers" else CLASSES
    facts = RunFacts(outputs, SHAPE["hidden_size"], torch.tensor([4.0, 3.0, 1.0]), 10, ROWS)
    objective.prepare(facts)
    module = ObjectiveModel(_classifier(outputs), objective).train().to("meta")
    labels = {
        "single": _valueless(ROWS),
        "multi": _valueless(ROWS, CLASSES, dtype=torch.float32),
        "numbers": _valueless(ROWS, dtype=torch.float32),
    }[kind]
    batch = {
        "input_ids": _valueless(ROWS, WIDTH),
        "attention_mask": _valueless(ROWS, WIDTH),
        "labels": labels,
    }
    if objective.requirements.targets:
        batch["targets"] = _valueless(ROWS, CLASSES, dtype=torch.float32)
    with strict():
        outputs = module(**batch)
        outputs["loss"].backward()
    assert outputs["loss"].device.type == "meta"
    assert outputs["rows"] == ROWS
    for parameter in objective.parameters():
        assert parameter.grad is not None


def test_every_objective_is_among_the_cases():
    exported = {getattr(objectives, name) for name in objectives.__all__}
    kinds = {one for one in exported if isinstance(one, type) and issubclass(one, Objective)} - {Objective}
    tested = {
        type(part) for case in CASES for part in case.values[1].modules() if isinstance(part, Objective)
    }
    assert kinds <= tested


@pytest.mark.parametrize("correction", ["none", "hard"])
@pytest.mark.parametrize("electra", [False, True])
def test_a_step_of_pre_training_waits_for_no_value(electra, correction, strict):
    table = SynonymTable(torch.tensor([5 * WORDS + 6, 6 * WORDS + 5]), WORDS, "", "a test")
    corrections = Corrections.named(correction, table)
    if electra:
        config = ElectraConfig(**SHAPE, embedding_size=16)
        module = ReplacedTokenDetection(
            ElectraForMaskedLM(config), ElectraForPreTraining(config), corrections
        )
    else:
        module = MaskedLanguageModelling(BertForMaskedLM(BertConfig(**SHAPE)), corrections)
    module.train().to("meta")
    table.contains(_valueless(1), _valueless(1))  # the first use copies the table
    module.rates.counts = module.rates.counts.to("meta")  # and the first step the counts
    batch = {name: _valueless(ROWS, WIDTH) for name in ("input_ids", "attention_mask")}
    with strict():
        sums = module(**batch, positions=_valueless(6), labels=_valueless(6))
        sum(sums[name] for name in module.terms).backward()


# ---- Whole steps of the trainer, on the CPU: how often each kind of operation that would wait is called ----

ONE = "aten::_local_scalar_dense"  # a value
MASK = "aten::nonzero"  # also a mask as an index
_WAITING = {ONE, MASK, "aten::masked_select", "aten::_unique2", "aten::unique_consecutive", "aten::bincount"}


class _Waits(TorchDispatchMode):
    """Counts the operations that wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name
        if name in _WAITING:
            self.found[name] += 1
        elif name.startswith("aten::index") and isinstance(args[1], list | tuple):
            masks = [one for one in args[1] if isinstance(one, Tensor) and one.dtype == torch.bool]
            self.found.update([MASK] * len(masks))
        return function(*args, **(kwargs or {}))


class _Step(transformers.TrainerCallback):
    """Keeps the counts of the second step: the first also sets up the optimiser."""

    def __init__(self, waits: _Waits) -> None:
        self.waits, self.counted = waits, Counter[str]()

    def on_step_begin(self, args, state, control, **_):
        self.waits.found.clear()

    def on_step_end(self, args, state, control, **_):
        self.counted = Counter(self.waits.found)


def _rows(weights: bool) -> TokenisedDataset:
    random = np.random.default_rng(0)
    lengths = random.integers(3, 12, 64)
    rows = TokenisedDataset(
        {"input_ids": random.integers(10, 20, lengths.sum())}, lengths, random.integers(0, CLASSES, 64)
    )
    rows.weights = torch.ones(64) if weights else None
    return rows


@pytest.mark.parametrize(
    ("objective", "options", "expected"),
    [
        # Transformers' question whether a token is masked, once per pass.
        (CrossEntropy() + NegativeSupervision(), {}, {ONE: 1}),
        (0.5 * CrossEntropy() + 0.5 * LabelDistance(distance="uniform"), {}, {ONE: 1}),
        (CrossEntropy(), {"averaging": 0.5}, {ONE: 1}),
        # A second pass, the rows with a gradient, and whether their norm is finite.
        (CrossEntropy(), {"perturbation": "fgm"}, {ONE: 3, MASK: 1}),
        (CrossEntropy(), {"perturbation": "random"}, {ONE: 3, MASK: 1}),
        # With weights of rows, which may be those of anchors: how many rows are none, and for R-Drop which.
        (CrossEntropy(), {"weights": True}, {ONE: 2}),
        (CrossEntropy(both_views=True) + RDrop(), {"weights": True}, {ONE: 2, MASK: 1}),
        # Two passes over four chunks; their widths are one more copy, which is not counted here.
        (CrossEntropy() + NegativeSupervision(), {"gradient_cache": 4}, {ONE: 8}),
    ],
    ids=["aan", "clld", "averaging", "fgm", "random", "weights", "r-drop with weights", "gradient cache"],
)
def test_a_step_of_the_trainer_waits_only_where_it_must(objective, options, expected, tmp_path: Path):
    options = dict(options)
    rows = _rows(options.pop("weights", False))
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=16,
        max_steps=2,
        logging_strategy="no",
        save_strategy="no",
        use_cpu=True,
        fast_dropout=False,  # as on other devices
        disable_tqdm=True,
        report_to="none",
        **options,
    )
    trainer = Trainer(_classifier(), arguments, objective=objective, train_dataset=rows)
    waits = _Waits()
    step = _Step(waits)
    trainer.add_callback(step)
    with waits:
        trainer.train()
    assert step.counted == Counter(expected)


def test_the_rows_of_a_step_are_counted_without_the_device(tmp_path: Path):
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    trainer = Trainer(_classifier(), arguments, train_dataset=_rows(False))
    batches = [trainer.train_dataset.batch([0, 1, 2]), trainer.train_dataset.batch([3, 4])]
    assert trainer._get_num_items_in_batch(batches, torch.device("meta")) == 5
