from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.data.batches.batching import (
    LengthBucketBatchSampler,
    TokenisedDataset,
    token_budget_batches,
)
from tellapart.errors import DataError

LENGTHS = st.lists(st.integers(1, 50), min_size=8, max_size=200)


def _dataset(rows: list[list[int]], **options) -> TokenisedDataset:
    flat = np.array([token for row in rows for token in row])
    return TokenisedDataset({"input_ids": flat}, np.array([len(row) for row in rows]), **options)


def test_a_batch_is_padded_to_its_longest_row():
    dataset = _dataset([[1, 2, 3], [4], [5, 6]], labels=np.array([0, 1, 2]), padding={"input_ids": 9})
    batch = dataset.batch([2, 0])
    assert batch["input_ids"].tolist() == [[5, 6, 9], [1, 2, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch["labels"].tolist() == [2, 0]
    assert dataset.batch([1])["input_ids"].tolist() == [[4]]


@pytest.mark.parametrize("labels", [[0.5, 2.0, 1.0], [[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]]])
def test_numbers_of_rows_are_float32_in_a_batch(labels):
    """Apple GPUs have no float64; the data set keeps the labels as they are, for metrics."""
    rows = TokenisedDataset({"input_ids": np.arange(5, 9)}, np.array([1, 2, 1]), np.array(labels))
    assert rows.batch([0, 2])["labels"].dtype == torch.float32
    assert rows.labels.dtype == torch.float64


def test_padding_goes_left_when_the_tokeniser_wants_it():
    batch = _dataset([[1, 2, 3], [4]], pad_left=True).batch([0, 1])
    assert batch["input_ids"].tolist() == [[1, 2, 3], [0, 0, 4]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [0, 0, 1]]


@given(lengths=LENGTHS, seed=st.integers(0, 5), epoch=st.integers(0, 5), size=st.integers(1, 9))
@settings(deadline=None)
def test_an_epoch_holds_every_row_once(lengths, seed, epoch, size):
    sampler = LengthBucketBatchSampler(lengths, size, seed=seed, window=3)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert len(batches) == len(sampler)
    assert all(len(batch) == size for batch in batches[:-1])


@given(lengths=LENGTHS, ranks=st.integers(1, 3), accumulation=st.integers(1, 3), size=st.integers(1, 4))
@settings(deadline=None)
def test_ranks_and_accumulation_deal_out_the_same_global_batches(lengths, ranks, accumulation, size):
    whole = LengthBucketBatchSampler(lengths, size * ranks * accumulation, window=4 * ranks * accumulation)
    shares = [
        LengthBucketBatchSampler(
            lengths, size, window=4 * ranks * accumulation, accumulation=accumulation, ranks=ranks, rank=rank
        )
        for rank in range(ranks)
    ]
    dealt = [list(share) for share in shares]
    assert all(len(batches) == len(shares[0]) for batches in dealt)
    assert all(len(batch) > 0 for batches in dealt for batch in batches)
    whole.window = 4  # windows are counted in batches of one rank and one accumulation step
    expected = [row for rows in whole for row in rows]
    together = [row for step in zip(*dealt, strict=True) for batch in step for row in batch]
    full = len(lengths) - len(lengths) % whole.global_size
    assert sorted(together) == sorted(expected)
    for start in range(0, full - whole.global_size, whole.global_size):
        chosen = slice(start, start + whole.global_size)
        assert sorted(together[chosen]) == sorted(expected[chosen])


def test_the_arrangement_follows_from_seed_and_epoch():
    lengths = np.random.default_rng(0).integers(1, 40, 300)

    def arrangement(seed: int, epoch: int) -> list[list[int]]:
        sampler = LengthBucketBatchSampler(lengths, 8, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert arrangement(0, 1) == arrangement(0, 1)
    assert arrangement(0, 1) != arrangement(0, 2)
    assert arrangement(0, 1) != arrangement(1, 1)
    together = [
        {frozenset((a, b)) for batch in arrangement(0, epoch) for a in batch for b in batch if a < b}
        for epoch in (0, 1)
    ]
    assert len(together[0] & together[1]) < 0.5 * len(together[0])


def test_buckets_save_most_of_the_padding(padding_share):
    lengths = np.random.default_rng(0).geometric(0.03, 3000).clip(1, 128)
    dataset = _dataset([[1] * length for length in lengths])
    shuffled = np.array_split(np.random.default_rng(1).permutation(3000), 94)
    assert padding_share(dataset, shuffled) > 0.5
    assert padding_share(dataset, list(LengthBucketBatchSampler(lengths, 32))) < 0.07


def test_the_smaller_batch_is_not_always_the_longest_rows():
    lengths = np.arange(1, 101)
    sampler = LengthBucketBatchSampler(lengths, 16)
    means = []
    for epoch in range(20):
        sampler.set_epoch(epoch)
        means.append(lengths[list(sampler)[-1]].mean())
    assert max(means) - min(means) > 30


def test_drop_last_leaves_whole_batches():
    sampler = LengthBucketBatchSampler(np.ones(30, int), 8, drop_last=True)
    assert [len(batch) for batch in sampler] == [8, 8, 8]
    assert len(sampler) == 3


def test_more_processes_than_rows_are_refused():
    with pytest.raises(DataError, match="too few for 2 processes"):
        LengthBucketBatchSampler([3], 8, ranks=2)


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=80), tokens=st.integers(10, 200))
@settings(deadline=None)
def test_scoring_batches_keep_to_the_budget(lengths, tokens):
    batches = token_budget_batches(lengths, tokens)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= tokens


def test_nothing_is_known_of_rows_that_others_tokenised():
    assert _dataset([[1, 2]]).cut_share is None
