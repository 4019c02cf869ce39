"""Transfer of training batches to the device."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tellapart.data.batches.transfer import on_device


class UnwaitedTransfers:
    """Mixin of trainers whose batches go to a GPU while it still computes the step before."""

    args: Any

    def _prepare_inputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Returns a batch on the device, except `anchors`, which are only counted, on the CPU."""
        if not all(isinstance(value, Tensor) for value in inputs.values()):  # of a loader of the user's own
            return super()._prepare_inputs(inputs)  # type: ignore[misc]
        args = self.args
        return on_device(inputs, args.device, pin=args.dataloader_pin_memory, kept=("anchors",))
