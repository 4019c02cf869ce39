"""Default settings of a run; docs/reference/defaults.md lists the experiments behind them."""

from __future__ import annotations

import math
from typing import Literal

# Learning rates by model size: upper limit of the base model's parameters, without embeddings, and the rate.
RATES = ((30_000_000, 1e-4), (120_000_000, 5e-5), (math.inf, 2e-5))

HEAD_RATE_FACTOR = 10.0
MINIMUM_STEPS = 500
MINIMUM_EPOCHS = 3
MAXIMUM_EPOCHS = 10
MAX_LENGTH = 128

# Validation rows per training row from which `validation_in_training: auto` trains on them: a second training costs
# more time than the first one, and pays where these rows are a large part of all.
REFIT_SHARE = 0.25

# For windowed encoders: the maximum input of many encoders, so that memory use stays comparable.
WINDOWED_MAX_LENGTH = 512

# For encoders trained from scratch, which need more training and have cheap steps.
SCRATCH_RATES = {"textcnn": 2e-3, "han": 1e-3}
SCRATCH_MINIMUM_STEPS = 1500
SCRATCH_MINIMUM_EPOCHS = 10
SCRATCH_MAXIMUM_EPOCHS = 40
SCRATCH_MAX_LENGTH = 512


def default_learning_rate(parameters: int, *, scratch_kind: str | None = None) -> float:
    """Returns the encoder's learning rate, by its size or, if trained from scratch, by its kind.

    Args:
        parameters: Of the base model, without embeddings.
        scratch_kind: `textcnn` or `han`; None for a pre-trained encoder.
    """
    if scratch_kind is not None:
        return SCRATCH_RATES[scratch_kind]
    return next(rate for limit, rate in RATES if parameters < limit)


def default_head_learning_rate(learning_rate: float, *, from_scratch: bool = False) -> float:
    """Returns the classifier's learning rate: larger than that of a pre-trained encoder, since it is untrained."""
    return learning_rate if from_scratch else HEAD_RATE_FACTOR * learning_rate


def default_epochs(rows: int, rows_a_step: int, *, from_scratch: bool = False) -> int:
    """Returns the number of epochs for at least `MINIMUM_STEPS` (`SCRATCH_MINIMUM_STEPS`) steps, within bounds.

    Args:
        rows: Training rows.
        rows_a_step: Rows per optimiser step, on all processes.
        from_scratch: Whether the encoder starts from random weights.
    """
    steps, least, most = MINIMUM_STEPS, MINIMUM_EPOCHS, MAXIMUM_EPOCHS
    if from_scratch:
        steps, least, most = SCRATCH_MINIMUM_STEPS, SCRATCH_MINIMUM_EPOCHS, SCRATCH_MAXIMUM_EPOCHS
    return min(most, max(least, math.ceil(steps / math.ceil(rows / rows_a_step))))


def default_selection(validation_rows: int) -> Literal["best", "last", "average"]:
    """Returns which weights a stage keeps: those of the best evaluation, if there are rows to evaluate on.

    Args:
        validation_rows: Labelled validation rows, or 0.
    """
    return "best" if validation_rows else "last"


def default_max_length(*, from_scratch: bool = False, windowed: bool = False) -> int:
    """Returns the default maximum input length in tokens.

    Args:
        from_scratch: Whether the encoder starts from random weights; long texts are cheap for these.
        windowed: Whether the encoder reads long texts in windows.
    """
    if windowed:
        return WINDOWED_MAX_LENGTH
    return SCRATCH_MAX_LENGTH if from_scratch else MAX_LENGTH
