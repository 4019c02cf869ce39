"""Trains only those rows of the token embedding matrix that the training texts use.

The gradient of all other rows is zero at every step, and AdamW changes them only by weight decay. A matrix of 30,000
words, or 250,000 in multilingual encoders, nevertheless costs a gradient of zeros, a norm, an optimiser step and two
matrices of optimiser state. Here the trained parameter holds only the rows in use; the weight decay of the others is
accumulated in one factor, which is applied when they are next read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from tellapart.data.batches.batching import TokenisedDataset

LARGEST_SHARE = 0.75
"""Share of rows in use above which trimming saves nothing."""


class TrimmedEmbedding(nn.Module):
    """An `nn.Embedding` whose parameter holds only the rows in use.

    In training mode only ids in use are allowed; in evaluation mode any. The state dictionary is that of the whole
    matrix.

    Args:
        whole: The whole embedding, updated whenever this module is put into evaluation mode or saved.
        used: Ids of the rows in use, sorted (n,), including padding.
    """

    places: Tensor

    def __init__(self, whole: nn.Embedding, used: Tensor) -> None:
        super().__init__()
        self._whole = (whole,)  # in a tuple, so that it is not registered as a submodule and trained
        self._used = used
        self._decay = self._decay_to_take = 1.0
        self.rest_scale = 1.0
        """Factor of the rows that are not in use, as evaluation reads them; see `tellapart.training.averaging`."""
        self.weight = nn.Parameter(whole.weight.detach()[used].clone())
        # Unused ids get an invalid place, so that in training they raise IndexError.
        places = torch.full((whole.num_embeddings,), len(used), dtype=torch.int64, device=used.device)
        places[used] = torch.arange(len(used), device=used.device)
        self.register_buffer("places", places, persistent=False)
        padding = whole.padding_idx
        self._padding = None if padding is None else int(places[padding])

    @property
    def whole(self) -> nn.Embedding:
        """The whole embedding, as of the last change to evaluation mode or saving."""
        return self._whole[0]

    @property
    def num_embeddings(self) -> int:
        """Rows of the whole matrix."""
        return self.whole.num_embeddings

    @property
    def embedding_dim(self) -> int:
        """Width of the embeddings."""
        return self.whole.embedding_dim

    def forward(self, ids: Tensor) -> Tensor:
        """Looks up ids of any shape."""
        if self.training:
            return functional.embedding(self.places[ids], self.weight, self._padding)
        if self.rest_scale == 1.0:
            return self.whole(ids)
        unused = (self.places[ids] == len(self._used)).unsqueeze(-1)
        return torch.where(unused, self.rest_scale * self.whole(ids), self.whole(ids))

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`; the whole matrix is updated before evaluation."""
        if self.training and not mode:
            self.update_whole()
        return super().train(mode)

    def decay_rest(self, factor: float) -> None:
        """Multiplies the unused rows by a factor, applied when they are next read."""
        self._decay *= factor
        self._decay_to_take *= factor

    def taken_decay(self) -> float:
        """Returns the product of the factors of `decay_rest` since the last call."""
        factor, self._decay_to_take = self._decay_to_take, 1.0
        return factor

    @torch.no_grad()
    def update_whole(self) -> None:
        """Writes the trained rows and the weight decay of the others into the whole matrix."""
        table = self.whole.weight
        if self._decay != 1.0:
            table.mul_(self._decay)
            self._decay = 1.0
        table[self._used] = self.weight

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        self.update_whole()
        weight = self.whole.weight
        destination[prefix + "weight"] = weight if keep_vars else weight.detach()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        self.whole._load_from_state_dict(state_dict, prefix, *rest)
        self._decay = 1.0
        with torch.no_grad():
            self.weight.copy_(self.whole.weight[self._used])


def used_tokens(rows: TokenisedDataset, padding: int | None) -> Tensor:
    """Returns the ids that occur in rows or their padded batches, sorted (n,).

    Args:
        rows: Tokenised texts.
        padding: The id of padding, or None.
    """
    # Counted rather than sorted: there may be many millions.
    found = torch.bincount(rows.columns["input_ids"]).nonzero().squeeze(1)
    pads = [] if padding is None else [padding]
    return torch.unique(torch.cat([found, torch.tensor([*pads, rows.padding["input_ids"]])]))


@contextlib.contextmanager
def trimmed_embeddings(model: Any, rows: TokenisedDataset) -> Iterator[TrimmedEmbedding | None]:
    """Temporarily replaces the embedding layer by `TrimmedEmbedding`.

    Args:
        model: A Transformers model.
        rows: Its training rows.

    Returns:
        The embedding; None if the model has no trainable embedding layer of its own, or most rows are in use.
    """
    table = _table(model)
    used = None if table is None else used_tokens(rows, table.padding_idx)
    if table is None or used is None or not 0 < len(used) <= LARGEST_SHARE * table.num_embeddings:
        yield None
        return
    parent, name = _place(model, table)
    trimmed = TrimmedEmbedding(table, used.to(table.weight.device))
    setattr(parent, name, trimmed)
    try:
        yield trimmed
    finally:
        trimmed.update_whole()
        setattr(parent, name, table)


def follow_weight_decay(optimizer: torch.optim.Optimizer, embedding: TrimmedEmbedding) -> None:
    """Applies AdamW's weight decay to the unused rows too.

    Args:
        optimizer: AdamW, or another optimiser whose step without a gradient is p ← p · (1 − rate · decay).
        embedding: Its rows in use are a parameter of the optimiser.
    """
    number = next(
        number
        for number, group in enumerate(optimizer.param_groups)
        if any(parameter is embedding.weight for parameter in group["params"])
    )

    def decay(*_: Any) -> None:
        group = optimizer.param_groups[number]  # read here, since loading a checkpoint replaces the groups
        embedding.decay_rest(1 - float(group["lr"]) * group["weight_decay"])

    optimizer.register_step_post_hook(decay)


def _table(model: Any) -> nn.Embedding | None:
    """Returns the model's token embeddings if they can be trimmed: a plain, trainable layer with unshared weights."""
    try:
        table = model.get_input_embeddings()
    except (NotImplementedError, AttributeError):
        return None
    if type(table) is not nn.Embedding or not table.weight.requires_grad:
        return None
    if table.max_norm is not None or table.scale_grad_by_freq or table.sparse:
        return None
    holders = [module for module in model.modules() if getattr(module, "weight", None) is table.weight]
    return table if len(holders) == 1 else None


def _place(model: nn.Module, table: nn.Module) -> tuple[nn.Module, str]:
    """Returns the parent module of the embeddings and their name in it."""
    return next(
        (parent, name)
        for parent in model.modules()
        for name, child in parent.named_children()
        if child is table
    )
