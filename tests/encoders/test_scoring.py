from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tellapart.data.batches.batching import TokenisedDataset
from tellapart.encoders import scoring
from tellapart.encoders.pooling import set_pooling
from tellapart.encoders.scoring import in_batches, represent, score
from tellapart.encoders.transformer import final_linear


def _rows(lengths: list[int]) -> TokenisedDataset:
    random = np.random.default_rng(0)
    return TokenisedDataset({"input_ids": random.integers(5, 60, sum(lengths))}, np.array(lengths))


def test_scores_come_back_in_the_order_of_the_rows(make_model, monkeypatch):
    model = make_model("bert")
    set_pooling(model, "mean")
    dataset = _rows([3, 9, 1, 20, 5, 9, 2])
    monkeypatch.setitem(scoring.TOKENS_A_BATCH, "cpu", 20)
    done: list[int] = []
    logits = score(model, dataset, progress=done.append)
    assert sum(done) == 7
    assert len(done) > 2
    for row in range(7):
        with torch.no_grad():
            alone = model(**dataset.batch([row])).logits
        np.testing.assert_allclose(logits[row], alone[0].numpy(), atol=1e-5)


def test_chosen_rows_are_scored_in_their_order(make_model):
    model, dataset = make_model("bert"), _rows([3, 9, 1, 20])
    everything = score(model, dataset)
    np.testing.assert_allclose(score(model, dataset, rows=[3, 0]), everything[[3, 0]], atol=1e-6)
    assert len(score(model, dataset, rows=[])) == 0


def test_representations_lead_to_the_logits(make_model):
    model, dataset = make_model("bert"), _rows([3, 9, 1])
    vectors = torch.from_numpy(represent(model, dataset))
    expected = final_linear(model)(vectors).detach().numpy()
    np.testing.assert_allclose(expected, score(model, dataset), atol=1e-5)


def test_the_model_stays_in_the_mode_it_was_in(make_model):
    model = make_model("bert").train()
    score(model, _rows([3]))
    assert model.training


def test_a_batch_is_read_after_the_next_one_has_been_handed_over():
    log: list[tuple[str, int]] = []

    def compute(batch: dict[str, torch.Tensor]) -> Any:
        width = batch["input_ids"].shape[1]
        log.append(("computed", width))

        def read() -> np.ndarray:
            log.append(("read", width))
            return np.full((len(batch["input_ids"]), 1), width, dtype=np.float32)

        return read

    done: list[int] = []
    values = in_batches(_rows([3, 9, 1, 20]), compute, 9, progress=done.append)
    assert values[:, 0].tolist() == [3, 9, 3, 20]
    steps = [("computed", 20), ("computed", 9), ("read", 20), ("computed", 3), ("read", 9), ("read", 3)]
    assert log == steps
    assert sum(done) == 4
