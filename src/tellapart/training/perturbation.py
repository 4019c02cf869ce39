"""Adversarial (FGM) or random perturbation of token embeddings."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tellapart.errors import RecipeError
from tellapart.training.arguments import TrainingArguments

Perturbation = Literal["fgm", "random"]


class EmbeddingPerturbation:
    """Temporarily adds r with |r|₂ = ε to each encoder's token embeddings, restored bit for bit.

    `fgm`: r = ε · g / |g|₂, where g is the gradient of the step so far and the norm is over the whole embedding
    matrix (Miyato, Dai and Goodfellow 2017, Adversarial Training Methods for Semi-Supervised Text Classification,
    Eq. 7, as used by MRE-F of the auxiliary-labels paper). `random`: a direction drawn from a normal distribution.
    Only rows with a gradient are perturbed, those of tokens in the step's texts; none if the gradient is zero or not
    finite.

    Args:
        model: A classifier; each of several fused encoders has its own embeddings and norm.
        kind: `fgm` or `random`.
        size: ε.
        seed: Of the random directions; the same on all processes.
    """

    def __init__(self, model: Any, kind: Perturbation, size: float = 1.0, seed: int = 0) -> None:
        self.kind, self.size, self.seed = kind, size, seed
        self._model = model

    @property
    def matrices(self) -> list[nn.Parameter]:
        """The current embedding matrices; during training possibly trimmed to the rows in use."""
        return token_embeddings(self._model)

    @contextlib.contextmanager
    def applied(self, step: int) -> Iterator[None]:
        """Perturbs the embeddings by their gradients, and restores them at the end of the block.

        Args:
            step: Number of the optimiser step, part of the seed of random directions.
        """
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        moved = []
        with torch.no_grad():
            for matrix in self.matrices:
                rows, change = self._change(matrix, generator)
                moved.append((matrix, rows, matrix[rows].clone()))
                matrix[rows] += change
        try:
            yield
        finally:
            with torch.no_grad():
                for matrix, rows, before in moved:
                    matrix[rows] = before

    def _change(self, matrix: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Returns the indices of the rows to perturb (n,), possibly none, and their r (n, d)."""
        gradient = torch.zeros_like(matrix[:0]) if matrix.grad is None else matrix.grad
        rows = gradient.abs().sum(1).nonzero().squeeze(1)
        direction = gradient[rows].float()
        if self.kind == "random":
            direction = torch.randn(direction.shape, generator=generator).to(matrix.device)
        norm = torch.linalg.vector_norm(direction)
        if not 0 < float(norm) < math.inf:
            return rows[:0], matrix[:0]
        return rows, (self.size / norm * direction).to(matrix.dtype)


def token_embeddings(model: Any) -> list[nn.Parameter]:
    """Returns a model's trainable token embedding matrices, one per encoder."""
    matrices: dict[int, nn.Parameter] = {}
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            with contextlib.suppress(NotImplementedError, AttributeError):
                matrix = module.get_input_embeddings().weight
                if matrix.requires_grad:
                    matrices[id(matrix)] = matrix
    return list(matrices.values())


def embedding_perturbation(args: TrainingArguments, model: Any) -> EmbeddingPerturbation | None:
    """Returns the perturbation that the arguments name; None for `none`.

    Args:
        args: The training arguments.
        model: A classifier.

    Raises:
        RecipeError: There is no perturbation of that name.
    """
    kind: Any = args.perturbation
    if kind == "none":
        return None
    if kind not in get_args(Perturbation):
        raise RecipeError(f'there is no perturbation "{kind}"', "use fgm, random or none")
    return EmbeddingPerturbation(model, kind, args.perturbation_size, args.seed)
