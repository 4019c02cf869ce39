from __future__ import annotations

from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.data.batches.balancing import ClassBalancedBatchSampler
from tellapart.data.batches.batching import LengthBucketBatchSampler, TokenisedDataset
from tellapart.errors import DataError, RecipeError


def _uneven(classes: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes of 3, 9, 27 … rows, shuffled, with the lengths of the rows."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), 3 * 2 ** np.arange(classes))
    return random.permutation(labels), random.integers(3, 40, len(labels))


@pytest.mark.parametrize(("batch_size", "per_class"), [(8, 2), (12, 4), (24, 4)])
def test_a_batch_holds_as_many_classes_as_it_has_room_for_and_the_same_number_of_rows_of_each(
    batch_size, per_class
):
    labels, lengths = _uneven()
    sampler = ClassBalancedBatchSampler(labels, lengths, batch_size, texts_per_class=per_class)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        for batch in sampler:
            counts = Counter(labels[batch].tolist())
            assert set(counts.values()) == {per_class}
            assert len(counts) == batch_size // per_class


def test_rows_of_a_group_are_distinct_where_the_class_has_enough_of_them():
    labels, lengths = _uneven()
    for batch in ClassBalancedBatchSampler(labels, lengths, 16, texts_per_class=4):
        for label in set(labels[batch].tolist()):
            rows = [row for row in batch if labels[row] == label]
            assert len(set(rows)) == (3 if label == 0 else 4)  # class 0 has three rows


def test_more_groups_than_classes_are_shared_evenly():
    labels, lengths = _uneven(3)
    for batch in ClassBalancedBatchSampler(labels, lengths, 20, texts_per_class=2):
        groups = [count // 2 for count in Counter(labels[batch].tolist()).values()]
        assert sorted(groups) in ([3, 3, 4],)


def test_classes_take_turns_and_so_do_the_rows_of_each():
    labels, lengths = _uneven()
    sampler = ClassBalancedBatchSampler(labels, lengths, 6, texts_per_class=2)
    seen = Counter(row for batch in sampler for row in batch)
    of_class = Counter(labels[row] for row in seen.elements())
    assert max(of_class.values()) - min(of_class.values()) <= 2
    for label in range(6):
        times = [seen[row] for row in np.flatnonzero(labels == label)]
        assert max(times) - min(times) <= (2 if label == 0 else 1)  # three rows never make two whole groups


@given(
    ranks=st.integers(1, 3), accumulation=st.integers(1, 4), groups=st.integers(2, 4), epoch=st.integers(0, 3)
)
@settings(deadline=None, max_examples=40)
def test_ranks_and_accumulation_deal_out_the_same_global_batches(ranks, accumulation, groups, epoch):
    labels, lengths = _uneven(5)
    size = 2 * groups
    whole = ClassBalancedBatchSampler(labels, lengths, size * ranks * accumulation, texts_per_class=2, seed=3)
    shares = [
        ClassBalancedBatchSampler(
            labels,
            lengths,
            size,
            texts_per_class=2,
            seed=3,
            accumulation=accumulation,
            ranks=ranks,
            rank=rank,
        )
        for rank in range(ranks)
    ]
    for sampler in (whole, *shares):
        sampler.set_epoch(epoch)
    dealt = [list(share) for share in shares]
    assert all(len(batches) == len(shares[0]) == accumulation * len(whole) for batches in dealt)
    together = [list(chain.from_iterable(batches)) for batches in zip(*dealt, strict=True)]
    for step, rows in enumerate(whole):
        parts = together[step * accumulation : (step + 1) * accumulation]
        assert sorted(chain.from_iterable(parts)) == sorted(rows)
        for (
            part
        ) in parts:  # what is compared with each other holds whole groups, of distinct classes if it can
            counts = Counter(labels[part].tolist())
            assert all(count % 2 == 0 for count in counts.values())
            if groups * ranks * accumulation <= 5 * accumulation:
                assert max(counts.values()) == 2


def test_the_arrangement_follows_from_seed_and_epoch():
    labels, lengths = _uneven()

    def arrangement(seed: int, epoch: int) -> list[list[int]]:
        sampler = ClassBalancedBatchSampler(labels, lengths, 8, texts_per_class=2, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert arrangement(0, 1) == arrangement(0, 1)
    assert arrangement(0, 1) != arrangement(0, 2)
    assert arrangement(0, 1) != arrangement(1, 1)


@given(size=st.sampled_from([4, 8, 16]), accumulation=st.integers(1, 3), drop_last=st.booleans())
@settings(deadline=None)
def test_an_epoch_has_as_many_steps_as_in_any_other_order(size, accumulation, drop_last):
    labels, lengths = _uneven(4)
    options = {"accumulation": accumulation, "drop_last": drop_last}
    balanced = ClassBalancedBatchSampler(labels, lengths, size, texts_per_class=2, **options)
    by_length = LengthBucketBatchSampler(lengths, size, **options)
    assert len(balanced.global_batches()) == len(by_length.global_batches())
    assert len(list(balanced)) == len(balanced)


def test_rows_of_similar_length_come_together(padding_share):
    random = np.random.default_rng(0)
    labels, lengths = random.integers(0, 8, 2000), random.geometric(0.03, 2000).clip(1, 128)
    dataset = TokenisedDataset({"input_ids": np.ones(lengths.sum(), int)}, lengths)
    sampler = ClassBalancedBatchSampler(labels, lengths, 32)
    shuffled = np.array_split(random.permutation(2000), 63)
    assert padding_share(dataset, list(sampler)) < 0.6 * padding_share(dataset, shuffled)


def test_what_cannot_be_balanced_is_refused():
    lengths = np.ones(12, int)
    labels = np.arange(12) % 3
    with pytest.raises(RecipeError, match="several labels"):
        ClassBalancedBatchSampler(np.eye(12), lengths, 8)
    for size, per_class in ((10, 4), (4, 4)):
        with pytest.raises(RecipeError, match=f"a batch of {size} rows cannot hold two or more"):
            ClassBalancedBatchSampler(labels, lengths, size, texts_per_class=per_class)
    with pytest.raises(DataError, match="two classes"):
        ClassBalancedBatchSampler(np.zeros(12, int), lengths, 8)
