"""Gradient caching: exact gradients of batches larger than memory, for objectives that compare rows."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.checkpoint import get_device_states, set_device_states

from tellapart.training.module import OutputGradients, joined

# Inputs of shape (B, L); those of a fused encoder's further parts have a suffix.
_RAGGED = ("input_ids", "attention_mask", "token_type_ids")


class GradientCache:
    """Computes the gradients of a whole batch with the activations of one chunk at a time in memory.

    All chunks are encoded once without a graph. The objective is computed on their logits and representations, on
    all ranks, with gradients with respect to these. Then each chunk is encoded again with a graph and the same
    dropout, and its share of the gradients is backpropagated (Gao et al. 2021, Scaling Deep Contrastive Learning
    Batch Size under Memory Limited Setup, §3.2). The result equals a single pass, at the cost of a second forward
    pass.

    Args:
        accelerator: The trainer's.
        texts: Texts per chunk; with two views, both views of each.
    """

    def __init__(self, accelerator: Accelerator, texts: int) -> None:
        self.accelerator, self.texts = accelerator, texts

    def loss(
        self, model: Any, inputs: dict[str, Tensor], rows: int | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        """Returns the loss of a batch and accumulates the gradients of all chunks except the last.

        The backward pass of the returned loss adds the gradients of the last chunk; with several ranks it is also
        where they are averaged.

        Args:
            model: An `ObjectiveModel` in training mode, as wrapped by the accelerator.
            inputs: The batch, with its `labels`.
            rows: Texts per optimiser step; by default those of this batch on all ranks.

        Returns:
            The loss, weighted by this batch's share of the step, and the outputs of `ObjectiveModel`.
        """
        parts = chunks(inputs, self.texts)
        states = []
        encoded = []
        module = self.accelerator.unwrap_model(model)
        with torch.no_grad():
            for part in parts:
                states.append(_RandomState(part))
                encoded.append(module(**part, encode_only=True)["encoded"])
        outputs, gradients = self._gradients(module, encoded, rows)
        after = _RandomState(inputs)
        for number, (part, state, given) in enumerate(zip(parts, states, gradients, strict=True), start=1):
            state.restore()
            last = number == len(parts)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                surrogate = model(**part, gradients=given)["loss"]
                if not last:
                    self.accelerator.backward(surrogate)
        after.restore()
        # The value of the objective, with the last chunk's gradients.
        return outputs["loss"] + (surrogate - surrogate.detach()), outputs

    def _gradients(
        self, module: Any, encoded: list[Any], rows: int | None
    ) -> tuple[dict[str, Any], list[OutputGradients]]:
        """Returns the objective's outputs and the gradients with respect to each chunk's outputs."""
        leaves = [
            replace(
                batch,
                logits=batch.logits.detach().requires_grad_(),
                representation=batch.representation.detach().requires_grad_(),
            )
            for batch in encoded
        ]
        outputs = module(encoded=joined(leaves))
        loss = outputs["loss"] * (outputs["rows"] / (rows or outputs["rows"]))
        logits = [batch.logits for batch in leaves]
        representations = [batch.representation for batch in leaves]
        found = torch.autograd.grad(
            loss, [*logits, *representations, *module.objective_parameters()], allow_unused=True
        )
        count = len(leaves)
        gradients = [OutputGradients(found[number], found[count + number]) for number in range(count)]
        # Only once, with the chunk after which several ranks average their gradients.
        gradients[-1] = replace(gradients[-1], parameters=found[2 * count :])
        return outputs | {"loss": loss.detach()}, gradients


class _RandomState:
    """State of the random generators of the CPU and of a batch's device, which dropout uses."""

    def __init__(self, inputs: dict[str, Tensor]) -> None:
        first = next(iter(inputs.values()))
        self.device_type = first.device.type
        self.cpu = torch.get_rng_state()
        # PyTorch's functions choose a device by number, of which torch.mps has one and no such choice.
        self.mps = torch.mps.get_rng_state() if self.device_type == "mps" else None
        self.devices = get_device_states(first) if self.mps is None else ([], [])

    def restore(self) -> None:
        """Resets the generators to this state."""
        torch.set_rng_state(self.cpu)
        if self.mps is None:
            set_device_states(*self.devices, device_type=self.device_type)
        else:
            torch.mps.set_rng_state(self.mps)


def chunks(inputs: dict[str, Tensor], texts: int) -> list[dict[str, Tensor]]:
    """Splits a batch into chunks padded to their own longest text, the last rows first.

    Rows of a batch are sorted by length, so that most chunks are narrower than the batch. The widest comes first, so
    that the memory it frees suffices for the others.

    Args:
        inputs: Tensors whose first dimension is the batch; (B, L) for tokens.
        texts: Maximum number of texts per chunk; chunks have even sizes.
    """
    count = -(-len(inputs["input_ids"]) // texts)
    parts = [
        dict(zip(inputs, values, strict=True))
        for values in zip(*(value.tensor_split(count) for value in inputs.values()), strict=True)
    ]
    for mask in [name for name in inputs if name.startswith("attention_mask")]:
        suffix = mask.removeprefix("attention_mask")
        # One past the last column with a token in any row of each chunk; one device transfer for all chunks.
        columns = torch.arange(1, inputs[mask].shape[1] + 1, device=inputs[mask].device)
        widths = torch.stack([(part[mask].amax(0) * columns).amax() for part in parts]).tolist()
        for part, width in zip(parts, widths, strict=True):
            for name in (name + suffix for name in _RAGGED if name + suffix in part):
                part[name] = part[name][:, : max(1, width)]
    return parts[::-1]
