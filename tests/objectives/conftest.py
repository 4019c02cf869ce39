from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from tellapart.objectives import EncodedBatch, Objective, RunFacts

Rows = Tensor | Sequence[Sequence[float]]


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., EncodedBatch]:
    """Makes a batch; what a test does not care about is zeros."""

    def make(
        labels: Tensor | Sequence,
        *,
        vectors: Rows | None = None,
        logits: Rows | None = None,
        views: int = 1,
        dtype: torch.dtype = torch.float32,
    ) -> EncodedBatch:
        labels = torch.as_tensor(labels)
        rows = len(labels)
        return EncodedBatch(
            logits=torch.as_tensor([[0.0, 0.0]] * rows if logits is None else logits, dtype=dtype),
            representation=torch.as_tensor([[0.0]] * rows if vectors is None else vectors, dtype=dtype),
            labels=labels.to(dtype) if labels.dim() == 2 else labels,
            views=torch.arange(views).repeat_interleave(rows // views),
        )

    return make


@pytest.fixture(scope="session")
def prepared() -> Callable[..., Objective]:
    """Prepares an objective as a trainer would, for ten evaluations."""

    def prepare(objective: Objective, *, num_labels: int = 2, hidden_size: int = 2, **known) -> Objective:
        known = {"class_counts": None, "total_evaluations": 10} | known
        objective.prepare(RunFacts(num_labels=num_labels, hidden_size=hidden_size, **known))
        return objective

    return prepare


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
