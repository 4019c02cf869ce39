"""Logits of evaluated rows, of which each rank has a share."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tellapart.training.evaluating import distributed_logits


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_ranks_share_any_number_of_rows(tiny_model, rows, count):
    """Also fewer rows than there are ranks."""
    model, data, ranks, shares = tiny_model().eval(), rows(count), 3, []

    def record(share: torch.Tensor) -> torch.Tensor:
        shares.append(share)
        return torch.cat([share] * ranks)

    def on(rank: int, gather):
        accelerator = SimpleNamespace(
            num_processes=ranks, process_index=rank, device=torch.device("cpu"), gather=gather
        )
        return distributed_logits(model, data, accelerator, bf16=False)

    for rank in range(ranks):
        on(rank, record)
    found = on(0, lambda _: torch.cat(shares))
    alone = SimpleNamespace(num_processes=1, process_index=0)
    expected = distributed_logits(model, data, alone, bf16=False)
    assert found.shape == (count, 3)
    np.testing.assert_allclose(found, expected.reshape(count, -1 if count else 3), atol=1e-6)
