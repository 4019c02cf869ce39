from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from tellapart.errors import DataError
from tellapart.pretraining.arrangement import WindowedArrangement
from tellapart.pretraining.batches import Request, StepSampler, step_loader

WIDTHS = np.random.default_rng(0).integers(3, 30, 203)


class Lengths:
    """Sequences of which only the lengths are known."""

    def __init__(self, widths: np.ndarray) -> None:
        self._widths, self.mean_width = widths, float(widths.mean())

    def __len__(self) -> int:
        return len(self._widths)

    def widths(self, rows: np.ndarray) -> np.ndarray:
        return self._widths[rows]


SOME = Lengths(WIDTHS)


def _rows(sampler: StepSampler) -> list[tuple[int, tuple[int, ...]]]:
    return [(request.epoch, tuple(request.rows.tolist())) for request in sampler]


@pytest.mark.parametrize("window", [64, 4])
@pytest.mark.parametrize("options", [{"batch_size": 8}, {"batch_tokens": 120}])
def test_each_pass_has_every_sequence_once_and_another_arrangement(options, window):
    options = options | {"window": window}
    first = StepSampler(SOME, 1, **options)
    count = 2 * first.epoch_steps + 4
    requests = list(StepSampler(SOME, count, **options))
    assert len(requests) == count
    passes = [[r.rows for r in requests if r.epoch == epoch] for epoch in (0, 1)]
    for rows in passes:
        assert sorted(np.concatenate(rows)) == list(range(len(WIDTHS)))
    assert first.epoch_steps == len(passes[0])
    assert passes[0][0].tolist() != passes[1][0].tolist()
    assert _rows(StepSampler(SOME, 3, **options)) != _rows(StepSampler(SOME, 3, seed=1, **options))


@pytest.mark.parametrize("options", [{"batch_size": 8}, {"batch_tokens": 120}])
def test_a_longer_run_begins_as_a_shorter_one_does(options):
    longer = _rows(StepSampler(SOME, 70, **options))
    assert longer[:50] == _rows(StepSampler(SOME, 50, **options))
    assert longer == _rows(StepSampler(SOME, 70, **options))


@pytest.mark.parametrize("options", [{"batch_size": 8}, {"batch_tokens": 120}])
def test_a_run_goes_on_at_any_step_without_the_windows_before(options, monkeypatch):
    options = options | {"window": 4, "accumulation": 2}
    whole = StepSampler(SOME, 40, **options)
    requests = list(whole)
    made = []
    steps = WindowedArrangement.steps
    monkeypatch.setattr(
        WindowedArrangement, "steps", lambda self, *place: made.append(place) or steps(self, *place)
    )
    for step in (0, 1, 17, 39):
        start = whole.position(step)
        assert 0 <= step - start.step < 16
        resumed = list(StepSampler(SOME, 40, **options, start=start))
        assert len(resumed) == len(requests)
        assert set(resumed[: 2 * start.step]) <= {None}
        assert [str(request) for request in resumed[2 * step :]] == [str(one) for one in requests[2 * step :]]
        assert made[0] == (start.epoch, start.window)
        made.clear()


def test_a_corpus_of_an_earlier_version_keeps_its_order():
    """The hashes are those of version 0.1."""
    earlier = Lengths(WIDTHS)
    earlier.earlier = True
    expected = {
        "batch_size": ("fe202d91e26a5de1fd5d6ee22151bbf0a6e50470f3038445c53e523408b0050b", 13),
        "batch_tokens": ("7a74d41b7c57d5fb41aad562035fd22361efbd6809587f3b01c7b53933648704", 18),
    }
    for options in ({"batch_size": 8}, {"batch_tokens": 120}):
        sampler = StepSampler(earlier, 70, seed=3, ranks=2, rank=1, window=4, **options)
        rows = "".join(f"{request.epoch}:{request.rows.tolist()}\n" for request in sampler)
        found = (hashlib.sha256(rows.encode()).hexdigest(), sampler.epoch_steps)
        assert found == expected[next(iter(options))]


def _shares(**options) -> list[list[Request]]:
    return [list(StepSampler(SOME, 30, **options, accumulation=2, ranks=2, rank=rank)) for rank in (0, 1)]


def test_accumulation_and_ranks_share_the_steps_of_one_process():
    steps = list(StepSampler(SOME, 30, batch_size=16))
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
    sampler = StepSampler(SOME, 40, batch_tokens=90)
    for request in sampler:
        widths = WIDTHS[request.rows]
        assert len(widths) * widths.max() <= 90
    padding = [1 - WIDTHS[r.rows].mean() / WIDTHS[r.rows].max() for r in sampler]
    assert np.mean(padding) < 0.1
    assert len(next(iter(StepSampler(Lengths(np.array([50, 60])), 1, batch_tokens=10))).rows) == 1


def test_too_few_sequences_for_a_step_are_refused():
    with pytest.raises(DataError, match=r"3 sequence\(s\) are too few for the 4 batches"):
        StepSampler(Lengths(np.array([4, 5, 6])), 10, accumulation=2, ranks=2)


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
    sampler = StepSampler(sequences.corpus, 7, batch_size=16)
    state = torch.get_rng_state()
    loaded = list(step_loader(sequences, sampler, workers=workers))
    assert torch.equal(torch.get_rng_state(), state)
    for request, batch in zip(sampler, loaded, strict=True):
        assert isinstance(request, Request)
        expected = sequences.batch(request.rows, request.epoch)
        assert batch.keys() == expected.keys()
        assert all(torch.equal(batch[name], expected[name]) for name in batch)
