"""Markdown of texts that users wrote: escaped cells, tables, fenced code."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from tellapart.inspection.confusion import ConfusedPair
from tellapart.inspection.page import markdown_table, shorten

_LONGEST = 80  # characters of a class name

_MARKS = re.compile(r"([\\`*_\[\]#~$:@])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def escaped(text: str, length: int = _LONGEST) -> str:
    """Returns a text on one line that Markdown renders as it is: no markup, HTML, links or columns of a table.

    Args:
        text: Any text.
        length: Maximum number of characters before escaping; the rest is cut off.
    """
    line = html.escape(_CONTROLS.sub("�", shorten(text, length)), quote=False)
    return _MARKS.sub(r"\\\1", line).replace("|", "&#124;")


def fenced(text: str, language: str = "") -> str:
    """Returns a fenced code block, whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([fence + language, _CONTROLS.sub("�", text).rstrip(), fence])


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table of cells that are escaped already, or need no escaping."""
    return markdown_table([header, *rows])


def pairs_table(pairs: Sequence[ConfusedPair]) -> str:
    """Returns the most confused pairs of classes as a Markdown table."""
    return table(
        ["classes", "errors", "share of both (%)", "first as second", "second as first"],
        [
            [
                f"{escaped(pair.a)} ↔ {escaped(pair.b)}",
                str(pair.errors),
                f"{100 * pair.rate:.1f}",
                str(pair.a_as_b),
                str(pair.b_as_a),
            ]
            for pair in pairs
        ],
    )
