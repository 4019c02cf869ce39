"""Texts to begin with: wrong predictions of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

MOST_EXAMPLES = 4
LONGEST_EXAMPLE = 400  # characters; longer texts make poor buttons


class Example(NamedTuple):
    """A text that a run predicted wrongly.

    Args:
        text: The text.
        second: The second text of a pair; empty without.
        gold: Its labels in the data.
    """

    text: str
    second: str
    gold: str


def wrong_examples(file: Path, *, pairs: bool) -> list[Example]:
    """Reads wrong predictions of a run from its `errors.json`, of different confusions first.

    Args:
        file: The file.
        pairs: Whether texts are pairs.

    Returns:
        At most `MOST_EXAMPLES`; none if there is no such file, or it cannot be read.
    """
    try:
        errors = json.loads(file.read_text(encoding="utf-8"))["errors"]
        found = [(_confusion(error), _example(error)) for error in errors if ("text_pair" in error) == pairs]
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return []
    fitting = [one for one in found if one[1].text.strip() and len(one[1].text) <= LONGEST_EXAMPLE]
    seen: dict[Any, int] = {}
    ranked = []
    for confusion, example in fitting:
        ranked.append((seen.get(confusion, 0), example))
        seen[confusion] = seen.get(confusion, 0) + 1
    ranked.sort(key=lambda one: one[0])
    return [example for _, example in ranked[:MOST_EXAMPLES]]


def _example(error: dict[str, Any]) -> Example:
    return Example(str(error["text"]), str(error.get("text_pair", "")), ", ".join(error["gold"]))


def _confusion(error: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(error["gold"]), tuple(error["answers"][0]["predicted"])
