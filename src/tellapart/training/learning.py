"""Which parameters learn in a stage."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from tellapart.errors import RecipeError


def learning_names(model: Any, patterns: Sequence[str]) -> list[str]:
    """Returns the names of the parameters that patterns choose.

    Args:
        model: A classifier.
        patterns: Names as `model.named_parameters()` has them, with `*`, `?` and `[…]` as in file names.

    Raises:
        RecipeError: A pattern fits no parameter.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise RecipeError(
                f'no parameter is called "{pattern}", so nothing of it would learn',
                f"use patterns such as {names[-1]} or {names[0].split('.')[0]}.*",
            )
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


@contextlib.contextmanager
def only_learning(model: Any, patterns: Sequence[str] | None) -> Iterator[None]:
    """Lets only some parameters learn while the block runs.

    Args:
        model: A classifier.
        patterns: As for `learning_names`; None: all learn.

    Raises:
        RecipeError: A pattern fits no parameter.
    """
    if patterns is None:
        yield
        return
    chosen = set(learning_names(model, patterns))
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
    try:
        yield
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(before[name])
            parameter.grad = None  # a gradient that stayed behind would be another stage's
