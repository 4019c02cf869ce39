"""What a run decides when the user leaves it open. The runs that chose these values: docs/reference/defaults.md."""

from __future__ import annotations

import math

# Small encoders want larger steps. Parameters of the base model, without embeddings, and the rate below that size.
RATES = ((30_000_000, 1e-4), (120_000_000, 5e-5), (math.inf, 2e-5))

HEAD_RATE_FACTOR = 10.0
MINIMUM_STEPS = 500
MINIMUM_EPOCHS = 3
MAXIMUM_EPOCHS = 10
MAX_LENGTH = 128

# Texts of several windows: what many encoders read at most at once, so that memory suffices wherever it did for that.
WINDOWED_MAX_LENGTH = 512

# Encoders that start from random weights have all to learn, and a step of theirs costs little.
SCRATCH_RATES = {"textcnn": 2e-3, "han": 1e-3}
SCRATCH_MINIMUM_STEPS = 1500
SCRATCH_MINIMUM_EPOCHS = 10
SCRATCH_MAXIMUM_EPOCHS = 40
SCRATCH_MAX_LENGTH = 512


def default_learning_rate(parameters: int, *, scratch_kind: str | None = None) -> float:
    """Returns the encoder's learning rate: by kind for those that learn from scratch, else by size.

    Args:
        parameters: Of the base model, without embeddings.
        scratch_kind: `textcnn` or `han`; None for an encoder that does not start from random weights.
    """
    if scratch_kind is not None:
        return SCRATCH_RATES[scratch_kind]
    return next(rate for limit, rate in RATES if parameters < limit)


def default_head_learning_rate(learning_rate: float, *, from_scratch: bool = False) -> float:
    """Returns the rate of the fresh classifier: it has everything to learn, a pre-trained encoder little."""
    return learning_rate if from_scratch else HEAD_RATE_FACTOR * learning_rate


def default_epochs(rows: int, rows_a_step: int, *, from_scratch: bool = False) -> int:
    """Returns enough passes for `MINIMUM_STEPS` (`SCRATCH_MINIMUM_STEPS`) steps, within bounds.

    Args:
        rows: Training rows.
        rows_a_step: Rows of an optimiser step, on all processes.
        from_scratch: Whether the encoder is of a kind that starts from random weights.
    """
    steps, least, most = MINIMUM_STEPS, MINIMUM_EPOCHS, MAXIMUM_EPOCHS
    if from_scratch:
        steps, least, most = SCRATCH_MINIMUM_STEPS, SCRATCH_MINIMUM_EPOCHS, SCRATCH_MAXIMUM_EPOCHS
    return min(most, max(least, math.ceil(steps / math.ceil(rows / rows_a_step))))


def default_max_length(*, from_scratch: bool = False, windowed: bool = False) -> int:
    """Returns the longest input in tokens.

    Args:
        from_scratch: Whether the encoder is of a kind that starts from random weights: long texts cost it little.
        windowed: Whether it reads long texts window by window.
    """
    if windowed:
        return WINDOWED_MAX_LENGTH
    return SCRATCH_MAX_LENGTH if from_scratch else MAX_LENGTH
