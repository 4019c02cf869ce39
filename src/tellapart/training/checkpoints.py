"""Training checkpoints: exact weights and state beside a plain checkpoint, and the newest complete one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import EarlyStoppingCallback

from tellapart.encoders.loading import load_classifier_model
from tellapart.encoders.transformer import final_linear

OBJECTIVE_FILE = "objective.safetensors"
"""File beside the model in a checkpoint, with the state that only training needs."""


class FinishedCheckpoints:
    """Trainer mixin: resuming from the checkpoint of a finished training runs no further steps.

    Transformers resets `should_training_stop` on resuming. After early stopping, or with a last step in the middle of
    an epoch, it would continue training.
    """

    state: Any
    callback_handler: Any

    def _init_training_state(
        self, max_steps: int, epoch_steps: int, epochs: int, resumed: str | None, trial: Any
    ) -> tuple[int, int]:
        """Returns the epochs trained, all of them if training had ended, and the batches trained of the next one."""
        trained = super()._init_training_state(max_steps, epoch_steps, epochs, resumed, trial)  # type: ignore[misc]
        ended = self.state.global_step >= max_steps or any(
            callback.early_stopping_patience_counter >= callback.early_stopping_patience
            for callback in self.callback_handler.callbacks
            if isinstance(callback, EarlyStoppingCallback)
        )
        return (epochs, 0) if resumed is not None and ended else trained


def save_exactly(model: Any, folder: str | Path, state: dict[str, Tensor]) -> None:
    """Writes the exact weights of the final layer, and other training state, beside a plain checkpoint.

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
    """Reads a checkpoint into a classifier of the same kind, bit for bit, and returns the other training state."""
    model.load_state_dict(load_classifier_model(folder).state_dict())
    state = load_file(Path(folder) / OBJECTIVE_FILE)
    # Folding rounds the bias of a GELU head; this copy is exact.
    final_linear(model).load_state_dict(with_prefix("classifier.", state))
    return state


def with_prefix(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def last_checkpoint(folder: str | Path) -> str | None:
    """Returns the newest complete checkpoint of a run and deletes incomplete ones.

    `trainer_state.json` is the last file written, so that a checkpoint with a readable state is complete.

    Args:
        folder: The trainer's output folder.
    """
    found: dict[int, Path] = {}
    for path in Path(folder).glob("checkpoint-*"):
        number = path.name.removeprefix("checkpoint-")
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(path, ignore_errors=True)
            continue
        if number.isdigit():
            found[int(number)] = path
    return str(found[max(found)]) if found else None
