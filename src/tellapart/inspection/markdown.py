"""Markdown that says the same whatever a name holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Returns a table whose first column is text and whose other columns are figures.

    Args:
        rows: The header, then the rows; vertical bars in a cell are escaped.
    """
    header, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def markdown_list(sentences: Iterable[str]) -> str:
    """Returns a list, a point a sentence."""
    return "\n".join(f"- {sentence}" for sentence in sentences)
