from __future__ import annotations

import numpy as np
import pytest
import torch

from tellapart.errors import DataError
from tellapart.pretraining.batches import Request, StepSampler, step_loader

WIDTHS = np.random.default_rng(0).integers(3, 30, 203)


def _rows(sampler: StepSampler) -> list[tuple[int, tuple[int, ...]]]:
    return [(request.epoch, tuple(request.rows.tolist())) for request in sampler]


@pytest.mark.parametrize("options", [{"batch_size": 8}, {"batch_tokens": 120}])
def test_each_pass_has_every_sequence_once_and_another_arrangement(options):
    first = StepSampler(WIDTHS, 1, **options)
    count = len(first.arrangement(0)) + len(first.arrangement(1))
    requests = list(StepSampler(WIDTHS, count, **options))
    assert len(requests) == count
    for epoch in (0, 1):
        rows = np.concatenate([request.rows for request in requests if request.epoch == epoch])
        assert sorted(rows) == list(range(len(WIDTHS)))
    assert first.epoch_steps == len(first.arrangement(0))
    assert _rows(StepSampler(WIDTHS, 3, **options)) != _rows(StepSampler(WIDTHS, 3, seed=1, **options))


@pytest.mark.parametrize("options", [{"batch_size": 8}, {"batch_tokens": 120}])
def test_a_longer_run_begins_as_a_shorter_one_does(options):
    longer = _rows(StepSampler(WIDTHS, 70, **options))
    assert longer[:50] == _rows(StepSampler(WIDTHS, 50, **options))
    assert longer == _rows(StepSampler(WIDTHS, 70, **options))


def _shares(**options) -> list[list[Request]]:
    return [list(StepSampler(WIDTHS, 30, **options, accumulation=2, ranks=2, rank=rank)) for rank in (0, 1)]


def test_accumulation_and_ranks_share_the_steps_of_one_process():
    steps = list(StepSampler(WIDTHS, 30, batch_size=16))
    shares = _shares(batch_size=4)
    assert all(len(share) == 60 for share in shares)
    for number, request in enumerate(steps):
        parts = [share[2 * number + place] for share in shares for place in (0, 1)]
        assert {part.epoch for part in parts} == {request.epoch}
        together = np.concatenate([part.rows for part in parts])
        assert sorted(together) == sorted(request.rows)
        assert min(len(part.rows) for part in parts) >= 1


def test_batches_by_tokens_are_shared_too():
    requests = [request for share in _shares(batch_tokens=60) for request in share]
    assert min(len(request.rows) for request in requests) >= 1
    first = np.concatenate([request.rows for request in requests if request.epoch == 0])
    assert sorted(first) == list(range(len(WIDTHS)))


def test_a_batch_has_sequences_of_similar_length_and_at_most_so_many_tokens():
    sampler = StepSampler(WIDTHS, 40, batch_tokens=90)
    for request in sampler:
        widths = WIDTHS[request.rows]
        assert len(widths) * widths.max() <= 90
    padding = [1 - WIDTHS[r.rows].mean() / WIDTHS[r.rows].max() for r in sampler]
    assert np.mean(padding) < 0.1
    assert len(next(iter(StepSampler(np.array([50, 60]), 1, batch_tokens=10))).rows) == 1


def test_too_few_sequences_for_a_step_are_refused():
    with pytest.raises(DataError, match=r"3 sequence\(s\) are too few for the 4 batches"):
        StepSampler(np.array([4, 5, 6]), 10, accumulation=2, ranks=2)


def test_a_batch_is_the_padded_sequences_with_their_masks(sequences, tokenizer, text_file):
    lines = text_file.read_text().splitlines()
    rows = [0, 5, 17, 3]
    batch = sequences.batch(rows, epoch=2)
    gold = batch["input_ids"].flatten().index_copy(0, batch["positions"], batch["labels"]).view(4, -1)
    expected = tokenizer([lines[row] for row in rows], padding=True, return_tensors="pt")
    assert torch.equal(gold, expected["input_ids"])
    assert torch.equal(batch["attention_mask"], expected["attention_mask"])
    assert batch["attention_mask"].flatten()[batch["positions"]].all()
    masked = batch["input_ids"].flatten()[batch["positions"]] == tokenizer.mask_token_id
    assert masked.any()


@pytest.mark.parametrize("workers", [0, 2])
def test_the_batches_are_the_same_with_any_number_of_workers(sequences, workers):
    sampler = StepSampler(sequences.corpus.widths, 7, batch_size=16)
    state = torch.get_rng_state()
    loaded = list(step_loader(sequences, sampler, workers=workers))
    assert torch.equal(torch.get_rng_state(), state)
    for request, batch in zip(sampler, loaded, strict=True):
        assert isinstance(request, Request)
        expected = sequences.batch(request.rows, request.epoch)
        assert batch.keys() == expected.keys()
        assert all(torch.equal(batch[name], expected[name]) for name in batch)
