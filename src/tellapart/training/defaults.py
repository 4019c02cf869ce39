"""What a run decides when the user leaves it open. The runs that chose these values: docs/reference/defaults.md."""

from __future__ import annotations

import math

# Small encoders want larger steps. Parameters of the base model, without embeddings, and the rate below that size.
RATES = ((30_000_000, 1e-4), (120_000_000, 5e-5), (math.inf, 2e-5))

HEAD_RATE_FACTOR = 10.0
MINIMUM_STEPS = 500
MINIMUM_EPOCHS = 3
MAXIMUM_EPOCHS = 10


def default_learning_rate(parameters: int) -> float:
    """Returns the encoder's learning rate by its size.

    Args:
        parameters: Of the base model, without embeddings.
    """
    return next(rate for limit, rate in RATES if parameters < limit)


def default_head_learning_rate(learning_rate: float) -> float:
    """Returns the rate of the fresh classifier: it has everything to learn, the encoder little."""
    return HEAD_RATE_FACTOR * learning_rate


def default_epochs(rows: int, rows_a_step: int) -> int:
    """Returns enough passes for `MINIMUM_STEPS` steps, within bounds.

    Args:
        rows: Training rows.
        rows_a_step: Rows of an optimiser step, on all processes.
    """
    steps_an_epoch = math.ceil(rows / rows_a_step)
    return min(MAXIMUM_EPOCHS, max(MINIMUM_EPOCHS, math.ceil(MINIMUM_STEPS / steps_an_epoch)))
