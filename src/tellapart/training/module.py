"""The module that the trainer optimises: a classifier and its objective, on one or several ranks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import torch
import torch.distributed as distributed
from torch import Tensor, nn
from torch.nn import functional

from tellapart.encoders.late_views import LateViews
from tellapart.encoders.transformer import RepresentationTap, final_linear, save_classifier
from tellapart.objectives.base import EncodedBatch, Objective
from tellapart.training.checkpoints import load_exactly, save_exactly, with_prefix


@dataclass(frozen=True)
class OutputGradients:
    """Precomputed gradients of a loss to backpropagate through a chunk (gradient caching).

    Args:
        logits: With respect to the logits (B, K) of an `EncodedBatch`; None if the loss does not depend on them.
        representation: With respect to its representations (B, d), likewise.
        parameters: With respect to the objective's trainable parameters, in their order, likewise; or empty.
    """

    logits: Tensor | None
    representation: Tensor | None
    parameters: Sequence[Tensor | None] = ()


class ObjectiveModel(nn.Module):
    """A classifier that returns its objective's loss.

    Attributes of the classifier (`config`, `device`, `save_pretrained` …) are available on this module.

    If the objective requires more outputs than there are classes, a second linear layer beside the final one
    provides them. It is never part of the saved classifier, which has one output per class.

    Args:
        model: A Transformers sequence classifier.
        objective: Prepared for the run.
        views_from_layer: Number of the encoder's layers that the views of a text share; see
            `tellapart.encoders.late_views`.

    Raises:
        UserError: The encoder cannot share them.
    """

    def __init__(self, model: Any, objective: Objective, views_from_layer: int = 0) -> None:
        super().__init__()
        self.model = model
        self._late = LateViews(model, views_from_layer) if views_from_layer else None
        self.objective = objective
        self.auxiliary = _auxiliary_layer(model, objective.requirements.outputs)
        self._tap = RepresentationTap.waiting(model)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("model"), name)

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`; a frozen encoder stays in evaluation mode, without dropout."""
        super().train(mode)
        if mode and not any(parameter.requires_grad for parameter in self.model.base_model.parameters()):
            self.model.base_model.eval()
        return self

    def forward(
        self,
        labels: Tensor | None = None,
        *,
        targets: Tensor | None = None,
        weights: Tensor | None = None,
        anchors: Tensor | None = None,
        encode_only: bool = False,
        encoded: EncodedBatch | None = None,
        gradients: OutputGradients | None = None,
        **inputs: Tensor,
    ) -> dict[str, Any]:
        """Runs the classifier and, in training, its objective; in parts for gradient caching.

        Args:
            labels: Class ids (B,) or multi-hot (B, K); required in training.
            targets: Target probabilities (B, K), for objectives that learn from soft targets.
            weights: Weights of the rows in losses that are means over rows (B,); None if all are 1.
            anchors: Whether a row is an anchor (B,), which are the last rows; None if none is.
            encode_only: Whether to return after the classifier.
            encoded: Rows of this rank that the classifier has already encoded; it is not run.
            gradients: Precomputed gradients that replace the objective.
            inputs: Inputs of the classifier.

        Returns:
            Without training or labels, `logits` (B, K). With `encode_only`, `encoded`: the `EncodedBatch` of this
            rank. With `gradients`, `loss`: a scalar with these gradients. Otherwise `logits` (unless `encoded` is
            given), `loss`, `terms` (detached) and `rows`, the number of texts on all ranks that the loss is a mean
            over.
        """
        outputs: dict[str, Any] = {}
        if encoded is None:
            if not self.training or labels is None:
                return {"logits": self.model(**inputs).logits}
            outputs["logits"], encoded = self._encode(labels, targets, weights, anchors, inputs)
            if encode_only:
                return {"encoded": encoded}
            if gradients is not None:
                return {"loss": self._surrogate_loss(encoded, gradients)}
        batch = gathered(encoded)
        with torch.autocast(batch.logits.device.type, enabled=False):  # as in Objective.__call__
            terms = self.objective.forward(batch)
        return outputs | {
            "loss": self.objective.total(terms),
            "terms": {name: term.detach() for name, term in terms.items()},
            "rows": batch.rows_without_anchors // self.objective.requirements.views,
        }

    def objective_parameters(self) -> list[nn.Parameter]:
        """Returns the objective's trainable parameters."""
        return [parameter for parameter in self.objective.parameters() if parameter.requires_grad]

    def _encode(
        self,
        labels: Tensor,
        targets: Tensor | None,
        weights: Tensor | None,
        anchors: Tensor | None,
        inputs: dict[str, Tensor],
    ) -> tuple[Tensor, EncodedBatch]:
        """Returns the classifier's logits of all rows and views, and the objective's input."""
        views = self.objective.requirements.views
        texts = len(labels) if anchors is None else len(labels) - int(anchors.sum())

        def in_views(value: Tensor) -> Tensor:
            repeated = value[:texts].repeat(views, *[1] * (value.dim() - 1))
            return repeated if texts == len(value) else torch.cat([repeated, value[texts:]])

        if views > 1 and self._late is None:
            inputs = {name: in_views(value) for name, value in inputs.items()}
        parting = nullcontext() if self._late is None else self._late.parting(in_views, len(labels))
        with parting, self._tap.listening():
            logits = all_logits = self.model(**inputs).logits
            representation, classifier_input = self._tap.take_both()
        if self.auxiliary is not None:
            all_logits = torch.cat([logits, self.auxiliary(classifier_input).to(logits.dtype)], dim=1)
        return logits, EncodedBatch(
            _at_least_float32(all_logits),
            _at_least_float32(representation),
            in_views(labels),
            functional.pad(
                torch.arange(views, device=labels.device).repeat_interleave(texts),
                (0, len(labels) - texts),
                value=-1,
            ),
            weights=None if weights is None else in_views(weights),
            targets=None if targets is None else in_views(targets),
        )

    def _surrogate_loss(self, batch: EncodedBatch, gradients: OutputGradients) -> Tensor:
        """Returns a scalar with the given gradients: the sum of products of outputs and gradients.

        It includes the objective's parameters: with several ranks, only gradients of tensors in the forward pass are
        averaged.
        """
        outputs = [batch.logits, batch.representation]
        given = [gradients.logits, gradients.representation]
        if gradients.parameters:
            outputs += self.objective_parameters()
            given += gradients.parameters
        return torch.stack(
            [
                (output * gradient).sum()
                for output, gradient in zip(outputs, given, strict=True)
                if gradient is not None
            ]
        ).sum()

    def save(self, folder: str | Path, tokenizer: Any = None) -> None:
        """Writes a plain checkpoint, and the state that only training needs beside it, `objective.safetensors`."""
        save_classifier(self.model, folder, tokenizer)
        state = {f"objective.{name}": value for name, value in self.objective.state_dict().items()}
        if self.auxiliary is not None:
            state |= {f"auxiliary.{name}": value for name, value in self.auxiliary.state_dict().items()}
        save_exactly(self.model, folder, state)

    def load(self, folder: str | Path, *, objective: bool = True) -> None:
        """Reads a checkpoint of `save`, bit for bit.

        Args:
            folder: A checkpoint.
            objective: Whether to read the objective's state too.
        """
        state = load_exactly(self.model, folder)
        if objective:
            self.objective.load_state_dict(with_prefix("objective.", state))
            if self.auxiliary is not None:
                self.auxiliary.load_state_dict(with_prefix("auxiliary.", state))


