"""Lets every print survive an output encoding that lacks some of its characters, such as cp1252 or ASCII."""

from __future__ import annotations

import codecs
import io
import sys
from typing import TextIO

_HANDLER = "tellapart-plain"

_PLAIN = {
    "−": "-",
    "–": "-",
    "—": "-",
    "…": "...",
    "→": "->",
    "×": "x",
    "±": "+/-",
    "≤": "<=",
    "≥": ">=",
    "’": "'",
    "“": '"',
    "”": '"',
    "←": "<-",
    "↔": "<->",
    "·": "*",
    "⏎": "/",
    "█": "#",
}
"""Typographic characters of tables and messages, and how they are written where they are missing."""


def print_in_every_encoding() -> None:
    """Makes standard output and standard error write characters that their encoding lacks in plain form.

    Typographic characters are replaced by similar ones of ASCII, and others by backslash escapes. Nothing changes for
    characters that the encoding has.
    """
    codecs.register_error(_HANDLER, _plain_form)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def has_all_characters(stream: TextIO) -> bool:
    """Whether the encoding of a stream has every character of Unicode."""
    try:
        return codecs.lookup(stream.encoding or "ascii").name.startswith("utf-")
    except LookupError:
        return False


def _plain_form(error: UnicodeError) -> tuple[str, int]:
    """Replaces the characters that cannot be encoded, as an error handler of `codecs`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    plain = "".join(_PLAIN.get(one) or one.encode("ascii", "backslashreplace").decode() for one in missing)
    return plain, error.end
