"""Token embeddings of which only the rows that the training texts use take part in training.

The gradient of all other rows is zero at every step: AdamW leaves them as they are but for the weight decay. A table
of 30,000 words or, in multilingual encoders, of 250,000 costs zeros for its gradient, a norm and an optimiser step
all the same, and two more tables for the optimiser's state. Here the table that learns holds the rows in use; the
others get their weight decay as one factor when they are next looked at.
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
"""Of the rows of a table in use, above which nothing is gained by leaving out the rest."""


class TrimmedEmbedding(nn.Module):
    """An `nn.Embedding` that learns in the rows that are used.

    In training only ids that are used may come; in evaluation any. The state dictionary is that of the whole table.

    Args:
        whole: The table, which is kept up to date whenever this module is put into evaluation mode or saved.
        used: Ids of the rows that learn, sorted (n,); the padding's among them.
    """

    places: Tensor

    def __init__(self, whole: nn.Embedding, used: Tensor) -> None:
        super().__init__()
        self._whole = (whole,)  # in a tuple: it is no module of this one, whose parameters would learn
        self._used = used
        self._decay = 1.0
        self.weight = nn.Parameter(whole.weight.detach()[used].clone())
        # What is not used has no place: in training it raises IndexError.
        places = torch.full((whole.num_embeddings,), len(used), dtype=torch.int64, device=used.device)
        places[used] = torch.arange(len(used), device=used.device)
        self.register_buffer("places", places, persistent=False)
        padding = whole.padding_idx
        self._padding = None if padding is None else int(places[padding])

    @property
    def whole(self) -> nn.Embedding:
        """The whole table, as it was when this module was last put into evaluation mode or saved."""
        return self._whole[0]

    @property
    def num_embeddings(self) -> int:
        """Rows of the whole table."""
        return self.whole.num_embeddings

    @property
    def embedding_dim(self) -> int:
        """Numbers in a row."""
        return self.whole.embedding_dim

    def forward(self, ids: Tensor) -> Tensor:
        """Looks up ids of any shape."""
        if self.training:
            return functional.embedding(self.places[ids], self.weight, self._padding)
        return self.whole(ids)

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`; evaluation sees the whole table."""
        if self.training and not mode:
            self.update_whole()
        return super().train(mode)

    def decay_rest(self, factor: float) -> None:
        """Has the rows that are not used be multiplied by a factor when they are next looked at."""
        self._decay *= factor

    @torch.no_grad()
    def update_whole(self) -> None:
        """Writes the rows that learn into the whole table, and the weight decay of the others."""
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
    """Returns the ids that rows, and batches of them, have; sorted (n,).

    Args:
        rows: Tokenised texts.
        padding: The id of padding; None where there is none.
    """
    # Counted, not sorted: there may be many millions.
    found = torch.bincount(rows.columns["input_ids"]).nonzero().squeeze(1)
    pads = [] if padding is None else [padding]
    return torch.unique(torch.cat([found, torch.tensor([*pads, rows.padding["input_ids"]])]))


@contextlib.contextmanager
def trimmed_embeddings(model: Any, rows: TokenisedDataset) -> Iterator[TrimmedEmbedding | None]:
    """Has a model's token embeddings be a `TrimmedEmbedding`; at the block's end they are the table again.

    Args:
        model: A Transformers model.
        rows: What it is trained on.

    Returns:
        The embeddings; None where the model has no table of its own that learns, or most of it is in use.
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
    """Has AdamW's weight decay reach the rows that are not used.

    Args:
        optimizer: AdamW, or one whose step without a gradient is p ← p · (1 − rate · decay) too.
        embedding: Its rows in use are a parameter of the optimiser.
    """
    number = next(
        number
        for number, group in enumerate(optimizer.param_groups)
        if any(parameter is embedding.weight for parameter in group["params"])
    )

    def decay(*_: Any) -> None:
        group = optimizer.param_groups[number]  # another one after a checkpoint was read
        embedding.decay_rest(1 - float(group["lr"]) * group["weight_decay"])

    optimizer.register_step_post_hook(decay)


def _table(model: Any) -> nn.Embedding | None:
    """The model's token embeddings, where they can be trimmed: a plain table that learns and nothing else shares."""
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
    """The module that holds the table, and under which name."""
    return next(
        (parent, name)
        for parent in model.modules()
        for name, child in parent.named_children()
        if child is table
    )
