"""Texts and class names cut to the room there is."""

from __future__ import annotations


def shorten(text: str, length: int) -> str:
    """Returns the text on one line, its end cut off with an ellipsis beyond `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def abbreviate(name: str, length: int = 28) -> str:
    """Returns a class name on one line, its middle cut out beyond `length` characters.

    Look-alike classes tend to begin alike, so that the end has to stay.
    """
    line = " ".join(name.split())
    if len(line) <= length:
        return line
    end = length // 2
    return line[: length - 1 - end] + "…" + line[-end:]
