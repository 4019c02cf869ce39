"""What the loop wraps: the classifier and its objective as one module, on one rank or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
import torch.distributed as distributed
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tellapart.encoders.loading import load_classifier
from tellapart.encoders.transformer import RepresentationTap, final_linear, save_classifier
from tellapart.objectives.base import EncodedBatch, Objective

# Beside the model in a checkpoint: what learning needs and classifying does not.
OBJECTIVE_FILE = "objective.safetensors"


@dataclass(frozen=True)
class Fed:
    """Gradients of a loss that was computed elsewhere, to be passed on to what they are gradients of.

    Args:
        logits: By the logits (B, K) of an `EncodedBatch`; None where the loss does not depend on them.
        representation: By its representations (B, d), likewise.
        parameters: By the objective's parameters that learn, in their order, likewise; or nothing.
    """

    logits: Tensor | None
    representation: Tensor | None
    parameters: Sequence[Tensor | None] = ()


class ObjectiveModel(nn.Module):
    """A classifier that returns its objective's loss.

    Attributes of the classifier (`config`, `device`, `save_pretrained` …) can be read off this module as if it
    were the classifier.

    Where the objective asks for more outputs than there are classes, a second linear layer beside the final one
    makes them. It is never part of the classifier: what is saved has one output a class.

    Args:
        model: A Transformers sequence classifier.
        objective: Prepared for the run.
    """

    def __init__(self, model: Any, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.auxiliary = _auxiliary_layer(model, objective.requirements.outputs)
        self._tap = RepresentationTap(model)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("model"), name)

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`; an encoder of which nothing learns stays in evaluation mode, without dropout."""
        super().train(mode)
        if mode and not any(parameter.requires_grad for parameter in self.model.base_model.parameters()):
            self.model.base_model.eval()
        return self

    def forward(
        self,
        labels: Tensor | None = None,
        *,
        encode_only: bool = False,
        fed: Fed | None = None,
        **inputs: Tensor,
    ) -> dict[str, Any]:
        """Runs the classifier and, in training, its objective.

        Args:
            labels: Class ids (B,) or multi-hot (B, K); needed in training.
            encode_only: Whether to leave out the objective.
            fed: Gradients that take the objective's place.
            inputs: What the classifier takes.

        Returns:
            `logits` (B, K); in training also what `minimised` returns. Instead, in training: `encoded`, the
            `EncodedBatch` of this rank, with `encode_only`; `loss`, of which the gradients are those that were fed,
            with `fed`.
        """
        if not self.training or labels is None:
            return {"logits": self.model(**inputs).logits}
        logits, batch = self._encoded(labels, inputs)
        if encode_only:
            return {"encoded": batch}
        if fed is not None:
            return {"loss": self._carrying(batch, fed)}
        return {"logits": logits, **self.minimised(batch)}

    def minimised(self, batch: EncodedBatch) -> dict[str, Any]:
        """Runs the objective.

        Args:
            batch: The rows of this rank.

        Returns:
            `loss`, `terms` (detached) and `rows`, the number of texts that the loss is a mean over, on all ranks
            together.
        """
        batch = gathered(batch)
        terms = self.objective(batch)
        return {
            "loss": self.objective.total(terms),
            "terms": {name: term.detach() for name, term in terms.items()},
            "rows": len(batch.labels) // self.objective.requirements.views,
        }

    def learning_parameters(self) -> list[nn.Parameter]:
        """Returns the objective's parameters that learn."""
        return [parameter for parameter in self.objective.parameters() if parameter.requires_grad]

    def _encoded(self, labels: Tensor, inputs: dict[str, Tensor]) -> tuple[Tensor, EncodedBatch]:
        """The logits of all rows and views as the classifier gives them, and what the objective takes."""
        views = self.objective.requirements.views
        if views > 1:
            inputs = {name: value.repeat(views, *[1] * (value.dim() - 1)) for name, value in inputs.items()}
        logits = all_logits = self.model(**inputs).logits
        representation, classifier_input = self._tap.take_both()
        if self.auxiliary is not None:
            all_logits = torch.cat([logits, self.auxiliary(classifier_input).to(logits.dtype)], dim=1)
        return logits, EncodedBatch(
            _at_least_float32(all_logits),
            _at_least_float32(representation),
            labels.repeat(views, *[1] * (labels.dim() - 1)),
            torch.arange(views, device=labels.device).repeat_interleave(len(labels)),
        )

    def _carrying(self, batch: EncodedBatch, fed: Fed) -> Tensor:
        """A scalar of which the gradients are those that were fed.

        The objective's parameters are part of it too: on several ranks only what takes part in the forward pass is
        averaged.
        """
        outputs = [batch.logits, batch.representation]
        gradients = [fed.logits, fed.representation]
        if fed.parameters:
            outputs += self.learning_parameters()
            gradients += fed.parameters
        return torch.stack(
            [
                (output * gradient).sum()
                for output, gradient in zip(outputs, gradients, strict=True)
                if gradient is not None
            ]
        ).sum()

    def save(self, folder: str | Path, tokenizer: Any = None) -> None:
        """Writes a plain checkpoint, and `objective.safetensors` beside it with what only learning needs."""
        save_classifier(self.model, folder, tokenizer)
        state = {f"objective.{name}": value for name, value in self.objective.state_dict().items()}
        if self.auxiliary is not None:
            state |= {f"auxiliary.{name}": value for name, value in self.auxiliary.state_dict().items()}
        save_exactly(self.model, folder, state)

    def load(self, folder: str | Path, *, objective: bool = True) -> None:
        """Reads what `save` wrote, bit for bit.

        Args:
            folder: A checkpoint.
            objective: Whether to read the objective's state too.
        """
        state = load_exactly(self.model, folder)
        if objective:
            self.objective.load_state_dict(_under("objective.", state))
            if self.auxiliary is not None:
                self.auxiliary.load_state_dict(_under("auxiliary.", state))


