"""Batches larger than memory for objectives that compare rows: encoded in chunks, compared as a whole."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.checkpoint import get_device_states, set_device_states

from tellapart.training.module import Fed, joined

# What is as wide as a batch's longest text; inputs of a fused encoder's further parts have a suffix.
_RAGGED = ("input_ids", "attention_mask", "token_type_ids")


class GradientCache:
    """Gives the gradients of a whole batch with the activations of no more than a chunk of it in memory.

    All chunks pass through the encoder once without a graph. The objective is computed on the logits and
    representations of all of them, on all ranks, which gives its gradients by these. Then each chunk passes again,
    now with a graph and the same dropout as before, and takes its share of these gradients further (Gao et al. 2021,
    Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, §3.2). These are the gradients of the
    batch in one pass, for a second forward pass.

    Args:
        accelerator: The trainer's.
        texts: Of a chunk; of an objective with two views, both views of them.
    """

    def __init__(self, accelerator: Accelerator, texts: int) -> None:
        self.accelerator, self.texts = accelerator, texts

    def loss(
        self, model: Any, inputs: dict[str, Tensor], rows: int | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        """Returns the objective of a batch; the gradients of all its chunks but the last are added at once.

        Those of the last one are added by the backward pass of what is returned, which is where several ranks
        average theirs.

        Args:
            model: An `ObjectiveModel`, as the accelerator wrapped it, in training.
            inputs: The batch, with its `labels`.
            rows: Texts of the optimiser step; by default those of this batch on all ranks.

        Returns:
            The loss, weighted by this batch's share of the step, and what `ObjectiveModel.minimised` returns.
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
        for number, (part, state, fed) in enumerate(zip(parts, states, gradients, strict=True), start=1):
            state.restore()
            last = number == len(parts)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                carrier = model(**part, fed=fed)["loss"]
                if not last:
                    self.accelerator.backward(carrier)
        after.restore()
        # The value of the objective, with the last chunk's gradients.
        return outputs["loss"] + (carrier - carrier.detach()), outputs

    def _gradients(
        self, module: Any, encoded: list[Any], rows: int | None
    ) -> tuple[dict[str, Any], list[Fed]]:
        """What the objective returns, and what to feed to each chunk."""
        leaves = [
            replace(
                batch,
                logits=batch.logits.detach().requires_grad_(),
                representation=batch.representation.detach().requires_grad_(),
            )
            for batch in encoded
        ]
        outputs = module.minimised(joined(leaves))
        loss = outputs["loss"] * (outputs["rows"] / (rows or outputs["rows"]))
        logits = [batch.logits for batch in leaves]
        representations = [batch.representation for batch in leaves]
        found = torch.autograd.grad(
            loss, [*logits, *representations, *module.learning_parameters()], allow_unused=True
        )
        count = len(leaves)
        gradients = [Fed(found[number], found[count + number]) for number in range(count)]
        # Once, and with the chunk after which several ranks average their gradients.
        gradients[-1] = replace(gradients[-1], parameters=found[2 * count :])
        return outputs | {"loss": loss.detach()}, gradients


class _RandomState:
    """The state of the generators that dropout draws from, on the CPU and on the device of a batch."""

    def __init__(self, inputs: dict[str, Tensor]) -> None:
        self.device_type = next(iter(inputs.values())).device.type
        self.cpu = torch.get_rng_state()
        self.devices = get_device_states(*inputs.values())

    def restore(self) -> None:
        """Puts the generators back into this state."""
        torch.set_rng_state(self.cpu)
        set_device_states(*self.devices, device_type=self.device_type)


def chunks(inputs: dict[str, Tensor], texts: int) -> list[dict[str, Tensor]]:
    """Cuts a batch into chunks, each no wider than its own longest text; the last rows first.

    Rows of a batch come sorted by length, so that most chunks are narrower than the batch. The widest comes first:
    memory that it frees suits all that follow.

    Args:
        inputs: Tensors whose first dimension is the batch, (B, L) those of tokens.
        texts: Of a chunk, at most; chunks are of even size.
    """
    count = -(-len(inputs["input_ids"]) // texts)
    parts = [
        dict(zip(inputs, values, strict=True))
        for values in zip(*(value.tensor_split(count) for value in inputs.values()), strict=True)
    ]
    for mask in [name for name in inputs if name.startswith("attention_mask")]:
        suffix = mask.removeprefix("attention_mask")
        # One past the last column that holds a token in any row of each chunk: one transfer for all chunks.
        columns = torch.arange(1, inputs[mask].shape[1] + 1, device=inputs[mask].device)
        widths = torch.stack([(part[mask].amax(0) * columns).amax() for part in parts]).tolist()
        for part, width in zip(parts, widths, strict=True):
            for name in (name + suffix for name in _RAGGED if name + suffix in part):
                part[name] = part[name][:, : max(1, width)]
    return parts[::-1]
