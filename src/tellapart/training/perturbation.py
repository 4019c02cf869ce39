"""Adversarial perturbation of the token embeddings: a second pass over a step's rows from a harder place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, TrainingArguments

from tellapart.errors import RecipeError

Perturbation = Literal["fgm", "random"]


class EmbeddingPerturbation:
    """Moves each encoder's token embeddings by r, |r|₂ = ε, and back to the same bits.

    `fgm`: r = ε · g / |g|₂, where g is the gradient of the step so far, the norm being one over the whole table
    (Miyato, Dai and Goodfellow 2017, Adversarial Training Methods for Semi-Supervised Text Classification, Eq. 7,
    as the auxiliary-labels paper's MRE-F uses it). `random`: a direction drawn from a normal distribution. Only
    rows with a gradient move: those of tokens that the step's texts have. Where the gradient is zero or not finite
    nothing moves.

    Args:
        model: A classifier; each of several fused encoders has a table and a norm of its own.
        kind: `fgm` or `random`.
        size: ε.
        seed: Of the random directions; the same on all processes.
    """

    def __init__(self, model: Any, kind: Perturbation, size: float = 1.0, seed: int = 0) -> None:
        self.kind, self.size, self.seed = kind, size, seed
        self._model = model

    @property
    def tables(self) -> list[nn.Parameter]:
        """The tables as they are now; in training they may hold only the rows that are used."""
        return token_embeddings(self._model)

    @contextlib.contextmanager
    def applied(self, step: int) -> Iterator[None]:
        """Perturbs the embeddings by their gradients; at the block's end they are as they were.

        Args:
            step: Number of the optimiser step, for the random directions.
        """
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        moved = []
        with torch.no_grad():
            for table in self.tables:
                rows, change = self._change(table, generator)
                moved.append((table, rows, table[rows].clone()))
                table[rows] += change
        try:
            yield
        finally:
            with torch.no_grad():
                for table, rows, before in moved:
                    table[rows] = before

    def _change(self, table: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The numbers of the rows to move (n,), perhaps none, and r for them (n, d)."""
        gradient = torch.zeros_like(table[:0]) if table.grad is None else table.grad
        rows = gradient.abs().sum(1).nonzero().squeeze(1)
        direction = gradient[rows].float()
        if self.kind == "random":
            direction = torch.randn(direction.shape, generator=generator).to(table.device)
        norm = torch.linalg.vector_norm(direction)
        if norm == 0 or not torch.isfinite(norm):
            return rows[:0], table[:0]
        return rows, (self.size / norm * direction).to(table.dtype)


def token_embeddings(model: Any) -> list[nn.Parameter]:
    """Returns the token embedding tables of a model, one for each of its encoders, that learn."""
    tables: dict[int, nn.Parameter] = {}
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            with contextlib.suppress(NotImplementedError, AttributeError):
                table = module.get_input_embeddings().weight
                if table.requires_grad:
                    tables[id(table)] = table
    return list(tables.values())


def embedding_perturbation(args: TrainingArguments, model: Any) -> EmbeddingPerturbation | None:
    """Returns the perturbation that a training's arguments name; None for `none`.

    Args:
        args: `tellapart.TrainingArguments`; those of Transformers name none.
        model: A classifier.

    Raises:
        RecipeError: There is no perturbation of that name.
    """
    kind: Any = getattr(args, "perturbation", "none")
    if kind == "none":
        return None
    if kind not in get_args(Perturbation):
        raise RecipeError(f'there is no perturbation "{kind}"', "use fgm, random or none")
    return EmbeddingPerturbation(model, kind, getattr(args, "perturbation_size", 1.0), args.seed)
