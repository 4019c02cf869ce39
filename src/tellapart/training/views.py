"""Dropout for encoders that come without: what makes two passes over one text differ."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn

from tellapart.errors import ModelError


@contextlib.contextmanager
def encoder_dropout(model: Any, rate: float | None) -> Iterator[None]:
    """Sets every dropout rate inside the encoder while the block runs; afterwards they are as they were.

    Rates of hidden states, of embeddings and of attention weights, which some families keep as a module and others as
    a number. The classifier's own dropout stays. The config is not touched, and so a model that is saved inside the
    block has the rates that it came with.

    Args:
        model: A classifier.
        rate: Between 0 and 1; None changes nothing.

    Raises:
        ModelError: The encoder has no place for dropout.
    """
    if rate is None:
        yield
        return
    places = [(module, name) for module in model.base_model.modules() for name in _rates(module)]
    if not places:
        raise ModelError(
            f"{type(model).__name__} has no place for dropout",
            "leave out views_dropout, or choose another encoder",
        )
    before = [getattr(module, name) for module, name in places]
    for module, name in places:
        setattr(module, name, rate)
    try:
        yield
    finally:
        for (module, name), value in zip(places, before, strict=True):
            setattr(module, name, value)


def _rates(module: nn.Module) -> list[str]:
    """The names of the attributes of a module that are dropout rates."""
    if isinstance(module, nn.Dropout):
        return ["p"]
    return [name for name, value in vars(module).items() if "dropout" in name and isinstance(value, float)]
