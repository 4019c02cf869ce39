"""Label texts in the trainer: further rows with a weight, and anchors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.data.batches.label_rows import concatenated
from tellapart.data.examples import LabelSpace, TextSplit
from tellapart.errors import DataError, RecipeError
from tellapart.objectives import (
    CrossEntropy,
    LabelDistance,
    RDrop,
    SupervisedContrastive,
)
from tellapart.training.arguments import TrainingArguments
from tellapart.training.head import train_head
from tellapart.training.probe import fit_linear
from tellapart.training.tfidf import TfidfClassifier
from tellapart.training.trainer import Trainer

NEVER = 1e-7  # a dropout so rare that two views are equal
TEXTS = TokenisedDataset(
    {"input_ids": np.array([1, 11, 2, 12, 3, 13, 14])}, np.array([2, 2, 3]), np.arange(3)
)


@pytest.fixture
def trained(tiny_model, rows, tmp_path):
    """The weights after training, and the trainer."""

    def train(objective=None, data=None, multi_label=False, **options):
        own = {name: options.pop(name) for name in list(options) if name.startswith("label_text")}
        arguments = {
            "output_dir": str(tmp_path),
            "use_cpu": True,
            "per_device_train_batch_size": 8,
            "max_steps": 4,
            "learning_rate": 0.05,
            "optim": "sgd",
            "save_strategy": "no",
            "disable_tqdm": True,
        }
        trainer = Trainer(
            tiny_model(dropout=NEVER, multi_label=multi_label),
            TrainingArguments(**arguments | options),
            objective=objective or CrossEntropy(),
            train_dataset=data or rows(multi_label=multi_label),
            **own,
        )
        trainer.train()
        return trainer.classifier.state_dict(), trainer

    return train


def _assert_equal(first, second, exactly=True):
    for name, value in first.items():
        torch.testing.assert_close(
            second[name], value, **({"rtol": 0, "atol": 0} if exactly else {"rtol": 1e-5, "atol": 1e-6})
        )


def test_with_weight_0_they_are_left_out_to_the_bit(trained):
    _assert_equal(trained()[0], trained(label_texts=TEXTS, label_text_weight=0.0)[0])


def test_with_weight_1_they_are_rows_like_others_to_the_bit(trained, rows):
    joined = concatenated([rows(), TEXTS])
    _assert_equal(trained(data=joined)[0], trained(label_texts=TEXTS)[0])


def test_the_objective_counts_only_the_labelled_rows(trained, rows):
    seen = []

    class Watching(CrossEntropy):
        def prepare(self, run):
            seen.append((run.class_counts.tolist(), run.num_rows))
            super().prepare(run)

    trained(objective=Watching(), label_texts=TEXTS, max_steps=1)
    assert seen == [(np.bincount(rows().labels).tolist(), 64)]


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2}, {"gradient_cache": 3}])
def test_a_classification_loss_never_sees_anchors(trained, options):
    """The contrastive term is computed and has weight 0; what remains must be training without label texts."""
    objective = lambda: CrossEntropy(both_views=True) + 1.0 * RDrop() + 0.0 * SupervisedContrastive()  # noqa: E731
    plain, _ = trained(objective(), **options)
    anchored, trainer = trained(
        objective(), label_texts=TEXTS, label_text_weight=0.0, label_text_anchors=True, **options
    )
    _assert_equal(plain, anchored, exactly=False)
    assert len(trainer.train_dataset) == 67


@pytest.mark.parametrize("multi_label", [False, True])
def test_anchors_in_chunks_step_like_one_pass(trained, multi_label):
    texts = TEXTS
    if multi_label:
        texts = TokenisedDataset(TEXTS.columns, TEXTS.lengths, np.eye(3, dtype=np.float32))

    def objective():
        torch.manual_seed(1)  # of the projection
        return 0.5 * CrossEntropy() + 0.5 * LabelDistance("uniform", projection_size=4, scale=10.0)

    own = {"label_texts": texts, "label_text_anchors": True, "label_text_weight": 0.5}
    whole, _ = trained(objective(), multi_label=multi_label, **own)
    chunks, _ = trained(objective(), multi_label=multi_label, gradient_cache=3, **own)
    without, _ = trained(objective(), multi_label=multi_label, label_texts=texts, label_text_weight=0.5)
    _assert_equal(whole, chunks, exactly=False)
    assert any(not torch.equal(whole[name], without[name]) for name in whole)


def test_every_batch_has_one_anchor_for_each_class_and_encodes_it_once(trained):
    seen = []

    class Watching(LabelDistance):
        def forward(self, batch):
            seen.append((batch.views.tolist(), batch.labels.tolist()))
            return super().forward(batch)

    trained(
        CrossEntropy() + Watching("uniform", projection_size=None),
        label_texts=TEXTS,
        label_text_weight=0.0,
        label_text_anchors=True,
    )
    for views, labels in seen:
        texts = views.count(0)
        assert views == [0] * texts + [1] * texts + [-1] * (len(views) - 2 * texts)
        assert labels[:texts] == labels[texts : 2 * texts]
        assert labels[2 * texts :] == sorted(set(labels[:texts]))


def test_anchors_without_a_term_that_compares_rows_are_refused(trained):
    with pytest.raises(RecipeError, match="compares texts of different classes"):
        trained(label_texts=TEXTS, label_text_anchors=True)
    with pytest.raises(RecipeError, match="label_text_weight"):
        trained(label_texts=TEXTS, label_text_weight=-1.0)
    numbers = TokenisedDataset(TEXTS.columns, TEXTS.lengths, np.ones(3, dtype=np.float32))
    with pytest.raises(DataError, match="classes as labels"):
        trained(label_texts=numbers)


def test_a_weight_of_2_is_a_row_twice_in_every_regression():
    random = np.random.default_rng(0)
    vectors, labels = random.normal(size=(30, 4)), random.integers(0, 3, 30)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # so that the scale is the same
    twice = np.concatenate([np.arange(30), np.arange(10)])
    weights = np.ones(30)
    weights[:10] = 2
    for gold in (labels, np.eye(3, dtype=np.float32)[labels]):
        for one, other in zip(
            fit_linear(vectors, gold, 3, weights=weights),
            fit_linear(vectors[twice], gold[twice], 3),
            strict=True,
        ):
            np.testing.assert_allclose(one, other, atol=2e-3)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_tfidf_model_takes_weights(multi_label):
    texts = ["pay the bill", "the bill is wrong", "send my money back", "money back please"] * 3
    names = ["bill", "bill", "refund", "refund"] * 3
    kind = "multi_label_classification" if multi_label else "single_label_classification"
    labels = LabelSpace(("bill", "refund"), kind)
    split = TextSplit(
        [*texts, "money"], labels=[[name] for name in [*names, "bill"]] if multi_label else [*names, "bill"]
    )
    margins = [
        TfidfClassifier.fit(split, labels, weights=np.array([1.0] * 12 + [weight])).scores(
            TextSplit(["money"])
        )[0, 0]
        for weight in (0.01, 1.0, 20.0)
    ]
    assert margins == sorted(margins)
    assert margins[0] < margins[2]


def test_a_head_takes_weights():
    vectors = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    labels = torch.tensor([0, 1, 0, 1, 1, 0])
    options = {"epochs": 1, "batch_size": 6, "seed": 1}
    weights = torch.tensor([1.0, 1, 1, 1, 0, 0])
    log = train_head(vectors, labels, 2, CrossEntropy(), weights=weights, **options).log
    plain = train_head(vectors, labels, 2, CrossEntropy(), weights=torch.ones(6), **options).log
    assert plain == train_head(vectors, labels, 2, CrossEntropy(), **options).log
    assert log[0]["loss"] < plain[0]["loss"]
