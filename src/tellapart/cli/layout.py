"""Tables on standard output, whole at every width: names may be cut, numbers never are."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tellapart.errors import visible
from tellapart.inspection.page import abbreviate

_PIPED_WIDTH = 160
_BETWEEN = 2  # spaces between two columns
_COMFORTABLE, _NARROWEST = 24, 12  # characters of a column of words
_HEADING = 6  # characters of a heading that has to be cut
# At spaces, but not in "2 / 0 / 1" and "12 %"; after the hyphens of words.
_BREAK = re.compile(r"((?<![\d/])\s+|(?<=\d)\s+(?![/%])|(?<=[^\W\d_]-)(?=[^\W\d_]))")


def show_table(rows: Sequence[Sequence[str]], numbers: slice = slice(1, None)) -> None:
    """Prints rows of text as a table; as a list of rows where the terminal is too narrow for its numbers.

    Words wrap at spaces; a word longer than its column, such as the name of a class, is cut in the middle.

    Args:
        rows: The header, then the rows.
        numbers: The columns to align right.
    """
    rows = [[visible(cell) for cell in row] for row in rows]
    console = Console(highlight=False)
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        console.width = _PIPED_WIDTH  # a pipe has no edge to wrap at
    numeric = set(range(len(rows[0]))[numbers])
    widths = _widths(rows, numeric, console.width)
    console.print()
    if widths is None:
        console.print(Text("\n".join(_list_lines(rows, console.width))))
    else:
        console.print(_table(rows, numeric, widths))
    console.print()


def _table(rows: Sequence[Sequence[str]], numeric: Collection[int], widths: Sequence[int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    header, *body = [
        [Text(_wrapped(cell, width)) for cell, width in zip(row, widths, strict=True)]  # no markup in names
        for row in rows
    ]
    for index, (name, width) in enumerate(zip(header, widths, strict=True)):
        justify = "right" if index in numeric else "left"
        table.add_column(name, justify=justify, width=width, no_wrap=True, overflow="crop")  # type: ignore[arg-type]
    for row in body:
        table.add_row(*row)
    return table


def _widths(rows: Sequence[Sequence[str]], numeric: Collection[int], width: int) -> list[int] | None:
    """Returns the width of each column: the first of several layouts that fits; None if numbers would be cut."""
    header, *body = rows
    columns = range(len(header))
    whole = [max(cell_len(row[index]) for row in rows) for index in columns]
    cells = [max((cell_len(row[index]) for row in body), default=0) for index in columns]
    words = [max((_longest_part(row[index]) for row in body), default=0) for index in columns]
    headings = [_longest_part(name) for name in header]
    room = width - _BETWEEN * (len(header) - 1)
    layouts = (
        (whole, max(whole)),
        (list(map(max, cells, headings)), _COMFORTABLE),
        (list(map(max, words, headings)), _NARROWEST),
        (
            [max(word, min(_HEADING, heading)) for word, heading in zip(words, headings, strict=True)],
            _NARROWEST,
        ),
    )
    texts = [index for index in columns if index not in numeric]
    for widths, least in layouts:
        left = room - sum(widths[index] for index in numeric)
        if left >= sum(min(whole[index], least) for index in texts):
            shares = _shares([whole[index] for index in texts], left)
            return [shares[texts.index(index)] if index in texts else widths[index] for index in columns]
    return None


def _shares(needs: Sequence[int], room: int) -> list[int]:
    """Divides room among columns evenly, except that none gets more than it needs."""
    shares = [0] * len(needs)
    for done, index in enumerate(sorted(range(len(needs)), key=needs.__getitem__)):
        shares[index] = min(needs[index], room // (len(needs) - done))
        room -= shares[index]
    return shares


def _list_lines(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yields each row as its first cell and a line for each other cell."""
    header, *body = rows
    for first, *others in body:
        yield _wrapped(first, width)
        for name, cell in zip(header[1:], others, strict=True):
            if cell:
                lines = _wrapped(f"{name}: {cell}" if name else cell, width - 2).split("\n")
                yield from (f"  {line}" for line in lines)


def _longest_part(text: str) -> int:
    return max((cell_len(part.strip()) for part in _BREAK.split(text)), default=0)


def _wrapped(text: str, width: int) -> str:
    """Breaks a text at spaces and hyphens into lines of a width, to which longer parts are cut."""
    if cell_len(text) <= width and "\n" not in text:
        return text
    lines = [""]
    for part in _BREAK.split(text):
        if cell_len((lines[-1] + part).rstrip()) <= width:
            lines[-1] += " " if part.isspace() else part
        elif part.isspace():
            lines.append("")
        else:
            lines.append(_cut(part, width))
    return "\n".join(line.strip() for line in lines if line.strip())


def _cut(word: str, width: int) -> str:
    """Returns a word with an ellipsis in its middle if it is too long; wide letters count twice."""
    length = len(word)
    while cell_len(word) > width and length > 1:
        length -= 1
        word = abbreviate(word, length)
    return word