def save_exactly(model: Any, folder: str | Path, state: dict[str, Tensor]) -> None:
    """Writes what `load_exactly` needs beside a plain checkpoint, and other state of learning.

    Args:
        model: The classifier whose plain checkpoint is in `folder`.
        folder: The checkpoint.
        state: Further tensors by name.
    """
    linear = final_linear(model)
    state = state | {f"classifier.{name}": value for name, value in linear.state_dict().items()}
    save_file(
        {name: value.detach().cpu().contiguous() for name, value in state.items()},
        Path(folder) / OBJECTIVE_FILE,
    )


def load_exactly(model: Any, folder: str | Path) -> dict[str, Tensor]:
    """Reads a checkpoint into a classifier of the same kind, bit for bit; returns the other state beside it."""
    loaded, _ = load_classifier(folder)
    model.load_state_dict(loaded.state_dict())
    state = load_file(Path(folder) / OBJECTIVE_FILE)
    # A GELU head's bias passes through the fold with a rounding error; this copy has none.
    final_linear(model).load_state_dict(_under("classifier.", state))
    return state


def _auxiliary_layer(model: Any, outputs: int | None) -> nn.Linear | None:
    """A linear layer for the outputs beyond the classes, started as Transformers starts a classifier."""
    linear = final_linear(model)
    if outputs is None or outputs <= linear.out_features:
        return None
    layer = nn.Linear(linear.in_features, outputs - linear.out_features, dtype=linear.weight.dtype)
    nn.init.normal_(layer.weight, std=getattr(model.config, "initializer_range", None) or 0.02)
    nn.init.zeros_(layer.bias)
    return layer.to(linear.weight.device)


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def gathered(batch: EncodedBatch) -> EncodedBatch:
    """Returns the whole batch of all ranks, with gradients, so that objectives need not know of ranks.

    Every rank computes the same loss over all rows. The backward of the gathering sums each row's gradient over
    the ranks and DistributedDataParallel then takes the mean over them, which together is exactly the gradient
    of one process.
    """
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return batch
    sizes = _sizes(len(batch.labels), batch.labels.device)
    return _view_by_view(
        EncodedBatch(
            _gather_rows(batch.logits, sizes),
            _gather_rows(batch.representation, sizes),
            _gather_rows(batch.labels, sizes),
            _gather_rows(batch.views, sizes),
        )
    )


def joined(batches: Sequence[EncodedBatch]) -> EncodedBatch:
    """Returns several batches as the one that they would be had all their texts been encoded together."""
    return _view_by_view(
        EncodedBatch(
            torch.cat([batch.logits for batch in batches]),
            torch.cat([batch.representation for batch in batches]),
            torch.cat([batch.labels for batch in batches]),
            torch.cat([batch.views for batch in batches]),
        )
    )


def _view_by_view(batch: EncodedBatch) -> EncodedBatch:
    """Puts the rows of the first view before those of the second: row i and row i + B/2 are one text."""
    order = torch.argsort(batch.views, stable=True)
    return EncodedBatch(
        batch.logits[order], batch.representation[order], batch.labels[order], batch.views[order]
    )


def _sizes(rows: int, device: torch.device) -> list[int]:
    own = torch.tensor([rows], device=device)
    sizes = [torch.zeros_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(sizes, own)
    return [int(size) for size in sizes]


def _gather_rows(tensor: Tensor, sizes: list[int]) -> Tensor:
    from torch.distributed.nn.functional import all_gather

    # Collectives want equal shapes: shares of uneven batches differ by a row.
    short = max(sizes) - len(tensor)
    padded = torch.cat([tensor, tensor.new_zeros(short, *tensor.shape[1:])]) if short else tensor
    if tensor.is_floating_point() and tensor.requires_grad:
        parts = list(all_gather(padded.contiguous()))
    else:
        parts = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(parts, padded.contiguous())
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
