from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.data.batches.anchors import BatchAnchors
from tellapart.data.batches.balancing import ClassBalancedBatchSampler
from tellapart.data.batches.batching import JointDataset, LengthBucketBatchSampler, TokenisedDataset
from tellapart.data.batches.label_rows import anchor_count, with_anchors, with_label_rows
from tellapart.errors import DataError


def _dataset(rows: list[list[int]], labels, **options) -> TokenisedDataset:
    flat = np.array([token for row in rows for token in row])
    return TokenisedDataset(
        {"input_ids": flat}, np.array([len(row) for row in rows]), np.asarray(labels), **options
    )


TRAIN = _dataset([[1, 2, 3], [4]], [0, 1], padding={"input_ids": 9}, cut=np.array([True, False]))
TEXTS = _dataset([[5, 6], [7]], [0, 1], padding={"input_ids": 9}, cut=np.array([False, False]))


def test_label_texts_follow_the_training_rows_and_with_weight_1_nothing_else_is_added():
    rows = with_label_rows(TRAIN, TEXTS, 1.0)
    batch = rows.batch([2, 0, 3])
    assert batch["input_ids"].tolist() == [[5, 6, 9], [1, 2, 3], [7, 9, 9]]
    assert batch["labels"].tolist() == [0, 0, 1]
    assert rows.cut.tolist() == [True, False, False, False]
    assert set(batch) == {"input_ids", "attention_mask", "labels"}


def test_another_weight_is_a_column_and_0_leaves_label_texts_out():
    assert with_label_rows(TRAIN, TEXTS, 0.25).batch([3, 1])["weights"].tolist() == [0.25, 1.0]
    assert with_label_rows(TRAIN, TEXTS, 0.0) is TRAIN


def test_anchors_are_the_last_rows_with_weight_0():
    rows = with_anchors(with_label_rows(TRAIN, TEXTS, 0.5), TEXTS)
    assert rows.weights.tolist() == [1, 1, 0.5, 0.5, 0, 0]
    assert rows.anchors.tolist() == [False] * 4 + [True] * 2
    assert anchor_count(rows.batch([0, 4, 5])) == 2
    assert anchor_count(TRAIN.batch([0])) == 0


def test_rows_of_fused_encoders_are_joined_part_by_part():
    rows = with_label_rows(JointDataset([TRAIN, TRAIN]), JointDataset([TEXTS, TEXTS]), 0.5)
    batch = rows.batch([2])
    assert batch["input_ids"].tolist() == batch["input_ids_2"].tolist() == [[5, 6]]
    assert batch["weights"].tolist() == [0.5]
    assert batch["labels"].tolist() == [0]
    assert rows.lengths.tolist() == [6, 2, 4, 2]


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="another way"):
        with_label_rows(TRAIN, _dataset([[1]], np.eye(2, dtype=np.float32)[:1]), 1.0)
    with pytest.raises(DataError, match="classes as labels"):
        with_label_rows(TRAIN, TokenisedDataset({"input_ids": np.array([1])}, np.array([1])), 1.0)
    with pytest.raises(DataError, match="another way"):
        with_label_rows(TRAIN, JointDataset([TEXTS, TEXTS]), 1.0)


LABELS = st.lists(st.integers(0, 4), min_size=12, max_size=60)


@given(labels=LABELS, seed=st.integers(0, 3), epoch=st.integers(0, 3), ranks=st.integers(1, 3))
@settings(deadline=None)
def test_each_batch_has_the_anchors_of_its_classes_whatever_the_number_of_ranks(labels, seed, epoch, ranks):
    rows, size = len(labels), 6
    every = np.array([*labels, *range(5), *range(5)])  # two texts per class
    anchors = BatchAnchors(every, np.arange(len(every)) >= rows, seed)

    def batches(rank: int, of: int, chosen: BatchAnchors | None) -> list[list[int]]:
        sampler = LengthBucketBatchSampler(
            [1] * rows, size // of, seed=seed, ranks=of, rank=rank, window=4, anchors=chosen
        )
        sampler.set_epoch(epoch)
        return list(sampler)

    shares = [batches(rank, ranks, anchors) for rank in range(ranks)]
    for rank, share in enumerate(shares):
        plain = batches(rank, ranks, None)
        assert [[row for row in batch if row < rows] for batch in share] == plain
        for batch in share:
            kinds = [row >= rows for row in batch]
            assert kinds == sorted(kinds)  # anchors are last
    for parts in zip(*shares, strict=True):
        whole = [row for part in parts for row in part]
        added = [row for row in whole if row >= rows]
        assert sorted(every[added]) == sorted({labels[row] for row in whole if row < rows})
        counts = [sum(row >= rows for row in part) for part in parts]
        assert max(counts) - min(counts) <= 1


def test_of_several_texts_of_a_class_one_is_drawn_each_epoch():
    every = np.array([0, 1, 0, 0, 0, 1])
    anchors = BatchAnchors(every, np.arange(6) >= 2, seed=1)
    chosen = {epoch: anchors.of(np.array([0, 1]), epoch).tolist() for epoch in range(20)}
    assert {pair[0] for pair in chosen.values()} == {2, 3, 4}
    assert {pair[1] for pair in chosen.values()} == {5}
    again = BatchAnchors(every, np.arange(6) >= 2, seed=1)
    assert again.of(np.array([1, 0]), 7).tolist() == chosen[7]


def test_several_labels_have_the_anchors_of_all_of_them():
    every = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)
    anchors = BatchAnchors(torch.from_numpy(every), np.arange(5) >= 2)
    assert anchors.of(np.array([0]), 0).tolist() == [2, 3]
    assert anchors.of(np.array([1]), 0).tolist() == []


def test_balanced_batches_have_anchors_too():
    labels = np.array([0] * 8 + [1] * 8 + [2] * 8)
    anchors = BatchAnchors([*labels, 0, 1, 2], np.arange(27) >= 24)
    for batch in ClassBalancedBatchSampler(labels, [1] * 24, 8, anchors=anchors):
        assert len(batch) == 10
        assert {[*labels, 0, 1, 2][row] for row in batch[8:]} == set(labels[batch[:8]])


def test_label_texts_beside_soft_targets_are_certain():
    train = _dataset([[1, 2], [3]], np.array([0, 2])).with_targets(np.array([[0.7, 0.2, 0.1], [0, 0.5, 0.5]]))
    rows = with_label_rows(train, _dataset([[4]], np.array([1])), 1.0)
    assert torch.equal(rows.targets, torch.tensor([[0.7, 0.2, 0.1], [0, 0.5, 0.5], [0, 1, 0]]))
    assert rows.batch([2, 0])["targets"].tolist() == [[0, 1, 0], pytest.approx([0.7, 0.2, 0.1])]
    hot = _dataset([[1]], np.array([[1.0, 0.0]], dtype=np.float32))
    joined = with_label_rows(hot.with_targets(np.array([[0.6, 0.4]])), hot, 1.0)
    assert torch.equal(joined.targets, torch.tensor([[0.6, 0.4], [1, 0]]))


def test_weights_of_training_rows_stay():
    train = _dataset([[1, 2], [3]], np.array([0, 1]))
    train.weights = torch.tensor([1.0, 0.5])
    assert with_label_rows(train, _dataset([[4]], np.array([1])), 1.0).weights.tolist() == [1, 0.5, 1]
    anchored = with_anchors(train, _dataset([[4]], np.array([1])))
    assert anchored.weights.tolist() == [1, 0.5, 0]
