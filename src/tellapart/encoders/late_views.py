"""Views of a text that share an encoder's lower layers and part above them.

Two passes over a text differ by dropout. If the lower layers run once and each view has dropout of its own only in
the layers above, a step of an objective with two views costs 1 + (L − k) / L passes in place of 2, with k of L layers
shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from tellapart.encoders.pooling import Pooling
from tellapart.errors import ModelError, RecipeError

FAMILIES = ("bert", "camembert", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta")
"""Model types whose layers take tensors of B rows, or tensors that do not depend on the row."""

Repeat = Callable[[Tensor], Tensor]


class LateViews:
    """Repeats the rows of a batch in front of one of an encoder's layers.

    Args:
        model: A classifier of one of `FAMILIES`.
        layer: Number of layers, from the first, that all views share; at least 1, and below the number of layers.

    Raises:
        ModelError: The encoder's layers are not known to take rows that way.
        RecipeError: The encoder has fewer layers.
    """

    def __init__(self, model: Any, layer: int) -> None:
        layers = _layers(model)
        if layer >= len(layers):
            raise RecipeError(
                f"views cannot part at layer {layer} of an encoder of {len(layers)} layers",
                f"use views_from_layer={len(layers) - 1} or less",
            )
        self._layers = layers[layer:]
        self._poolings = [module for module in model.modules() if isinstance(module, Pooling)]

    @contextmanager
    def parting(self, repeat: Repeat, rows: int) -> Iterator[None]:
        """Repeats rows between the lower and the upper layers, in forward passes inside the block.

        Args:
            repeat: Takes a tensor of B rows and returns that of all views.
            rows: B, the rows that the classifier gets.
        """
        hooks = [
            layer.register_forward_pre_hook(partial(_repeated, repeat, rows), with_kwargs=True)
            for layer in self._layers
        ]
        hooks += [
            pooling.register_forward_pre_hook(partial(_with_repeated_mask, repeat, rows))
            for pooling in self._poolings
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _layers(model: Any) -> list[nn.Module]:
    """Returns the layers of an encoder, the first first."""
    kind = getattr(model.config, "model_type", None)
    if kind not in FAMILIES:
        raise ModelError(
            f"views_from_layer is not known to work with {type(model).__name__}",
            f"leave it out, or use an encoder of one of these families: {', '.join(FAMILIES)}",
        )
    lists = [module for module in model.base_model.modules() if isinstance(module, nn.ModuleList)]
    return list(max(lists, key=lambda layers: len(layers)))


def _repeated(
    repeat: Repeat, rows: int, _: nn.Module, args: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Repeats what has B rows: hidden states in front of the first layer, attention masks in front of each."""

    def one(value: Any) -> Any:
        return (
            repeat(value) if isinstance(value, Tensor) and value.dim() > 1 and len(value) == rows else value
        )

    return tuple(one(value) for value in args), {name: one(value) for name, value in options.items()}


def _with_repeated_mask(repeat: Repeat, rows: int, pooling: Any, _: tuple[Any, ...]) -> None:
    mask = pooling.attention_mask
    if mask is not None and len(mask) == rows:
        pooling.attention_mask = repeat(mask)
