"""Options for the trainer that hold a secret or send the model away: no recipe may name them."""

from __future__ import annotations

from collections.abc import Iterable

from tellapart.errors import RecipeError

_PUSH = "leave it out: set HF_TOKEN, and upload the finished model with tellapart push"
_TRACK = (
    "leave it out: use --track trackio, and set TRACKIO_SPACE_ID and TRACKIO_BUCKET_ID in the environment"
)
_PREFIXES = {"hub_": _PUSH, "push_to_hub": _PUSH, "trackio_": _TRACK}


def refuse_private(names: Iterable[str]) -> None:
    """Refuses options that hold a secret or send the model away.

    Recipes are written into run folders, reports, fingerprints and experiment trackers, which are shared.

    Args:
        names: Names of options of `transformers.TrainingArguments`.

    Raises:
        RecipeError: One of them is refused; the message has no value.
    """
    for name in names:
        remedy = next((remedy for start, remedy in _PREFIXES.items() if str(name).startswith(start)), None)
        if remedy is not None:
            raise RecipeError(
                f'the trainer option "{name}" is not supported, since recipes are written to files that are shared',
                remedy,
            )
