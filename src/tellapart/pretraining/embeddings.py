"""The gradient of an embedding table that a vocabulary head shares: the rows that were read, not the whole table.

A tied table gets a dense gradient from the head in any case. Stock embeddings add a second one of its size, zeros but
for the rows of the batch's tokens. Autograd adds a sparse gradient to the dense one in place, so that only those rows
are touched; what arrives at the parameter is dense as before.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional


class RowGradientEmbedding(nn.Embedding):
    """`nn.Embedding` that hands on the gradient of the rows it has read.

    `sparse` stays false: it would tell DistributedDataParallel that the parameter's gradient is sparse.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns the rows of ids of any shape."""
        return functional.embedding(input, self.weight, self.padding_idx, sparse=True)


def use_row_gradients(model: Any) -> bool:
    """Lets a model's embedding table get the gradient of single rows, in place.

    Args:
        model: A Transformers model. Its vocabulary head must take part in every backward pass.

    Returns:
        Whether the head shares the table. If it does not, nothing is changed: a gradient that is sparse alone is
        nothing that AdamW takes.
    """
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head is None or getattr(head, "weight", None) is not table.weight:
        return False
    if type(table) is not nn.Embedding or table.max_norm is not None or table.scale_grad_by_freq:
        return False
    table.__class__ = RowGradientEmbedding
    return True
