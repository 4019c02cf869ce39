"""Temporary changes to a model during a stage: which parameters are trained, and the encoder's dropout rate."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from tellapart.errors import ModelError, RecipeError


def matching_parameters(model: Any, patterns: Sequence[str]) -> list[str]:
    """Returns the names of the parameters that match any of the patterns.

    Args:
        model: A classifier.
        patterns: Names as in `model.named_parameters()`, with the wildcards `*`, `?` and `[…]`.

    Raises:
        RecipeError: A pattern matches no parameter.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise RecipeError(
                f'no parameter matches "{pattern}", so it would not train anything',
                f"use patterns such as {names[-1]} or {names[0].split('.')[0]}.*",
            )
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


@contextlib.contextmanager
def trainable_parameters(model: Any, patterns: Sequence[str] | None) -> Iterator[None]:
    """Temporarily freezes all parameters that match none of the patterns.

    Args:
        model: A classifier.
        patterns: As for `matching_parameters`; None freezes nothing.

    Raises:
        RecipeError: A pattern matches no parameter.
    """
    if patterns is None:
        yield
        return
    chosen = set(matching_parameters(model, patterns))
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
    try:
        yield
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(before[name])
            parameter.grad = None  # or the next stage would start with this stage's gradients


@contextlib.contextmanager
def encoder_dropout(model: Any, rate: float | None) -> Iterator[None]:
    """Temporarily sets all dropout rates of the encoder.

    These are the rates of hidden states, embeddings and attention weights, which some families keep in a module and
    others as a number. The classifier's own dropout and the config are unchanged, so that a model saved inside the
    block has its original rates.

    Args:
        model: A classifier.
        rate: Between 0 and 1; None changes nothing.

    Raises:
        ModelError: The encoder has no dropout to set.
    """
    if rate is None:
        yield
        return
    places = [(module, name) for module in model.base_model.modules() for name in _rates(module)]
    if not places:
        raise ModelError(
            f"{type(model).__name__} has no dropout to set",
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
    """Returns the names of a module's attributes that are dropout rates."""
    if isinstance(module, nn.Dropout):
        return ["p"]
    return [name for name, value in vars(module).items() if "dropout" in name and isinstance(value, float)]