def _auxiliary_layer(model: Any, outputs: int | None) -> nn.Linear | None:
    """Returns a linear layer for outputs beyond the classes, initialised as Transformers initialises a classifier."""
    linear = final_linear(model)
    if outputs is None or outputs <= linear.out_features:
        return None
    layer = nn.Linear(linear.in_features, outputs - linear.out_features, dtype=linear.weight.dtype)
    nn.init.normal_(layer.weight, std=getattr(model.config, "initializer_range", None) or 0.02)
    nn.init.zeros_(layer.bias)
    return layer.to(linear.weight.device)


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def gathered(batch: EncodedBatch) -> EncodedBatch:
    """Returns the whole batch of all ranks, with gradients, so that objectives need not handle ranks.

    Every rank computes the same loss over all rows. The backward pass sums each row's gradient over the ranks and
    DistributedDataParallel averages over them; together that is exactly the gradient of a single process.
    """
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return batch
    sizes = _sizes(len(batch.labels), batch.labels.device)
    return _by_view(batch.mapped(lambda column: _gather_rows(column, sizes)))


def joined(batches: Sequence[EncodedBatch]) -> EncodedBatch:
    """Concatenates batches, as if all texts had been encoded together."""
    columns: dict[str, list[Any]] = {
        field.name: [getattr(batch, field.name) for batch in batches] for field in fields(EncodedBatch)
    }
    together: dict[str, Any] = {
        name: None if parts[0] is None else torch.cat(parts) for name, parts in columns.items()
    }
    return _by_view(EncodedBatch(**together))


def _by_view(batch: EncodedBatch) -> EncodedBatch:
    """Sorts rows by view, anchors last, so that row i and row i + B/2 are the same text."""
    last = torch.iinfo(batch.views.dtype).max
    return batch.select(torch.argsort(batch.views.masked_fill(batch.views < 0, last), stable=True))


def _sizes(rows: int, device: torch.device) -> list[int]:
    own = torch.full((1,), rows, device=device)
    sizes = [torch.zeros_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(sizes, own)
    return torch.cat(sizes).tolist()


def _gather_rows(tensor: Tensor, sizes: list[int]) -> Tensor:
    # Collectives need equal shapes; the shares of an uneven batch differ by a row.
    short = max(sizes) - len(tensor)
    padded = torch.cat([tensor, tensor.new_zeros(short, *tensor.shape[1:])]) if short else tensor
    parts = _RowsOfAllRanks.apply(padded.contiguous()).unbind()
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


class _RowsOfAllRanks(torch.autograd.Function):
    """Stacks a tensor of equal shape of all ranks; the gradient of a rank's part is the sum over all ranks.

    `torch.distributed.nn` has the same, deprecated, and its successors are not in all versions of PyTorch supported
    here.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        parts = [torch.empty_like(tensor) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, tensor)
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        total = gradient.contiguous().clone()  # autograd may still use the tensor that it passed
        distributed.all_reduce(total)
        return total[distributed.get_rank()]
